"""Allocation of a bandit's new units to its variants, by Thompson sampling in batches.

    P(i is best) = ∫₀¹ Π_{j≠i} F_j(F_i⁻¹(u)) du              F: distribution function of the posterior
    share_i      = floor + (1 − K · floor) · P(i is best)     K variants

A batch is an epoch: its shares hold for the units that it enrols. Shares follow the outcomes, so that means
pooled over epochs compare units of different days. The posteriors are by strata:

    mean_i = Σ_e w_e · mean_{i,e}        w_e: the part of all units that came in epoch e

References: S. Scott, "A modern Bayesian look at the multi-armed bandit", Applied Stochastic Models in
Business and Industry 26(6), 2010; C. Qin and D. Russo, "Adaptive experimentation in the presence of
exogenous nonstationary variation", 2022 (why by strata).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.stats.unit_summary import UnitSummary

FLOOR = 0.05
"""The smallest share of a variant: the data of a variant that looks worse must not end."""
MIN_UNITS = 50
"""Matured units of each variant that an epoch needs to count."""


class Posterior(Protocol):
    """A distribution of a variant's mean, such as those of scipy.stats."""

    def cdf(self, x: float, /) -> Any: ...
    def ppf(self, q: float, /) -> Any: ...


def probabilities_of_best(posteriors: Mapping[str, Posterior]) -> dict[str, float]:
    """Return the probability of each variant that its mean is the largest; they add up to 1.

    Args:
        posteriors: Variant -> distribution of its mean; continuous and independent.

    >>> from scipy.stats import beta
    >>> round(probabilities_of_best({"a": beta(31, 471), "b": beta(41, 461)})["b"], 7)
    0.8909931
    """
    found = {}
    for name, own in posteriors.items():
        others = [one for other, one in posteriors.items() if other != name]

        def beats_all(u: float, own: Posterior = own, others: Sequence[Posterior] = others) -> float:
            return math.prod(float(one.cdf(float(own.ppf(u)))) for one in others)

        found[name] = float(quad(beats_all, 0, 1, limit=200)[0])
    total = sum(found.values())
    return {name: one / total for name, one in found.items()}


def posteriors(units: UnitTable, metric: UnitMetric) -> dict[str, Posterior] | None:
    """Return the distribution of each variant's mean by strata; None while there are too few units.

    With many units a mean is about normal, whatever the values are, and the prior does not matter.

    Args:
        units: Matured units of all epochs.
        metric: What is to be as large as possible, or as small, as the metric says.
    """
    epochs = np.array([one.epoch for one in units.strata], np.int64)[units.stratum]
    sign = -1.0 if metric.direction == "down" else 1.0
    total, means, variances = 0, np.zeros(len(units.variants)), np.zeros(len(units.variants))
    for epoch in np.unique(epochs):
        among = np.flatnonzero(epochs == epoch)
        groups = [units.rows_of(name, among) for name in units.variants]
        if min(map(len, groups)) < MIN_UNITS:
            continue
        n = sum(map(len, groups))
        for number, rows in enumerate(groups):
            mean, variance = _figure(units.summary(rows, metric.columns), metric)
            means[number] += n * mean
            variances[number] += n * n * variance
        total += n
    if not total or not (variances > 0).all():
        return None
    scales = np.sqrt(variances) / total
    return {
        name: norm(sign * means[number] / total, scales[number]) for number, name in enumerate(units.variants)
    }


def new_shares(probabilities: Mapping[str, float], *, total: int, floor: float = FLOOR) -> dict[str, int]:
    """Return the buckets of each variant for the units that come next.

    Args:
        probabilities: Variant -> probability that it is the best.
        total: The buckets of all variants.
        floor: The smallest part of them that a variant gets.

    Raises:
        TastemakerError: The variants are too many for the floor.

    >>> new_shares({"a": 0.9, "b": 0.1, "c": 0.0}, total=1_000_000)
    {'a': 815000, 'b': 135000, 'c': 50000}
    """
    if not 0 <= floor * len(probabilities) < 1:
        raise TastemakerError(
            f"{len(probabilities)} variants can't have {floor:g} of the units each",
            fix=f"drop variants, so that there are at most {math.ceil(1 / floor) - 1}",
        )
    free = 1 - floor * len(probabilities)
    ends = np.cumsum([floor + free * one for one in probabilities.values()])
    edges = [0, *np.rint(total * ends / ends[-1]).astype(int).tolist()]
    return {name: stop - start for name, (start, stop) in zip(probabilities, pairwise(edges), strict=True)}


def _figure(summary: UnitSummary, metric: UnitMetric) -> tuple[float, float]:
    """Return a metric's value and its variance."""
    over = summary.mean[summary.at(metric.over)]
    if metric.under is None:
        _, variance = summary.weighted({metric.over: 1.0})
        return float(over), variance / summary.n
    under = summary.mean[summary.at(metric.under)]
    if not under > 0:
        return math.nan, math.nan
    _, variance = summary.weighted({metric.over: 1 / under, metric.under: -over / under**2})
    return float(over / under), variance / summary.n
