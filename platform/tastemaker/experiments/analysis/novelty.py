"""The effect by days since a unit's first exposure: does it fade, as with something new, or grow?

    slope of a unit      sᵢ = Σ_d c_d yᵢ_d        c_d = (d − d̄) / Σ_d (d − d̄)²
    slope of the effect  s̄_T − s̄_C, with Welch's interval over units

yᵢ_d is what unit i did on day d of its window. A unit's days resemble each other, so the slope is computed
within units and its interval is over units. It is a figure beside a plot, not a test that decides something.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.stats.effects import mean_effect
from tastemaker.stats.unit_summary import UnitSummary
from tastemaker.util.durations import DAY_SECONDS

FEWEST_DAYS = 2
"""Whole days of the window that a slope needs."""


class NoveltySlope(NamedTuple):
    """How the effect changes per day since first exposure."""

    variant: str
    per_day: float
    low: float
    high: float


def by_day(units: UnitTable, metric: UnitMetric) -> list[dict[str, UnitSummary]]:
    """Return the summaries of the variants' units on each whole day of the window.

    Args:
        units: Mature units with figures by day; without them there is no day.
        metric: The primary metric, which these figures are of.

    Returns:
        For each day since first exposure, variant -> summary of the metric's columns.
    """
    if units.days is None:
        return []
    count, size = _whole_days(units), len(units.variants)
    days = units.days.where(units.days.day < count)
    cell = days.day * size + units.variant[days.row]
    listed = np.bincount(cell, minlength=count * size)
    n = np.tile(np.bincount(units.variant, minlength=size), count)
    columns = [days.over, days.under][: len(metric.columns)]
    mean = np.array([np.bincount(cell, one, count * size) for one in columns]) / np.maximum(n, 1)
    off = [one - own[cell] for one, own in zip(columns, mean, strict=True)]
    # A unit without a row has 0 on this day, whose deviation from the mean is its negative.
    unlisted = n - listed
    scatter = np.array(
        [
            [
                np.bincount(cell, x * y, count * size) + unlisted * mean_x * mean_y
                for y, mean_y in zip(off, mean, strict=True)
            ]
            for x, mean_x in zip(off, mean, strict=True)
        ]
    )
    return [
        {
            name: UnitSummary(metric.columns, int(n[at]), mean[:, at], scatter[:, :, at])
            for at, name in enumerate(units.variants, day * size)
        }
        for day in range(count)
    ]


def slope(
    units: UnitTable, metric: UnitMetric, variant: str, control: str, alpha: float
) -> NoveltySlope | None:
    """Return the slope of the effect; None for ratios, for windows of less than two days, and without units.

    Args:
        units: As in `by_day`.
        metric: As in `by_day`.
        variant: The name of the variant that is compared with control.
        control: The name of control.
        alpha: One minus the interval's level.
    """
    days, count = units.days, _whole_days(units)
    rows = [units.rows_of(name) for name in (variant, control)]
    if days is None or metric.under is not None or count < FEWEST_DAYS or min(map(len, rows)) < 2:
        return None
    centred = np.arange(count) - (count - 1) / 2
    inside = days.day < count
    weighted = (centred / (centred @ centred))[days.day[inside]] * days.over[inside]
    own = np.bincount(days.row[inside], weighted, len(units))
    treatment, other = (UnitSummary.of({"slope": own[one]}) for one in rows)
    found = mean_effect(treatment, other, "slope", alpha=alpha)
    return NoveltySlope(variant, found.difference, found.low, found.high)


def _whole_days(units: UnitTable) -> int:
    return int(units.window_seconds // DAY_SECONDS)
