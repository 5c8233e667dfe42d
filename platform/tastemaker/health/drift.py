"""Has what is served moved away from what was learned? An Evidently page for people, a summary for machines.

Distances, not tests: with enough rows any difference is significant. Numbers are compared by the Wasserstein
distance in units of the learned side's standard deviation, labels by the Jensen-Shannon distance; a column
has drifted at THRESHOLD or more.
"""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Engine, insert

from tastemaker.data.lake import Lake
from tastemaker.files import appearing
from tastemaker.health.traffic import LABELS, NUMBERS, Traffic, traffic
from tastemaker.storage.tables import reports

if TYPE_CHECKING:
    from tastemaker.registry import Version

KIND = "drift"
THRESHOLD = 0.1
MIN_REQUESTS = 100
"""With fewer, the distances between two samples of the same traffic are about as large as the threshold."""
_METHODS = {
    "wasserstein": "Wasserstein distance / standard deviation",
    "jensenshannon": "Jensen-Shannon distance",
}

_NOTE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 1.05rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem }
p { border-left: 4px solid #d9a400; padding: .4rem 1rem; background: #fff8e1; color: #1f2933 }
</style>
<h1>$title</h1>
<p>$note</p>
</html>
""")


@dataclass(frozen=True)
class DriftReport:
    """One report. `summary` is what the database holds."""

    path: Path
    """The page; it needs no network."""
    summary: dict[str, Any]

    @property
    def drifted(self) -> list[str]:
        """The columns that moved."""
        return [name for name, column in self.summary["columns"].items() if column["drifted"]]


def drift_report(
    lake: Lake, engine: Engine, folder: Path, version: Version, *, min_requests: int = MIN_REQUESTS
) -> DriftReport:
    """Compare what `version` showed with what it learned from; write the page into `folder` and the summary.

    With fewer than `min_requests` answered requests the report says so instead of giving numbers.
    """
    compared = traffic(lake, version.manifest)
    now = datetime.now(UTC)
    path = folder / f"drift-{version.model}-{version.id}.html"
    columns: dict[str, Any] = {}
    note = _too_little(compared, min_requests)
    title = f"Drift of {version.model} {version.id}"
    if note is None:
        page, columns = _compare(compared)
        page = page.replace("<body>", f"<body>{_heading(title, compared)}", 1)
    else:
        page = _note_page(title, note)
    with appearing(path) as partial:
        partial.write_text(page, "utf-8")
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
        return "The lake no longer holds the events that this version learned from: nothing to compare with."
    if compared.requests < min_requests:
        return (
            f"This version has answered {compared.requests:,} logged requests; from {min_requests:,} on, "
            "their drift from the training window is measured here."
        )
    return None


def _summary(compared: Traffic, columns: dict[str, Any], note: str | None) -> dict[str, Any]:
    return {
        "note": note,
        "events_learned": compared.events,
        "requests": compared.requests,
        "impressions": compared.impressions,
        "fallback_share": compared.fallbacks / compared.requests if compared.requests else None,
        "threshold": THRESHOLD,
        "columns": columns,
    }


def _compare(compared: Traffic) -> tuple[str, dict[str, Any]]:
    """Evidently's page, and for each column its distance."""
    os.environ["DO_NOT_TRACK"] = "1"  # read when evidently is imported
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    numbers = [name for name in NUMBERS if _has_values(compared.learned[name], compared.shown[name])]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=list(LABELS))
    shown, learned = (
        Dataset.from_pandas(side.select([*numbers, *LABELS]).to_pandas(), data_definition=definition)
        for side in (compared.shown, compared.learned)
    )
    drift = DataDriftPreset(
        num_method="wasserstein", num_threshold=THRESHOLD, cat_method="jensenshannon", cat_threshold=THRESHOLD
    )
    snapshot = Report([drift, DataSummaryPreset()]).run(shown, learned)
    columns = {}
    for metric in snapshot.dict()["metrics"]:
        config = metric["config"]
        if config["type"].endswith("ValueDrift"):
            name, distance = config["column"], float(metric["value"])
            columns[name] = {
                "distance": distance,
                "drifted": distance >= THRESHOLD,
                "measure": _METHODS["wasserstein" if name in numbers else "jensenshannon"],
            }
    return snapshot.get_html_str(as_iframe=False), columns


def _has_values(*sides: pa.ChunkedArray) -> bool:
    """A column without a value on one side can't be compared: a shop may have no prices."""
    return all(side.null_count < len(side) for side in sides)


def _heading(title: str, compared: Traffic) -> str:
    """What is compared with what, above Evidently's own page."""
    said = (
        f"Reference: {compared.events:,} events of the training window. "
        f"Current: {compared.impressions:,} items shown in {compared.requests:,} answers, "
        f"{compared.fallbacks:,} of them with popular items filled in; "
        f"{compared.first:%Y-%m-%d %H:%M} to {compared.last:%Y-%m-%d %H:%M} UTC."
    )
    style = "font:1rem/1.5 system-ui,sans-serif;padding:1rem 2rem 0"
    return f'<header style="{style}"><h1>{html.escape(title)}</h1><p>{html.escape(said)}</p></header>'


def _note_page(title: str, note: str) -> str:
    return _NOTE.substitute(title=html.escape(title), note=html.escape(note))
