"""Drift report: the distributions of a version's training events and of the items that it showed.

The two sides differ in kind. The training events are items that users chose, over the whole training window;
the items shown were chosen by the model, since the version is served, which may be minutes. They differ in a
healthy service, too, so no distance between them shows that something is wrong: the report has no verdict,
and raises no alarm. A column without any value is named, not compared.
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
from tastemaker.monitoring.traffic import LABELS, NUMBERS, DriftData, drift_data
from tastemaker.storage.tables import reports
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from tastemaker.registry import Version

KIND = "drift"
MIN_REQUESTS = 100
"""With fewer requests, the distribution of the items shown is mostly chance."""
NO_VERDICT = (
    "These are distributions without a verdict: no column counts as drifted, and no alarm depends on this "
    "page. The training events are items that users chose, over the whole training window; the items shown "
    "were chosen by the model, since it is served. The two differ in a healthy service, too."
)


@dataclass(frozen=True)
class DriftReport:
    """Drift report of one version: the page, and the summary that is stored in the database."""

    path: Path
    """The path of the page, which works offline."""
    summary: dict[str, Any]


def drift_report(
    lake: Lake, engine: Engine, folder: Path, version: Version, *, min_requests: int = MIN_REQUESTS
) -> DriftReport:
    """Write a version's drift report, as a page and as a summary in the database.

    Args:
        lake: The lake with the events and the request log.
        engine: The metadata database.
        folder: The folder of the page.
        version: The version.
        min_requests: With fewer answered requests the report says so, and has no figures.
    """
    compared = drift_data(lake, version.manifest)
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


def _too_little(compared: DriftData, min_requests: int) -> str | None:
    if not compared.events:
        return (
            "The lake no longer contains the events of this version's training window, so there is nothing "
            "to compare the items shown with."
        )
    if compared.requests < min_requests:
        return (
            f"This version has answered {compared.requests:,} logged requests; distributions are shown from "
            f"{min_requests:,} requests on."
        )
    if not compared.impressions:
        return f"This version has answered {compared.requests:,} logged requests without any item."
    return None


def _summary(compared: DriftData, columns: dict[str, Any], note: str | None) -> dict[str, Any]:
    return {
        "note": note,
        "evaluated": False,
        "events_learned": compared.events,
        "requests": compared.requests,
        "impressions": compared.impressions,
        "fallback_share": compared.fallbacks / compared.requests if compared.requests else None,
        "columns": columns,
    }


def _rows(compared: DriftData, version: Version) -> str:
    """Return the numbers and the periods of both sides."""
    window = version.manifest.window
    first, last = (datetime.fromtimestamp(moment, UTC) for moment in (window.start, window.end - 1))
    said = (
        f"Learned: {compared.events:,} events, {first:%Y-%m-%d} to {last:%Y-%m-%d}. "
        f"Shown: {compared.impressions:,} items in {compared.requests:,} answers"
    )
    if compared.first and compared.last:
        said += (
            f", {compared.fallbacks:,} of them with help of the fallback list, "
            f"{compared.first:%Y-%m-%d %H:%M} to {compared.last:%Y-%m-%d %H:%M} UTC"
        )
    return said


def _evidently(compared: DriftData, columns: dict[str, Any], title: str) -> str:
    """Return Evidently's page of the columns with values on both sides; it works offline."""
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
