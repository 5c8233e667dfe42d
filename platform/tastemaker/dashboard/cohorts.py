"""Cohorts: the users of a week, and which share of them came back in each of the weeks after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from tastemaker.dashboard.charts.specs import lines
from tastemaker.dashboard.content import Chart, DataTable, TableCell, TableColumn
from tastemaker.dashboard.figure_table import figure_columns
from tastemaker.dashboard.formats import number
from tastemaker.dashboard.measured import is_number, missing
from tastemaker.dashboard.series import SeriesKey
from tastemaker.product.retention_metrics import WEEKS
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.shares import wilson

WEEKLY = "retention_week"
_HOW_TO_READ = (
    "Each row is the users of one week, and each column the share of them who were active in a week after "
    "their first day: week 1 is days 7 to 13. The darker, the more came back; below is the 95 % interval. "
    "Hatched cells are too young: their week is not over for all users. Grey cells have too few users."
)
_TOO_YOUNG = TableCell(None, small="too young", look="incomplete")
_NOT_COMPUTED = TableCell(None, small="not computed", look="too_little")


def cohort_table(rows: Iterable[Row[Any]], zone: ZoneInfo, now: datetime) -> DataTable:
    """Return a row per cohort with its share of each week, the oldest cohort first.

    Cells whose week is not over for all of the cohort's users are hatched: they have no figure, not 0.

    Args:
        rows: Rows of `retention_week`, one per cohort and week, in any order.
        zone: The shop's time zone.
        now: The present time, which says whose week is not over.
    """
    cells: dict[date, dict[int, Row[Any]]] = {}
    for row in rows:
        if (week := week_of(row)) is not None:
            cells.setdefault(row.window_start.astimezone(zone).date(), {})[week] = row
    later = [row.value for own in cells.values() for week, row in own.items() if week and _is_known(row)]
    most = max(later, default=1.0) or 1.0
    today = now.astimezone(zone).date()
    return DataTable(
        name="cohorts",
        title="Cohorts by week",
        columns=[
            TableColumn("cohort", "New in the week from", "day"),
            TableColumn("users", "Users", "number"),
            *(TableColumn(f"week_{week}", f"Week {week}", "share") for week in range(WEEKS)),
        ],
        rows=[
            [
                monday,
                max(row.n or 0 for row in own.values()),
                *(_cell(own.get(week), monday, week, today, most) for week in range(WEEKS)),
            ]
            for monday, own in sorted(cells.items())
        ],
        note=_HOW_TO_READ,
        empty="No week's new users have been followed yet.",
    )


def week_of(row: Row[Any]) -> int | None:
    """Return the week of a row's slice, such as 3 of `week=3`; None if it is not one."""
    name, _, number_ = str(row.slice).partition("=")
    return int(number_) if name == "week" and number_.isdecimal() and int(number_) < WEEKS else None


def _is_known(row: Row[Any]) -> bool:
    return row.is_complete and is_number(row.value)


def _cell(row: Row[Any] | None, monday: date, week: int, today: date, most: float) -> TableCell:
    if row is None:
        is_over = monday + timedelta(days=6 + 7 * week + 6) < today
        return _NOT_COMPUTED if is_over else _TOO_YOUNG
    if not row.is_complete:
        return _TOO_YOUNG
    if not is_number(row.value):
        return TableCell(None, small=missing(row), look="too_little")
    has_ends = is_number(row.low) and is_number(row.high)
    ends = f"{100 * row.low:.0f}–{100 * row.high:.0f} %" if has_ends else ""
    return TableCell(row.value, small=ends, tone=min(row.value / most, 1.0))


def curves(found: Mapping[SeriesKey, Sequence[Row[Any]]]) -> Chart:
    """Return a line per version: the share of all its cohorts' users who came back in each week.

    A week has only cohorts for which it is over, and which have users enough for a figure of their own.

    Args:
        found: Rows of `retention_week` of each version.
    """
    data = [
        [week, series.name, pooled.value, pooled.low, pooled.high, pooled.users, cohorts]
        for series, rows in found.items()
        for week in range(WEEKS)
        for pooled, cohorts in [_pooled([row for row in rows if week_of(row) == week and _is_known(row)])]
        if cohorts
    ]
    columns = [
        TableColumn("week", "Week", "number"),
        TableColumn("version", "First version"),
        *figure_columns("share"),
        TableColumn("users", "Users", "number"),
        TableColumn("cohorts", "Cohorts", "number"),
    ]
    return Chart(
        title="Share of users who came back, by week after their first list",
        label=_in_words(data),
        spec=lines(
            "week", "value", unit="share", series="version", low="low", high="high",
            numbered="Week after the first list",
        ),
        table=DataTable(
            "by_first_version", "Retention by first version seen", columns, data,
            empty="No version's users have been followed for a week.",
        ),
    )  # fmt: skip


def _pooled(rows: Sequence[Row[Any]]) -> tuple[Interval, int]:
    """Return the share of all users of some cohorts, and the number of cohorts."""
    users = sum(row.n for row in rows)
    return wilson(sum(round(row.value * row.n) for row in rows), users), len(rows)


def _in_words(data: Sequence[Sequence[Any]]) -> str:
    weeks = {(week, name): (value, low, high) for week, name, value, low, high, *_ in data}
    said = [
        f"of {name} {number(value, 'share')} ({number(low, 'share')} to {number(high, 'share')})"
        for (week, name), (value, low, high) in weeks.items()
        if week == 1
    ]
    if not said:
        return "No version's users have been followed for a second week yet."
    return f"In week 1 came back: {'; '.join(said)}."
