"""A figure beside an earlier one: does it differ by more than chance?

    low  = d - √((x₁ - l₁)² + (u₀ - x₀)²)      d = x₁ - x₀
    high = d + √((u₁ - x₁)² + (x₀ - l₀)²)

[l, u] are the two intervals of 95 %, and d the difference of the figures x. It is the interval of d if the
two figures are independent of each other. Users who came on both days make d more certain than that, so that
a difference is rather not mentioned than mentioned wrongly.

Reference: G. Zou and A. Donner, "Construction of confidence limits about effect measures", Statistics in
Medicine 27(10), 2008 (the method of variance estimates recovery).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard.formats import number
from tastemaker.stats.confidence import NONE, Ends

WEEK = timedelta(days=7)
_SLACK = timedelta(hours=2)
"""A week in which clocks change is an hour longer or shorter."""


def difference(new: Row[Any], old: Row[Any]) -> Ends:
    """Return the 95 % interval of the difference of two figures; NaN where one has no interval."""
    ends = (new.value, new.low, new.high, old.value, old.low, old.high)
    if any(one is None or not math.isfinite(one) for one in ends):
        return NONE
    d = new.value - old.value
    return Ends(
        d - math.hypot(new.value - new.low, old.high - old.value),
        d + math.hypot(new.high - new.value, old.value - old.low),
    )


def week_before(row: Row[Any], rows: Sequence[Row[Any]]) -> Row[Any] | None:
    """Return the figure of the same day a week earlier, of rows of one version; None if there is none."""
    for one in rows:
        if one.metric == row.metric and abs(row.window_start - one.window_start - WEEK) <= _SLACK:
            return one
    return None


def in_words(new: Row[Any], old: Row[Any] | None) -> str:
    """Return how a figure compares to the one a week earlier, such as `as last week (11.0 %)`."""
    if old is None or old.value is None or new.value is None:
        return "no figure a week earlier"
    before = number(old.value, new.unit)
    low, high = difference(new, old)
    if math.isnan(low):
        return f"{before} a week earlier"
    if low <= 0 <= high:
        return f"as last week ({before})"
    return f"{'more' if low > 0 else 'less'} than last week ({before})"
