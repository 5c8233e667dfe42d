"""Verdict about one guardrail of one variant, from the units of the variant and of the concurrent control.

    loss     d = ± (T − C)                            above 0: the variant is worse
    error    w = max(v_T + v_C, s² (1/n_T + 1/n_C))   Welch's variance, and that of equal variants
    reach    r = √(w/v) · b(v)                        b: the one-sided sequence, v = m_T m_C / (m_T + m_C)
    harm     d − r > 0 and d > margin/2
    safe     d + r < margin
    unknown  else, and with fewer than 50 units

The interval d ± r holds at all times at once, so checks may be made each minute. m counts observations:
units, or days of units. The days of a unit resemble each other, so that information grows no faster than m.
As the bound's z is smallest where it was tuned, an m that runs ahead only makes it larger.

Welch's variance alone would call a small variant harmful in which no unit has bought yet, and the pooled one
alone a small variant in which one unit had a fault. Shares get one good and one bad unit more per group: few
units without a fault do not prove that there are none.

References: `tastemaker.stats.confidence_sequences`; A. Agresti and B. Caffo, "Simple and effective confidence
intervals for proportions and differences of proportions", The American Statistician 54(4), 2000.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from tastemaker.stats.confidence_sequences import bound_above, tightest_at
from tastemaker.stats.effects import ratio_effect
from tastemaker.stats.unit_summary import UnitSummary

Verdict = Literal["safe", "harm", "unknown", "stale"]
"""Stale: there are no data, they are too old, or they could not be read. That is never evidence."""
Family = Literal["serving", "reward"]
"""What the service does (shares, which should be small), or what users do (relative differences)."""

OVER, UNDER = "over", "under"
"""Columns of a guardrail's summary: a metric is Σ over / Σ under."""
MIN_UNITS = 50
"""Units of the variant and of control below which nothing is said."""
_PSEUDO_UNITS = UnitSummary.of({OVER: [0.0, 1.0], UNDER: [1.0, 1.0]})


class MetricGuard(NamedTuple):
    """A guardrail of one variant, with what was fixed before its data."""

    metric: str
    family: Family
    margin: float
    """The accepted loss: a difference of shares (serving), or relative to control (reward)."""
    alpha: float
    """Probability of calling an equal variant harmful, over all checks."""
    tuned_at: float
    """v at which the sequence is tightest: that of the first step's units."""
    is_higher_better: bool = False


class GuardVerdict(NamedTuple):
    """What the data say about a guardrail, with the figures that it rests on."""

    verdict: Verdict
    units: int = 0
    control_units: int = 0
    value: float | None = None
    control_value: float | None = None
    low: float | None = None
    """Lower end of the interval of variant − control that holds at all times at once."""
    high: float | None = None


STALE = GuardVerdict("stale")


def evaluate(guard: MetricGuard, variant: UnitSummary | None, control: UnitSummary | None) -> GuardVerdict:
    """Compare a variant with the concurrent control on one guardrail.

    Args:
        guard: The metric's margin and error rate, fixed before the data.
        variant: Units of the variant with the columns `OVER` and `UNDER`; None or empty: no data.
        control: Units that control got since the same time, likewise.

    Returns:
        Stale without data of both; unknown, without an interval, for fewer than `MIN_UNITS` units of either
        or where the error of the difference is 0.
    """
    if variant is None or control is None or not (_has_data(variant) and _has_data(control)):
        return STALE
    figures = (variant.n, control.n, _ratio(variant), _ratio(control))
    if min(variant.n, control.n) < MIN_UNITS:
        return GuardVerdict("unknown", *figures)
    observed = _observations(guard, variant), _observations(guard, control)
    if guard.family == "serving":
        variant, control = variant + _PSEUDO_UNITS, control + _PSEUDO_UNITS
    effect = ratio_effect(variant, control, OVER, UNDER)
    error = math.sqrt(max(effect.standard_error**2, _pooled(variant, control)))
    if not error > 0:  # all units have the same value, such as no purchase yet
        return GuardVerdict("unknown", *figures)
    information = observed[0] * observed[1] / sum(observed)
    rho = tightest_at(guard.tuned_at, 2 * guard.alpha)
    reach = error * bound_above(information, rho, guard.alpha) / math.sqrt(information)
    difference = effect.difference
    loss = -difference if guard.is_higher_better else difference
    margin = guard.margin if guard.family == "serving" else guard.margin * abs(effect.control)
    verdict: Verdict = "unknown"
    if loss - reach > 0 and loss > margin / 2:
        verdict = "harm"
    elif loss + reach < margin:
        verdict = "safe"
    return GuardVerdict(verdict, *figures, difference - reach, difference + reach)


def _has_data(group: UnitSummary) -> bool:
    return group.n > 0 and group.mean[group.at(UNDER)] > 0


def _ratio(group: UnitSummary) -> float:
    return float(group.mean[group.at(OVER)] / group.mean[group.at(UNDER)])


def _observations(guard: MetricGuard, group: UnitSummary) -> float:
    return group.n * (float(group.mean[group.at(UNDER)]) if guard.family == "serving" else 1.0)


def _pooled(variant: UnitSummary, control: UnitSummary) -> float:
    """Return the variance of the difference if both groups are alike."""
    both = variant + control
    under = float(both.mean[both.at(UNDER)])
    _, variance = both.weighted({OVER: 1 / under, UNDER: -_ratio(both) / under})
    return variance * (1 / variant.n + 1 / control.n)
