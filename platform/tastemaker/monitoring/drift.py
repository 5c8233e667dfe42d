"""What a version showed beside what it learned from: distributions for people, and no verdict.

The two sides are not of one kind. What was learned are items that people chose, over the whole training
window; what was shown are items that the model chose, over the time since it is served, which may be minutes.
They differ in a healthy service too, so that no distance between them says whether anything is wrong: the
report gives none, and nothing alarms or fails by it. A column without any value is named, not compared.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, insert

from tastemaker.data.lake import Lake
from tastemaker.html import index, titled
from tastemaker.monitoring import distributions, drift_page
from tastemaker.monitoring.traffic import LABELS, NUMBERS, Traffic, traffic
from tastemaker.storage.tables import reports
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from tastemaker.registry import Version

KIND = "drift"
MIN_REQUESTS = 100
"""With fewer, a distribution of what was shown is mostly chance."""
NO_VERDICT = (
    "These are distributions without a verdict: no column counts as drifted, and nothing alarms or "
    "fails by this page. What was learned are items that people chose, over the whole training window; what "
    "was shown are items that the model chose, since it is served. The two differ in a healthy service too."
)


@dataclass(frozen=True)
class DriftReport:
    """One report. `summary` is what the database holds."""

    path: Path
    """The page; it needs no network."""
    summary: dict[str, Any]


def drift_report(
    lake: Lake, engine: Engine, folder: Path, version: Version, *, min_requests: int = MIN_REQUESTS
) -> DriftReport:
    """Show what `version` showed beside what it learned from; write the page into `folder` and the summary.

    With fewer than `min_requests` answered requests the report says so instead of giving numbers.
    """
    compared = traffic(lake, version.manifest)
    now = datetime.now(UTC)
    path = folder / f"drift-{version.model}-{version.id}.html"
    details = path.with_name(f"{path.stem}-evidently.html")
    note = _too_little(compared, min_requests)
    columns = {} if note else distributions.described(compared.learned, compared.shown)
    title = f"Drift report: {version.model} {version.id}"
    if note is None:
        histograms = _evidently(compared, columns, f"Histograms: {version.model} {version.id}")
        with atomic_write(details) as partial:
            partial.write_text(histograms, "utf-8")
    else:
        details.unlink(missing_ok=True)  # of an earlier report, on logs that were deleted since
    document = drift_page.render(
        title, note or NO_VERDICT, _rows(compared, version), now, columns, None if note else details.name
    )
    with atomic_write(path) as partial:
        partial.write_text(document, "utf-8")
    index.rewrite(folder)
    summary = _summary(compared, columns, note)
    with engine.begin() as connection:
        connection.execute(
            insert(reports).values(
                kind=KIND,
                problem=version.problem,
                version_id=version.id,
                summary=summary,
                path=str(path),
                window_start=compared.first,
                window_end=compared.last,
                created_at=now,
            )
        )
    return DriftReport(path, summary)


def _too_little(compared: Traffic, min_requests: int) -> str | None:
    if not compared.events:
        return (
            "The lake no longer holds the events that this version learned from: there is nothing to show "
            "beside what it showed."
        )
    if compared.requests < min_requests:
        return (
            f"This version has answered {compared.requests:,} logged requests; from {min_requests:,} on, "
            "what it showed is described here, beside what it learned from."
        )
    if not compared.impressions:
        return f"This version has answered {compared.requests:,} logged requests without any item."
    return None


def _summary(compared: Traffic, columns: dict[str, Any], note: str | None) -> dict[str, Any]:
    return {
        "note": note,
        "evaluated": False,
        "events_learned": compared.events,
        "requests": compared.requests,
        "impressions": compared.impressions,
        "fallback_share": compared.fallbacks / compared.requests if compared.requests else None,
        "columns": columns,
    }


def _rows(compared: Traffic, version: Version) -> str:
    """What is beside what."""
    window = version.manifest.window
    first, last = (datetime.fromtimestamp(moment, UTC) for moment in (window.start, window.end - 1))
    said = (
        f"Learned: {compared.events:,} events, {first:%Y-%m-%d} to {last:%Y-%m-%d}. "
        f"Shown: {compared.impressions:,} items in {compared.requests:,} answers"
    )
    if compared.first and compared.last:
        said += (
            f", {compared.fallbacks:,} of them with popular items filled in, "
            f"{compared.first:%Y-%m-%d %H:%M} to {compared.last:%Y-%m-%d %H:%M} UTC"
        )
    return said


def _evidently(compared: Traffic, columns: dict[str, Any], title: str) -> str:
    """Evidently's page of the columns that have values on both sides, with a title; it needs no network."""
    os.environ["DO_NOT_TRACK"] = "1"  # read when evidently is imported
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataSummaryPreset

    numbers = [name for name in NUMBERS if not distributions.is_empty(columns[name])]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=list(LABELS))
    shown, learned = (
        Dataset.from_pandas(
            distributions.finite(side.select([*numbers, *LABELS])).to_pandas(), data_definition=definition
        )
        for side in (compared.shown, compared.learned)
    )
    snapshot = Report([DataSummaryPreset()]).run(shown, learned)
    html: str = snapshot.get_html_str(as_iframe=False)
    return titled(html, title)
