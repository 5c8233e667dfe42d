"""Units that find an effect on what the log's users did, however skewed that is.

A variant multiplies values by 1 + d, and values above the design's limit c count as c in all variants:

    C = min(Y, c)    T = min((1 + d)·Y, c)
    n_C = (z_{1−α/2} + z_{power})² (σ_C² + σ_T²/r)(1 − ρ²) R / (T̄ − C̄)²

Without a limit σ_T = (1 + d)·σ_C: planned with σ_C alone, an experiment is too small. Of values 0 and 1 the
share of ones is multiplied. An effect by more buyers instead of larger purchases raises the variance by about
1 + d only, and needs fewer units.

Where means of so few units are far from normal, the formula is corrected by experiments that are drawn from
the log: their power, found by the test of a look, is that of the plan. References:
`tastemaker.stats.sample_size`; R. Kohavi, A. Deng, R. Longbotham and Y. Xu, "Seven rules of thumb for web
site experimenters", KDD 2014 (rule 7: skewness and the number of units).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri, stdtr
from scipy.stats import kurtosis, skew

from tastemaker.stats.sample_size import PowerPlan, units_needed
from tastemaker.stats.unit_summary import Float64

RUNS = 4_000
"""Experiments that are drawn, so that their power is known to about 0.6 points."""
_MOST_DRAWS = 30_000_000
_STEPS = 5
_NORMAL = 0.05
"""Skewness of the difference, and excess kurtosis per unit, up to which the formula is right to a point."""
_LARGEST_EFFECT = 100.0
_SEED = 0


@dataclass(frozen=True)
class LoggedValues:
    """The primary metric of users of the log."""

    values: Float64
    """float64[n], of a ratio its linear part plus the ratio."""
    limit: float | None = None
    """Larger values count as this; None: no value is cut."""

    @cached_property
    def is_binary(self) -> bool:
        """Whether the metric is a share of users."""
        return bool(np.isin(self.values, (0.0, 1.0)).all())

    def under(self, effect: float) -> Float64:
        """Return the values of users whose variant has a relative effect (float64[n])."""
        values = (1 + effect) * self.values
        return values if self.limit is None else np.minimum(values, self.limit)

    def mean_and_variance(self, effect: float) -> tuple[float, float]:
        """Return mean and variance of the values of users whose variant has a relative effect."""
        if self.is_binary:
            share = min((1 + effect) * float(self.values.mean()), 1.0)
            return share, share * (1 - share)
        if self.limit is None:
            mean, variance = self._uncut
            return (1 + effect) * mean, (1 + effect) ** 2 * variance
        values = self.under(effect)
        return float(values.mean()), float(values.var(ddof=1))

    @cached_property
    def _uncut(self) -> tuple[float, float]:
        return float(self.values.mean()), float(self.values.var(ddof=1))


def units_for(logged: LoggedValues, effect: float, plan: PowerPlan) -> float:
    """Return the units of control that find a relative effect with the plan's power; not rounded.

    Args:
        logged: Values of the log's users, with a variance above 0.
        effect: The relative effect on a value that is not cut, above 0.
        plan: Error rates, adjustment and looks.

    Returns:
        Infinity where the limit leaves nothing of the effect.
    """
    units = _by_formula(logged, effect, plan)
    for _ in range(_STEPS):
        power = _simulated(logged, effect, units, plan)
        if power is None:
            break
        units *= _missing(power, plan) ** 2
    return units


def effect_for(logged: LoggedValues, control_units: float, plan: PowerPlan) -> float:
    """Return the smallest relative effect that is found with the plan's power; infinity where none is.

    Args:
        logged: Values of the log's users, with a variance above 0.
        control_units: Units of control.
        plan: Error rates, adjustment and looks.
    """
    effect, units = formula_effect(logged, control_units, plan), control_units
    for _ in range(_STEPS):
        power = _simulated(logged, effect, control_units, plan) if math.isfinite(effect) else None
        if power is None:
            break
        units /= _missing(power, plan) ** 2
        effect = formula_effect(logged, units, plan)
    return effect


def formula_effect(logged: LoggedValues, control_units: float, plan: PowerPlan) -> float:
    """Return the smallest relative effect that is found where means are normal; infinity where none is.

    Args:
        logged: Values of the log's users, with a variance above 0.
        control_units: Units of control.
        plan: Error rates, adjustment and looks.
    """

    def excess(log_effect: float) -> float:
        return math.log(_by_formula(logged, math.exp(log_effect), plan) / control_units)

    low, high = math.log(1e-9), math.log(_LARGEST_EFFECT)
    if excess(high) > 0:
        return math.inf
    return math.exp(float(brentq(excess, low, high, xtol=1e-9)))


def _by_formula(logged: LoggedValues, effect: float, plan: PowerPlan) -> float:
    (mean, variance), (treated_mean, treated_variance) = (
        logged.mean_and_variance(0.0),
        logged.mean_and_variance(effect),
    )
    if treated_mean == mean:
        return math.inf
    return units_needed(treated_mean - mean, variance, plan, treated_variance=treated_variance)[0]


def _missing(power: float, plan: PowerPlan) -> float:
    """Return by how much the effect over its standard error misses what the plan's power needs."""
    alpha = float(ndtri(1 - plan.alpha / 2))
    return (alpha + float(ndtri(plan.power))) / (alpha + float(ndtri(min(max(power, 0.05), 0.999))))


def _simulated(logged: LoggedValues, effect: float, control_units: float, plan: PowerPlan) -> float | None:
    """Return the power of experiments drawn from the log; None where the formula is right.

    Looks and adjustment change the units that one look without adjustment would need.
    """
    if logged.is_binary or not math.isfinite(control_units):
        return None
    control, treated = logged.under(0.0), logged.under(effect)
    single = control_units / (plan.factor * (1 - plan.correlation**2))
    sizes = max(round(single), 2), max(round(plan.ratio * single), 2)
    if _is_normal(control, treated, sizes):
        return None
    runs = max(min(RUNS, _MOST_DRAWS // sum(sizes)), 1)
    rng = np.random.default_rng(_SEED)
    (c, v_c), (t, v_t) = (
        _means(values, n, runs, rng) for values, n in zip((control, treated), sizes, strict=True)
    )
    pooled = (sizes[0] * (sizes[0] - 1) * v_c + sizes[1] * (sizes[1] - 1) * v_t) / (sum(sizes) - 2)
    is_larger = pooled / sizes[0] + pooled / sizes[1] > v_c + v_t
    v_c, v_t = (np.where(is_larger, pooled / n, own) for n, own in zip(sizes, (v_c, v_t), strict=True))
    degrees = (v_c + v_t) ** 2 / (v_c**2 / (sizes[0] - 1) + v_t**2 / (sizes[1] - 1))
    found = stdtr(degrees, (c - t) / np.sqrt(v_c + v_t)) < plan.alpha / 2
    return float(found.mean())


def _is_normal(control: Float64, treated: Float64, sizes: tuple[int, int]) -> bool:
    """Return whether the difference of the means is about normal, by its skewness and kurtosis."""
    deviations, n = [float(one.std()) for one in (control, treated)], np.array(sizes)
    thirds = np.array(
        [float(skew(one)) * s**3 for one, s in zip((control, treated), deviations, strict=True)]
    )
    error = math.sqrt(sum(s**2 / one for s, one in zip(deviations, sizes, strict=True)))
    skewness = abs(float(thirds[1] / n[1] ** 2 - thirds[0] / n[0] ** 2)) / error**3
    tails = max(float(kurtosis(one)) / size for one, size in zip((control, treated), sizes, strict=True))
    return max(skewness, tails) < _NORMAL


def _means(values: Float64, size: int, runs: int, rng: np.random.Generator) -> tuple[Float64, Float64]:
    """Return the means of `runs` samples and the variances of these means: float64[runs] each."""
    means, variances = np.empty(runs), np.empty(runs)
    rows = max(2_000_000 // size, 1)
    for start in range(0, runs, rows):
        drawn = values[rng.integers(len(values), size=(min(rows, runs - start), size))]
        means[start : start + rows] = drawn.mean(axis=1)
        variances[start : start + rows] = drawn.var(axis=1, ddof=1) / size
    return means, variances
