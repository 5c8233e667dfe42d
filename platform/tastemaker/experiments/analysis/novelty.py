"""The effect by days since a unit's first exposure: does it fade, as with something new, or grow?

    slope of a unit      sᵢ = Σ_d c_d yᵢ_d        c_d = (d − d̄) / Σ_d (d − d̄)²
    slope of the effect  s̄_T − s̄_C, with Welch's interval over units

yᵢ_d is what unit i did on day d of its window. A unit's days resemble each other, so the slope is computed
within units and its interval is over units. It is a figure beside a plot, not a test that decides something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tastemaker.experiments.analysis.comparison import VariantComparison
from tastemaker.experiments.analysis.metrics import UnitMetric
from tastemaker.experiments.analysis.unit_table import Bool, UnitDays, UnitTable
from tastemaker.stats.effects import mean_effect
from tastemaker.stats.unit_summary import Float64, UnitSummary
from tastemaker.util.durations import DAY_SECONDS

FEWEST_DAYS = 2
"""Whole days of the window that a slope needs."""


class NoveltySlope(NamedTuple):
    """How the effect changes per day since first exposure."""

    variant: str
    per_day: float
    low: float
    high: float


def by_day(units: UnitTable, metric: UnitMetric, variant: str, control: str) -> Iterator[VariantComparison]:
    """Yield a variant's comparison on each whole day of the window; the slice is day=0, day=1, ...

    Args:
        units: Mature units with figures by day.
        metric: The primary metric, which these figures are of.
        variant: The variant.
        control: The name of control.
    """
    if (days := units.days) is None:
        return
    sides = [units.variant == units.variants.index(name) for name in (variant, control)]
    for day in range(_whole_days(units)):
        some = days.where(days.day == day)
        pairs = [_summary(some, side, metric) for side in sides]
        yield VariantComparison(metric, variant, "exploratory", f"day={day}", False, [(pairs[0], pairs[1])])


def slope(
    units: UnitTable, metric: UnitMetric, variant: str, control: str, alpha: float
) -> NoveltySlope | None:
    """Return the slope of the effect; None for ratios, for windows of less than two days, and without units.

    Args:
        units: As in `by_day`.
        metric: As in `by_day`.
        variant: The variant.
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


def _summary(days: UnitDays, side: Bool, metric: UnitMetric) -> UnitSummary:
    """Return the summary of a day over the units of one side; units without a row have 0."""
    n = int(side.sum())
    chosen = side[days.row]
    values: Float64 = np.column_stack([days.over, days.under][: len(metric.columns)])[chosen]
    mean = values.sum(axis=0) / max(n, 1)
    # Rows of the units that are not listed are 0, whose deviation from the mean is its negative.
    off = values - mean
    scatter = off.T @ off + (n - len(values)) * np.outer(mean, mean)
    return UnitSummary(metric.columns, n, mean, scatter)
