"""A figure beside that of the same day a week earlier: does it differ by more than chance?

Users who came on both days make the difference more certain than its interval says, so that a difference is
rather not mentioned than mentioned wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard.formats import number
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.confidence import NONE, Ends
from tastemaker.stats.interval_difference import interval_difference

WEEK = timedelta(days=7)
ALIKE = 0.1
"""Figures that differ by a larger share are not called the same, however wide their intervals are."""
_SLACK = timedelta(hours=2)
"""A week in which clocks change is an hour longer or shorter."""


def difference(new: Row[Any], old: Row[Any]) -> Ends:
    """Return the 95 % interval of the difference of two figures, as if their users were independent.

    Args:
        new: A row of `measurements`.
        old: The row that is subtracted, of the same metric.

    Returns:
        The ends in the unit of the metric; NaN where one of the rows has no figure or no finite interval.
    """
    ends = (new.value, new.low, new.high, old.value, old.low, old.high)
    if any(one is None or not math.isfinite(one) for one in ends):
        return NONE
    found = interval_difference(
        Interval(new.value, new.low, new.high), Interval(old.value, old.low, old.high)
    )
    return Ends(found.low, found.high)


def week_before(row: Row[Any], rows: Sequence[Row[Any]]) -> Row[Any] | None:
    """Return the figure of the same day a week earlier; None if there is none.

    Args:
        row: A row of `measurements` over one day.
        rows: Rows of the same version over one day each, of any metrics and in any order.
    """
    for one in rows:
        if one.metric == row.metric and abs(row.window_start - one.window_start - WEEK) <= _SLACK:
            return one
    return None


def in_words(new: Row[Any], old: Row[Any] | None) -> str:
    """Return how a figure compares to the one a week earlier, such as `as last week (11.0 %)`.

    Args:
        new: A row of `measurements`; the text has its unit.
        old: Its row from `week_before`; None if there is none, which the text then says.
    """
    if old is None or old.value is None or new.value is None:
        return "no figure a week earlier"
    before = number(old.value, new.unit)
    low, high = difference(new, old)
    if math.isnan(low):
        return f"{before} a week earlier"
    if low <= 0 <= high:
        alike = abs(new.value - old.value) <= ALIKE * abs(old.value)
        return f"{'as' if alike else 'not measurably different from'} last week ({before})"
    return f"{'more' if low > 0 else 'less'} than last week ({before})"
