"""Reported figures, in the table of our own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from tastemaker.api.report_schemas import ReportedMeasurement
from tastemaker.report_in.rows import AcceptedRow, utc_datetime
from tastemaker.storage.tables import measurements
from tastemaker.storage.upserts import upsert

_AS_REPORTED = (
    "model", "version", "experiment", "variant", "slice", "metric", "unit", "value", "low", "high", "n",
)  # fmt: skip


def write_measurements(
    connection: Connection,
    rows: Sequence[AcceptedRow[ReportedMeasurement]],
    source: str,
    problem: str,
    now: datetime,
) -> None:
    """Store reported figures; a figure that was reported before is replaced.

    Args:
        connection: Of the metadata database.
        rows: Figures that fit.
        source: Who reports them.
        problem: The name of the problem in use; empty without one.
        now: When they came, UTC.
    """
    upsert(connection, measurements, [_row(one.row, source, problem, now) for one in rows])


def _row(row: ReportedMeasurement, source: str, problem: str, now: datetime) -> dict[str, object]:
    end = utc_datetime(row.window_end)
    return {
        **{name: getattr(row, name) for name in _AS_REPORTED},
        "source": source,
        "problem": problem,
        "window_start": utc_datetime(row.window_start),
        "window_end": end,
        "is_complete": end <= now,
        "computed_at": now,
    }
