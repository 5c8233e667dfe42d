"""One figure over one window, as a row of the table `measurements` has it, and the windows of days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from tastemaker.product.definition import MIN_EVENTS, MIN_USERS
from tastemaker.product.shop_days import days_between
from tastemaker.stats.bootstrap import Interval

TRAILING_DAYS = (1, 7, 28, 90)
"""Lengths of the windows that end at each day."""


class MetricWindow(NamedTuple):
    """Whole days of the shop."""

    first: date
    last: date
    """Included."""

    @classmethod
    def ending(cls, last: date, days: int) -> MetricWindow:
        """Return the window of so many days up to a day.

        Args:
            last: The last day, which is included.
            days: The number of days, 1 or more.
        """
        return cls(last - timedelta(days=days - 1), last)


class Group(NamedTuple):
    """Whose lists a figure is of; empty: all."""

    model: str = ""
    version: str = ""
    experiment: str = ""
    variant: str = ""


class Level(NamedTuple):
    """Columns by whose values figures are computed."""

    keys: tuple[str, ...]
    where: str = "true"

    @property
    def columns(self) -> str:
        """The columns in SQL, each with a comma after it."""
        return "".join(f"{key}, " for key in self.keys)


class WindowEnds(NamedTuple):
    """Windows of one length that end on consecutive days."""

    first: date
    last: date
    days: int
    """Length of each window."""

    def window(self, last: date) -> MetricWindow:
        """Return the window that ends on a day."""
        return MetricWindow.ending(last, self.days)

    @property
    def windows(self) -> list[MetricWindow]:
        """The windows in order."""
        return [self.window(last) for last in days_between(self.first, self.last)]

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of `rows_of_windows`."""
        return {"first_end": self.first, "last_end": self.last, "days": self.days}


def rows_of_windows(table: str) -> str:
    """Return the SQL of a table's rows, once per window that has their day; `last` is the window's last day.

    The definitions' `WHERE day BETWEEN $first AND $last` for many windows at once: a query per window would
    take longer to be planned than to be run.
    """
    return f"""
        SELECT *, day + later::INTEGER AS last FROM (
            SELECT *, unnest(range(
                greatest($first_end - day, 0), least($last_end - day, $days - 1) + 1
            )) AS later
            FROM {table} WHERE day BETWEEN $first_end - ($days - 1)::INTEGER AND $last_end
        )"""  # noqa: S608 - our own


LEVELS = (
    Level(()),
    Level(("model",)),
    Level(("model", "version")),
    Level(("experiment", "variant"), "experiment <> ''"),
)


def group_of(level: Level, row: Mapping[str, Any]) -> Group:
    """Return the group of a row of a level's query; columns that the level does not have are empty.

    Args:
        level: Names the columns.
        row: Column -> value, with at least the columns of the level.
    """
    return Group(**{key: row[key] for key in level.keys})


class Cell(NamedTuple):
    """One figure."""

    metric: str
    window: MetricWindow
    group: Group
    value: float | None
    """None: too little data."""
    low: float | None
    high: float | None
    n: int
    """Users behind it."""
    is_complete: bool
    """Whether data of later days can't change it."""
    slice: str = ""

    @classmethod
    def estimate(
        cls,
        metric: str,
        window: MetricWindow,
        group: Group,
        found: Interval,
        events: float,
        *,
        is_complete: bool,
        slice: str = "",
    ) -> Cell:
        """Return a cell whose value is left out where users or events are too few.

        Args:
            metric: Name of the metric.
            window: The days that the figure covers.
            group: Whose lists.
            found: The value, its interval and the number of users.
            events: The number of events that the value rests on.
            is_complete: Whether data of later days can't change it.
            slice: Such as position=1.
        """
        is_enough = found.users >= MIN_USERS and events >= MIN_EVENTS
        value, low, high = (_finite(one) if is_enough else None for one in found)
        return cls(metric, window, group, value, low, high, found.users, is_complete, slice)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
