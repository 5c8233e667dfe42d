"""Intervals in closed form of shares of users and of medians over users.

    Wilson    (p̂ + z²/2n ± z √(p̂(1 - p̂)/n + z²/4n²)) / (1 + z²/n)
    median    [x₍ₗ₎, x₍ᵤ₎],   l = ⌊n/2 - z√n/2⌋,   u = ⌈n/2 + 1 + z√n/2⌉

z is the normal quantile, n the number of users, and x₍ᵢ₎ the i-th smallest value. The first has the stated
coverage on average over p, near 0 and 1, too; the second needs no distribution of the values. References:
E. Wilson, Journal of the American Statistical Association 22, 1927; W. Conover, "Practical Nonparametric
Statistics", 1999, section 3.2.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from tastemaker.stats.bootstrap import LEVEL, Float64, Interval


def wilson(successes: int, users: int, *, level: float = LEVEL) -> Interval:
    """Return a share of users with Wilson's interval; NaN without users.

    Args:
        successes: Number of users that count, 0 to `users`.
        users: Number of all users.
        level: Of the interval, 0 to 1.

    >>> found = wilson(8, 10)
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (0.8, 0.49, 0.94)
    """
    if not users:
        return Interval(math.nan, math.nan, math.nan)
    share, z2 = successes / users, _quantile(level) ** 2
    centre = share + z2 / (2 * users)
    half = math.sqrt(z2 * (share * (1 - share) / users + z2 / (4 * users**2)))
    low, high = (centre - half) / (1 + z2 / users), (centre + half) / (1 + z2 / users)
    differing = min(successes, users - successes)
    return Interval(
        share, 0.0 if successes == 0 else low, 1.0 if successes == users else high, users, differing
    )


def median_interval(values: Float64, *, level: float = LEVEL) -> Interval:
    """Return the median with its interval; NaN where there are too few users for an end.

    Args:
        values: float64[users].
        level: Of the interval, 0 to 1.

    >>> found = median_interval(np.arange(1.0, 102.0))
    >>> found.value, found.low, found.high
    (51.0, 40.0, 62.0)
    """
    n = len(values)
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    half = _quantile(level) * math.sqrt(n) / 2
    low, high = math.floor(n / 2 - half), math.ceil(n / 2 + 1 + half)
    if low < 1 or high > n:
        return Interval(float(np.median(values)), math.nan, math.nan, n)
    ordered = np.partition(values, (low - 1, high - 1))
    return Interval(float(np.median(values)), float(ordered[low - 1]), float(ordered[high - 1]), n)


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
