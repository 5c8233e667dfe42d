"""Drift report of a version: did something change in who comes, what is asked for, shown and chosen?

Each side is compared with its own like: see `drift_rows` for the four sides, `drift_reference` for what they
are compared with, and `drift_distances` for when a difference is more than usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from tastemaker.data.lake import Lake
from tastemaker.monitoring import drift_details, drift_page
from tastemaker.monitoring.drift_columns import ComparedColumn, compare_columns, verdict
from tastemaker.monitoring.drift_current import CurrentTraffic, current_traffic
from tastemaker.monitoring.drift_reference import DriftReference
from tastemaker.monitoring.drift_rows import DAY
from tastemaker.monitoring.drift_sides import Side
from tastemaker.monitoring.evidently_pages import SUFFIX
from tastemaker.monitoring.report_archive import PAGE, ReportArchive, ReportSubject

if TYPE_CHECKING:
    from tastemaker.registry import Version

MIN_REQUESTS = 100
"""A day with fewer requests or events is compared together with days before it."""


@dataclass(frozen=True)
class DriftReport:
    """Drift report of one version: the page, and the summary that is stored in the database."""

    path: Path
    """The path of the page, which works offline."""
    summary: dict[str, Any]


def most_served(lake: Lake, *, days: int = 1) -> str | None:
    """Return the id of the version that answered most requests of the newest days; None without requests.

    Args:
        lake: The lake with the request log.
        days: The number of newest days with requests.
    """
    newest = lake.days("requests")[-days:]
    if not newest:
        return None
    with lake.connect() as connection:
        found = connection.execute(
            "SELECT version FROM requests WHERE occurred_at::DATE >= ? GROUP BY version "
            "ORDER BY count(DISTINCT request_id) DESC, version DESC LIMIT 1",
            [newest[0]],
        ).fetchone()
    return None if found is None else str(found[0])


def drift_report(
    lake: Lake,
    engine: Engine,
    folder: Path,
    version: Version,
    reference: DriftReference,
    *,
    user_columns: Sequence[str] = (),
    min_requests: int = MIN_REQUESTS,
    now: datetime | None = None,
) -> DriftReport:
    """Write a version's drift report, as a page and as a summary in the database.

    Args:
        lake: The lake with the events and the request log.
        engine: The metadata database, which gets the summary.
        folder: The folder of all reports, which gets the pages.
        version: The version whose traffic is compared.
        reference: The rows that its traffic is compared with.
        user_columns: The shop's own columns of users that are compared.
        min_requests: A window of fewer requests is not compared.
        now: The time of the report: its day is not complete. None: the current time.

    Returns:
        The report, also where too few requests were answered for a comparison: its summary then says so.
    """
    now = now or datetime.now(UTC)
    current = current_traffic(
        lake, version.id, reference, user_columns=user_columns, min_requests=min_requests, now=now
    )
    compared = compare_columns(reference, current)
    summary = _summary(reference, current, compared, min_requests)
    name = f"{version.model} {version.id}"
    details = drift_details.histograms(name, reference, current, compared)
    links = {side: f"{side}{SUFFIX}" for side in details}
    path = ReportArchive(engine, folder).write(
        ReportSubject("drift", version.problem, version.id, version.model),
        summary,
        {links[side]: document for side, document in details.items()}
        | {PAGE: drift_page.render(f"Drift report: {name}", summary, now, links)},
        created_at=now,
        window=_window(current),
    )
    return DriftReport(path, summary)


def _window(current: CurrentTraffic) -> tuple[datetime | None, datetime | None]:
    if not current.days:
        return None, None
    first, last = (datetime.combine(day, clock_time(), UTC) for day in (current.days[0], current.days[-1]))
    return first, last + timedelta(days=1)


def _summary(
    reference: DriftReference,
    current: CurrentTraffic,
    compared: Sequence[ComparedColumn],
    min_requests: int,
) -> dict[str, Any]:
    note = None
    if not current.days:
        note = (
            f"This version has answered {current.all_requests:,} logged requests; it is compared from "
            f"{min_requests:,} requests in at most four days on."
        )
    columns = [one.as_dict() for one in compared]
    said = verdict(compared) if compared else "It can't be said yet whether something changed."
    return {
        "verdict": said if note is None else f"{said} {note}",
        "alarm": any(one["alarm"] for one in columns),
        "note": note,
        "requests": current.requests,
        "days": [day.isoformat() for day in current.days],
        "reference_days": _reference_days(reference),
        "columns": columns,
    }


def _reference_days(reference: DriftReference) -> dict[Side, list[str]]:
    """Return the first and the last day of each side's reference."""
    days = {side: sorted(set(rows[DAY].to_pylist())) for side, rows in reference.sides.items()}
    return {side: [found[0].isoformat(), found[-1].isoformat()] for side, found in days.items() if found}
