"""Difference between two groups of units, such as the users of two variants: means, ratios, adjusted ones.

    difference   d = T − C,  v = v_T + v_C,  d ± q √v              q: Student's t, Welch's degrees of freedom
    mean         T = Ȳ,      v_T = s²_Y / n
    ratio        T = ΣY/ΣX,  v_T = s²(Y − T·X) / (X̄² n)            delta method: Y − T·X is its linear part
    relative     r: T − (1 + r)·C = ± q √(v_T + (1 + r)² v_C)      Fieller's: its ends are the roots
    adjusted     Y − θᵀ(Z − Z̄),  θ = S_ZZ⁻¹ S_ZY                   CUPED: Z was measured before the experiment

    skewed       v ≥ s²(1/n_T + 1/n_C),  s² pooled       of groups whose sizes differ

All three are linear in a unit's values, so they need no more than the units' summaries. θ and Z̄ are pooled
over both groups, so the adjustment has the same expectation in each. Fieller's interval uses the q of the
difference: it excludes 0 if and only if that one does, so a verdict never contradicts its relative interval.

Where few units have large values, a small group has none of them in most experiments, and its variance is too
small: Welch's test of a tenth of the units then finds what is not there. An error that is at least the pooled
one prevents that, and changes nothing where groups are equally large (`benchmarks/skewed_tests.py`).

References: B. Welch, Biometrika 34, 1947; E. Fieller, Journal of the Royal Statistical Society B 16(2), 1954;
A. Deng, Y. Xu, R. Kohavi and T. Walker, "Improving the sensitivity of online controlled experiments by
utilizing pre-experiment data" (CUPED), WSDM 2013; A. Deng, U. Knoblich and J. Lu, "Applying the delta method
in metric analytics", KDD 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from tastemaker.errors import TastemakerError
from tastemaker.stats.unit_summary import Float64, UnitSummary

_ROUNDING = 1e-9
MIN_UNITS = 2
"""Units of each group that a variance needs. What is enough for a decision is a matter of the plan."""


class GroupFigure(NamedTuple):
    """A group's figure and its variance."""

    value: float
    variance: float
    """Of the value, not of the units."""
    n: int


class Effect(NamedTuple):
    """The difference between treatment and control, absolute and relative to control."""

    treatment: float
    control: float
    difference: float
    low: float
    """Lower end of the difference's interval."""
    high: float
    p: float
    """Two-sided p-value of no difference; 1 where both groups have the same constant."""
    standard_error: float
    degrees: float
    """Welch's degrees of freedom."""
    relative: float
    """(treatment − control) / |control|; NaN where control is 0."""
    relative_low: float
    """Lower end of Fieller's interval; −∞ where control can't be distinguished from 0."""
    relative_high: float


def mean_effect(
    treatment: UnitSummary,
    control: UnitSummary,
    value: str,
    *,
    covariates: Sequence[str] = (),
    alpha: float = 0.05,
) -> Effect:
    """Return the difference of two means.

    Args:
        treatment: Units of the treatment.
        control: Units of control, with the same columns.
        value: Column of the values.
        covariates: Columns that were measured before the units' first exposure; none: no adjustment.
        alpha: One minus the intervals' level.

    Raises:
        TastemakerError: A group has fewer than two units, or a column is missing.
    """
    return stratified_effect([(treatment, control)], value, covariates=covariates, alpha=alpha)


def ratio_effect(
    treatment: UnitSummary,
    control: UnitSummary,
    over: str,
    under: str,
    *,
    covariates: Sequence[str] = (),
    alpha: float = 0.05,
) -> Effect:
    """Return the difference of two ratios of sums, such as reward per request.

    Args:
        treatment: Units of the treatment.
        control: Units of control, with the same columns.
        over: Column above the line.
        under: Column below the line.
        covariates: Columns that were measured before the units' first exposure; none: no adjustment.
        alpha: One minus the intervals' level.

    Raises:
        TastemakerError: A group has fewer than two units, or nothing below the line, or a column is missing.
    """
    return stratified_effect([(treatment, control)], over, under, covariates=covariates, alpha=alpha)


def stratified_effect(
    strata: Sequence[tuple[UnitSummary, UnitSummary]],
    over: str,
    under: str | None = None,
    *,
    covariates: Sequence[str] = (),
    alpha: float = 0.05,
    at_least_pooled: bool = False,
) -> Effect:
    """Return the difference of two means or ratios, compared within strata that had ratios of their own.

    Each stratum counts by its units of both groups, w = n/N: T = Σ w T_s, v_T = Σ w² v_Ts. Groups whose
    shares differ between strata, as those of a bandit do, must not be pooled: they differ by their times.

    Args:
        strata: Units of the treatment and of control in each stratum, all with the same columns.
        over: Column of the values, or above the line.
        under: Column below the line of a ratio; None: a mean.
        covariates: Columns that were measured before the units' first exposure; none: no adjustment.
        alpha: One minus the intervals' level.
        at_least_pooled: Whether the error is at least that of one variance for both groups.

    Raises:
        ValueError: `alpha` is not above 0 and below 1.
        TastemakerError: There is no stratum, a group has fewer than two units or nothing below the line, or
            a column is missing.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, must be above 0 and below 1")
    if not strata:
        raise TastemakerError("no stratum has units of both groups", fix="wait for more units")
    figures = [_figures(groups, over, under, covariates) for groups in strata]
    if at_least_pooled:
        figures = [_pooled_if_larger(*pair) for pair in figures]
    units = [sum(one.n for one in pair) for pair in figures]
    shares = [n / sum(units) for n in units]
    total = [
        GroupFigure(
            sum(share * one.value for share, one in zip(shares, group, strict=True)),
            sum(share**2 * one.variance for share, one in zip(shares, group, strict=True)),
            sum(one.n for one in group),
        )
        for group in zip(*figures, strict=True)
    ]
    return compare(*total, alpha=alpha)


def _figures(
    groups: tuple[UnitSummary, UnitSummary], over: str, under: str | None, covariates: Sequence[str]
) -> tuple[GroupFigure, GroupFigure]:
    """Return both groups' means or ratios, adjusted, with their variances."""
    for group in groups:
        if group.n < MIN_UNITS:
            raise TastemakerError(
                f"a group has {group.n} units, at least {MIN_UNITS} are needed", fix="wait for more units"
            )
    # A ratio's linear part has mean 0, so the constant is the ratio.
    linear = [({over: 1.0}, 0.0) if under is None else _linear(group, over, under) for group in groups]
    slopes, centre = _adjustment(groups, (linear[0][0], linear[1][0]), covariates)
    found = []
    for group, (own, constant) in zip(groups, linear, strict=True):
        total = dict(own)
        for name, slope in zip(covariates, slopes, strict=True):
            total[name] = total.get(name, 0.0) - slope
        mean, variance = group.weighted(total, constant + float(slopes @ centre))
        found.append(GroupFigure(mean, variance / group.n, group.n))
    return found[0], found[1]


def _pooled_if_larger(treatment: GroupFigure, control: GroupFigure) -> tuple[GroupFigure, GroupFigure]:
    """Return the figures with the variances of one variance for both groups, if the error is larger then."""
    pair = treatment, control
    variance = sum((one.n - 1) * one.n * one.variance for one in pair) / sum(one.n - 1 for one in pair)
    pooled = [variance / one.n for one in pair]
    if sum(pooled) <= (treatment.variance + control.variance) * (1 + _ROUNDING):
        return pair
    return treatment._replace(variance=pooled[0]), control._replace(variance=pooled[1])


def _linear(group: UnitSummary, over: str, under: str) -> tuple[dict[str, float], float]:
    """Return the weights of a ratio's linear part, and the ratio."""
    above, below = (float(group.mean[group.at(name)]) for name in (over, under))
    if not below > 0:
        raise TastemakerError(
            f"the mean of {under!r} is {below:g} in a group of {group.n:,} units, must be above 0",
            fix="wait until units of both groups have some",
        )
    ratio = above / below
    return {over: 1 / below, under: -ratio / below}, ratio


def _adjustment(
    groups: tuple[UnitSummary, UnitSummary],
    weights: tuple[dict[str, float], dict[str, float]],
    covariates: Sequence[str],
) -> tuple[Float64, Float64]:
    """Return the slopes float64[c] on the covariates within groups, and the covariates' pooled means."""
    if not covariates:
        return np.zeros(0), np.zeros(0)
    places = [groups[0].at(name) for name in covariates]
    within = sum(
        (group.scatter[np.ix_(places, places)] for group in groups), np.zeros((len(places), len(places)))
    )
    along = np.zeros(len(places))
    for group, own in zip(groups, weights, strict=True):
        w = np.array([own.get(name, 0.0) for name in group.names])
        along += group.scatter[places] @ w
    # The pseudo-inverse: a covariate that is constant, or a sum of others, adjusts nothing.
    slopes = np.linalg.pinv(within, rcond=1e-10, hermitian=True) @ along
    return slopes, (groups[0] + groups[1]).mean[places]


def compare(treatment: GroupFigure, control: GroupFigure, *, alpha: float = 0.05) -> Effect:
    """Return the difference of two independent estimates with its intervals.

    Args:
        treatment: Value, variance of the value, and units.
        control: Likewise.
        alpha: One minus the intervals' level.
    """
    difference = treatment.value - control.value
    variance = treatment.variance + control.variance
    error = math.sqrt(variance)
    degrees = _welch(treatment, control)
    q = -float(stdtrit(degrees, alpha / 2))  # of the lower tail, which is exact for a tiny α, too
    if error == 0:
        p, reach = (1.0 if difference == 0 else 0.0), 0.0
    else:
        p, reach = 2 * float(stdtr(degrees, -abs(difference) / error)), q * error
    relative = difference / abs(control.value) if control.value else math.nan
    ends = fieller(treatment, control, q)
    return Effect(
        treatment.value, control.value, difference, difference - reach, difference + reach, p, error, degrees,
        relative, *ends,
    )  # fmt: skip


def fieller(treatment: GroupFigure, control: GroupFigure, q: float) -> tuple[float, float]:
    """Return the interval of (treatment − control) / |control| by Fieller's method.

    The ratio ρ = T/C solves (T − ρC)² = q²(v_T + ρ²v_C), a quadratic in ρ. Where |C| ≤ q√v_C, control can't
    be distinguished from 0 and no finite interval has the stated coverage.

    Args:
        treatment: Value and variance of the treatment.
        control: Value and variance of control.
        q: Quantile of the interval's level, such as 1.96.

    Returns:
        Low and high; −∞ and ∞ where there is no finite interval.
    """
    a = control.value**2 - q**2 * control.variance
    if a <= 0 or control.value == 0:
        return -math.inf, math.inf
    b = treatment.value * control.value
    c = treatment.value**2 - q**2 * treatment.variance
    root = math.sqrt(max(b * b - a * c, 0.0))
    low, high = (b - root) / a - 1, (b + root) / a - 1
    # Relative to |C|: with a negative control, more is still positive.
    return (low, high) if control.value > 0 else (-high, -low)


def _welch(treatment: GroupFigure, control: GroupFigure) -> float:
    """Return Welch's degrees of freedom; those of the pooled test where both variances are 0."""
    total = treatment.variance + control.variance
    if total == 0:
        return float(treatment.n + control.n - 2)
    # Shares of the total, so that tiny variances do not underflow.
    shares = [(one.variance / total, one.n) for one in (treatment, control)]
    return 1 / sum(share**2 / (n - 1) for share, n in shares)
