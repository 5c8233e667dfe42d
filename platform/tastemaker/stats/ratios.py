"""Intervals of ratios of sums over users, of many groups of users at once.

    R = Σᵤ xᵤ / Σᵤ yᵤ,   zᵤ = (xᵤ - R·yᵤ) / (1 - yᵤ/Σy),   s² = (n - 1)/n · Σ zᵤ² / (Σy)²,
    a = Σ zᵤ³ / (Σ zᵤ²)^(3/2)

zᵤ / Σy is how much R changes if user u is left out (the jackknife), which allows for users with a large part
of all y; without the divisor it is the delta method. Its sample moments take one pass over the users where a
bootstrap takes a thousand. `confidence` computes the ends of the interval from them. References: B. Efron and
R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11; W. Cochran, "Sampling Techniques", 1977,
section 6.17.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tastemaker.stats.bootstrap import LEVEL, Float64, Interval
from tastemaker.stats.confidence import ends_of_moments

_ROUNDING = 1e-24
"""A sum of squares below this share of what it is a difference of is a rounding error."""


def ratio_interval(over: Float64, under: Float64, *, level: float = LEVEL) -> Interval:
    """Return Σ over / Σ under with its interval; the ratio is NaN where Σ under is 0.

    Args:
        over: float64[users], the numerators.
        under: float64[users], the denominators.
        level: Of the interval, 0 to 1.

    >>> found = ratio_interval(np.tile([1.0, 2.0, 0.0, 0.0], 25), np.full(100, 2.0))
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (0.375, 0.29, 0.46)
    """
    (found,) = ratio_intervals(np.zeros(len(over), np.int64), 1, over, under, level=level)
    return found


def ratio_intervals(
    group: NDArray[np.int64],
    groups: int,
    over: Float64,
    under: Float64,
    count: NDArray[np.int64] | None = None,
    *,
    level: float = LEVEL,
) -> list[Interval]:
    """Return the ratio of each group with its interval.

    Args:
        group: int64[n], the group of each user, from 0; a user of several groups has several entries.
        groups: The number of groups.
        over: float64[n], the users' sums above the line.
        under: float64[n], those below the line. A user with 0 is not counted.
        count: int64[n], the number of users with these sums; None: one each.
        level: Confidence level.
    """

    def total(values: NDArray[np.float64] | NDArray[np.bool_]) -> Float64:
        weighted = values if count is None else values * count
        return np.bincount(group, weighted, groups).astype(np.float64)

    x, y, users = total(over), total(under), total(under != 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = x / y
        z = (over - ratio[group] * under) / (1 - under / y[group])
        squares = z * z
        squared, cubed = total(squares), total(squares * z)
        scale = total(over * over)
        squared[squared <= _ROUNDING * scale] = 0.0
        error = np.sqrt(squared * (users - 1) / users) / np.abs(y)
        skewness = np.where(squared > 0, cubed / squared**1.5, 0.0)
    # For a share, users are alike where all have 0, or all have 1.
    varied = np.minimum(total(over != 0), total(over != under))
    return [
        Interval(value, *ends_of_moments(value, one, n, differing, a, level), n, differing)
        for value, one, n, differing, a in zip(
            np.where(users > 0, ratio, math.nan).tolist(),
            error.tolist(),
            users.astype(np.int64).tolist(),
            varied.astype(np.int64).tolist(),
            skewness.tolist(),
            strict=True,
        )
    ]
