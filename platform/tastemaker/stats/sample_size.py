"""Units that an experiment needs to find an effect.

    n_C = (z_{1−α/2} + z_{1−β})² · (σ_C² + σ_T²/r) (1 − ρ²) · R / δ²        n_T = r · n_C

σ² is the variance of a unit's value, by variant, ρ its correlation with what CUPED adjusts by, R the sample
factor of the looks (`group_sequential.sample_factor`), r the treatment's units per unit of control, δ the
effect. A finding of the wrong sign does not count as power.

Reference: J. Cohen, "Statistical power analysis for the behavioral sciences", 1988, chapter 2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtri


class PowerPlan(NamedTuple):
    """What decides about units and effects, besides the variance."""

    alpha: float = 0.05
    """Two-sided false positive rate."""
    power: float = 0.8
    """Probability of finding the effect."""
    correlation: float = 0.0
    """ρ between a unit's value and what it is adjusted by, −1 to 1."""
    factor: float = 1.0
    """R, the sample factor of the looks; 1 with one look."""
    ratio: float = 1.0
    """r, units of the treatment per unit of control."""


def units_needed(
    effect: float, variance: float, plan: PowerPlan | None = None, *, treated_variance: float | None = None
) -> tuple[float, float]:
    """Return the units of control and of the treatment that find an effect; not rounded.

    Args:
        effect: δ, in the value's unit; its sign does not matter.
        variance: σ_C² of a unit's value.
        plan: Error rates, adjustment and looks.
        treated_variance: σ_T², which an effect may change; None: as of control.

    Raises:
        ValueError: The effect is 0 or an argument is out of range.

    >>> round(units_needed(0.05, 1.0)[0], 5)
    6279.10379
    """
    plan = plan or PowerPlan()
    if not math.isfinite(effect) or effect == 0:
        raise ValueError(f"effect is {effect}, must be a number other than 0")
    treated = variance if treated_variance is None else treated_variance
    control = _numerator(variance, treated, plan) / effect**2
    return control, plan.ratio * control


def _numerator(variance: float, treated: float, plan: PowerPlan) -> float:
    for name, value in (("alpha", plan.alpha), ("power", plan.power)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}, must be above 0 and below 1")
    if not (
        variance >= 0 and treated >= 0 and -1 <= plan.correlation <= 1 and plan.factor >= 1 and plan.ratio > 0
    ):
        limits = "variance >= 0, correlation -1 to 1, factor >= 1, ratio > 0"
        raise ValueError(f"variance is {variance} and the plan {plan}, must be: {limits}")
    z = float(ndtri(1 - plan.alpha / 2) + ndtri(plan.power))
    return z**2 * (variance + treated / plan.ratio) * (1 - plan.correlation**2) * plan.factor
