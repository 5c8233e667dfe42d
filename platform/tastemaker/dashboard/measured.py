"""Reads of `measurements` that several pages share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, select

from tastemaker.dashboard.content import Figure
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.storage.tables import Moment, measurements

M = measurements.c
DAY = timedelta(days=1)
_SLACK = timedelta(hours=2)
"""Days in which clocks change are an hour longer or shorter."""


def restricted(filters: PageFilters, *, names: Sequence[str] = ("model", "version")) -> Select[Any]:
    """Return a selection of measurements to which the filters apply; those not in `names` are not sliced."""
    statement = select(measurements)
    for name in ("model", "version", "experiment", "variant", "problem", "slice"):
        wanted = getattr(filters, name)
        if wanted:
            statement = statement.where(M[name] == wanted)
        elif name not in names and name != "problem":
            statement = statement.where(M[name] == "")
    return statement


def latest(
    reader: DashboardReader, metrics: Sequence[str], filters: PageFilters, *, names: Sequence[str] = ()
) -> Sequence[Row[Any]]:
    """Return the newest figures over the filters' period.

    Args:
        reader: The reader.
        metrics: Names of metrics.
        filters: Restrictions, and the period in days.
        names: Columns that may have any value, such as model and version.

    Returns:
        Rows of `measurements`, at most one per metric and the columns in `names`.
    """
    length = timedelta(days=filters.period)
    statement = restricted(filters, names=names).where(M.metric.in_(metrics))
    found = [
        row
        for row in reader.rows(statement.where(M.window_end > reader.now - length - 30 * DAY))
        if abs(row.window_end - row.window_start - length) <= _SLACK
    ]
    newest: dict[tuple[str, ...], Row[Any]] = {}
    for row in sorted(found, key=lambda row: row.window_end):
        newest[(row.source, row.metric, *(getattr(row, name) for name in names))] = row
    return list(newest.values())


def daily(
    reader: DashboardReader, metrics: Sequence[str], filters: PageFilters, *, names: Sequence[str] = ()
) -> Sequence[Row[Any]]:
    """Return the figures of each day of the filters' period, oldest first; see `latest` for the arguments."""
    since = reader.now - (filters.period + 1) * DAY
    statement = restricted(filters, names=names).where(M.metric.in_(metrics), M.window_start >= since)
    found = reader.rows(statement.order_by(M.window_start))
    return [row for row in found if abs(row.window_end - row.window_start - DAY) <= _SLACK]


def names_of(reader: DashboardReader, column: str, filters: PageFilters) -> list[str]:
    """Return the models or versions that have figures, for a filter."""
    statement = select(M[column]).where(M[column] != "").distinct().order_by(M[column])
    if column == "version" and filters.model:
        statement = statement.where(M.model == filters.model)
    return [row[0] for row in reader.rows(statement)]


def newest_time(reader: DashboardReader) -> datetime | None:
    """Return when figures were computed last; None if there are none."""
    found: datetime | None = reader.rows(select(func.max(M.computed_at, type_=Moment)))[0][0]
    return found


def figure(row: Row[Any], title: str, window: str, *, comparison: str = "") -> Figure:
    """Return a row of `measurements` as a figure."""
    missing = "" if row.value is not None else f"{row.n or 0:,} users of 30, or fewer than 10 events"
    return Figure(
        metric=row.metric, title=title, value=row.value, unit=row.unit, window=window, low=row.low,
        high=row.high, n=row.n, as_of=row.computed_at, missing=missing, comparison=comparison,
    )  # fmt: skip
