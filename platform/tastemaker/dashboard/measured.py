"""Reads of `measurements` that several pages share.

A read follows an index: a source's newest window of a metric first, then the rows of that window. So a page
takes as long with 90 days of a thousand versions as with a few.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import CTE, ColumnElement, Row, Select, and_, false, func, or_, select

from tastemaker.dashboard.content import Figure
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day, interval, number
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.product.definition import MIN_EVENTS, MIN_USERS
from tastemaker.storage.distinct_values import distinct_values
from tastemaker.storage.intervals import DaysBetween
from tastemaker.storage.tables import measurements

M = measurements.c
DAY = timedelta(days=1)
OLDEST_DAYS = 30
"""A window that is over for longer than this, beside its own length, is not shown as a present one."""
_LENGTH = DaysBetween(M.window_start, M.window_end)
_SLACK = 0.1
"""In days: where clocks change, a day is an hour longer or shorter."""
VersionKey = tuple[str, str]
"""Model and version."""


class MeasuredWindow(NamedTuple):
    """A window of a source's metric."""

    source: str
    metric: str
    start: datetime
    end: datetime


def restricted(filters: PageFilters, *, names: Sequence[str] = ("model", "version")) -> Select[Any]:
    """Return a selection of measurements to which the filters apply.

    Args:
        filters: A column that they name must have that value; the period does not matter.
        names: Columns that may have any value where the filters name none. The other columns must be empty
            there, so that figures over everything are selected; the problem may always have any value.
    """
    statement = select(measurements)
    for name in ("model", "version", "experiment", "variant", "problem", "slice"):
        wanted = getattr(filters, name)
        if wanted:
            statement = statement.where(M[name] == wanted)
        elif name not in names and name != "problem":
            statement = statement.where(M[name] == "")
    return statement


def latest(
    reader: DashboardReader,
    metrics: Sequence[str],
    filters: PageFilters,
    *,
    names: Sequence[str] = (),
    versions: Sequence[VersionKey] | None = None,
) -> Sequence[Row[Any]]:
    """Return the newest figures over the filters' period.

    Args:
        reader: Reads the table `measurements`; has the present time.
        metrics: Names of metrics.
        filters: Restrictions, and the period in days.
        names: Columns that may have any value, such as model and version.
        versions: Only of these; None: of all.

    Returns:
        Rows of `measurements`, at most one per source, metric and the columns in `names`: those of the newest
        complete window of each source and metric.
    """
    windows = newest_windows(reader, metrics, filters.period)
    statement = restricted(filters, names=names).where(within(windows), of_versions(versions))
    return reader.rows(statement) if windows else []


def versions_by_users(
    reader: DashboardReader, metrics: Sequence[str], filters: PageFilters
) -> dict[VersionKey, int]:
    """Return the users of each version over the filters' period, the version with most users first.

    Args:
        reader: Reads the table `measurements`.
        metrics: Names of metrics; the users of a version are the most that a figure of one of them has.
        filters: Restrictions, and the period in days.

    Returns:
        Users by model and version, from the newest complete windows; 0 where no figure has a count of users.
    """
    windows = newest_windows(reader, metrics, filters.period)
    if not windows:
        return {}
    mine = figures_within(filters, windows, M.version != "").c
    users = func.coalesce(func.max(mine.n), 0).label("users")
    counted = select(mine.model, mine.version, users).group_by(mine.model, mine.version)
    rows = reader.rows(counted.order_by(users.desc(), mine.model, mine.version))
    return {(row.model, row.version): row.users for row in rows}


def newest_windows(reader: DashboardReader, metrics: Iterable[str], days: int) -> list[MeasuredWindow]:
    """Return the newest complete window of each source and metric that has a recent one.

    Args:
        reader: Reads the table `measurements`; has the present time.
        metrics: Names of metrics.
        days: Length of the windows. One that ended more than this and `OLDEST_DAYS` ago is not recent.

    Returns:
        At most one window per source and metric, by source, then in the order of `metrics`.
    """
    found = []
    for source in sources(reader):
        for metric in metrics:
            newest = (
                select(M.window_start, M.window_end)
                .where(M.source == source, M.metric == metric, M.is_complete)
                .where(M.window_end > reader.now - (days + OLDEST_DAYS) * DAY)
                .where(lasting(days))
                .order_by(M.window_end.desc())
                .limit(1)
            )
            found += [MeasuredWindow(source, metric, *row) for row in reader.rows(newest)]
    return found


def daily(
    reader: DashboardReader,
    metrics: Sequence[str],
    filters: PageFilters,
    *,
    names: Sequence[str] = (),
    versions: Sequence[VersionKey] | None = None,
) -> Sequence[Row[Any]]:
    """Return the figures of each day of the filters' period.

    Args:
        reader: Reads the table `measurements`; has the present time, at which the period ends.
        metrics: Names of metrics.
        filters: Restrictions, and the period in days.
        names: Columns that may have any value, such as model and version.
        versions: Only of these; None: of all.

    Returns:
        Rows of `measurements` over one day each, also of days that are not complete; the oldest first.
    """
    since = reader.now - (filters.period + 1) * DAY
    statement = restricted(filters, names=names).where(M.metric.in_(metrics), M.window_start >= since)
    statement = statement.where(M.window_end > since, lasting(1))  # the index has the end
    if versions is None:
        return reader.rows(statement.order_by(M.window_start))
    # One read per version follows the index of versions; one read with OR would go through all versions.
    found = [row for one in versions for row in reader.rows(statement.where(of_versions([one])))]
    return sorted(found, key=lambda row: row.window_start)


def lasting(days: int) -> ColumnElement[bool]:
    """Return the condition for windows of so many days."""
    return _LENGTH.between(days - _SLACK, days + _SLACK)


def sources(reader: DashboardReader) -> list[str]:
    """Return the sources that have figures."""
    return _distinct(reader, M.source)


def names_of(reader: DashboardReader, column: str, filters: PageFilters) -> list[str]:
    """Return the values of a column that figures have, in alphabetical order, without the empty one.

    Args:
        reader: Reads the table `measurements`.
        column: `version`, or a column with which an index begins, such as `model` or `metric`.
        filters: Its model restricts the versions; nothing else of it matters.
    """
    if column != "version":
        return _distinct(reader, M[column])
    models = [filters.model] if filters.model else ["", *_distinct(reader, M.model)]
    return sorted({name for model in models for name in _distinct(reader, M.version, M.model == model)})


def day_of(reader: DashboardReader, row: Row[Any]) -> date:
    """Return the shop's day on which a row's window begins.

    Args:
        reader: Has the shop's time zone.
        row: A row of `measurements`.
    """
    start: datetime = row.window_start
    return start.astimezone(reader.timezone).date()


def is_number(value: float | None) -> bool:
    """Return whether there is a figure; what was reported may be infinite."""
    return value is not None and math.isfinite(value)


def missing(row: Row[Any]) -> str:
    """Return why a row has no figure, such as `12 of 30 users`."""
    if row.value is not None:
        return "what was reported is not a number"
    users = row.n or 0
    return f"{users:,} of {MIN_USERS} users" if users < MIN_USERS else f"fewer than {MIN_EVENTS} events"


def window(reader: DashboardReader, row: Row[Any]) -> str:
    """Return the period of a row in words, such as `28 days until 28 Nov 2026`.

    Args:
        reader: Has the shop's time zone.
        row: A row of `measurements`.
    """
    last = (row.window_end - DAY / 2).astimezone(reader.timezone).date()
    days = round((row.window_end - row.window_start) / DAY)
    return f"{last:%A}, {day(last)}" if days == 1 else f"{days} days until {day(last)}"


def in_words(row: Row[Any]) -> str:
    """Return a row's figure with its interval, such as `0.37 GBP (0.31 to 0.42)`; of no figure, why."""
    if not is_number(row.value):
        return missing(row)
    between = interval(figure(row, "", ""))
    return f"{number(row.value, row.unit)} ({between})" if between else number(row.value, row.unit)


def figure(row: Row[Any], title: str, window: str, *, comparison: str = "") -> Figure:
    """Return a row of `measurements` as a figure; one without a finite value says why.

    Args:
        row: The row; of one without a finite value the figure says why.
        title: What is written above the figure.
        window: The period in words, from `window`.
        comparison: The figure beside an earlier one, in words; empty: none.
    """
    has_value = is_number(row.value)
    return Figure(
        metric=row.metric, title=title, value=row.value if has_value else None, unit=row.unit, window=window,
        low=row.low, high=row.high, n=row.n, as_of=row.computed_at, missing="" if has_value else missing(row),
        comparison=comparison,
    )  # fmt: skip


def within(windows: Sequence[MeasuredWindow]) -> ColumnElement[bool]:
    """Return the condition for complete figures of some windows."""
    return or_(
        false(),
        *(
            and_(
                M.source == one.source,
                M.metric == one.metric,
                M.is_complete,
                M.window_end == one.end,
                M.window_start == one.start,
            )
            for one in windows
        ),
    )


def figures_within(
    filters: PageFilters,
    windows: Sequence[MeasuredWindow],
    *where: ColumnElement[bool],
    names: Sequence[str] = ("model", "version"),
) -> CTE:
    """Return the complete figures of some windows, which the database selects before it groups them.

    If it did both at once, it would read all figures in the order of the groups.

    Args:
        filters: As in `restricted`.
        windows: From `newest_windows`.
        where: What else restricts them.
        names: As in `restricted`.
    """
    statement = restricted(filters, names=names).where(within(windows), *where)
    return statement.cte("figures").prefix_with("MATERIALIZED")


def of_versions(versions: Sequence[VersionKey] | None) -> ColumnElement[bool]:
    """Return the condition for some versions; the pair is compared in the index of models and versions."""
    if versions is None:
        return M.metric != ""
    return or_(false(), *(and_(M.model == model, M.version == version) for model, version in versions))


def _distinct(reader: DashboardReader, column: ColumnElement[str], *where: ColumnElement[bool]) -> list[str]:
    """Return the values of a column except the empty one."""
    values = distinct_values(column, column > "", *where)  # != would read each row with an empty value
    return [row.name for row in reader.rows(select(values.c.name)) if row.name is not None]
