"""Intervals of ratios of sums over users, from sums that SQL computes as well as NumPy does.

    R = Σᵤ xᵤ / Σᵤ yᵤ,   zᵤ = xᵤ - R·yᵤ,   s² = Σ zᵤ² / (n (n - 1)) / ȳ²,   a = Σ zᵤ³ / (Σ zᵤ²)^(3/2)

The users' contributions z are the linearization of R (the delta method). Its moments are polynomials of sums
of products of x and y, so that an interval needs ten sums and no value per user. `confidence` computes the
ends of the interval from them. Reference: W. Cochran, "Sampling Techniques", 1977, section 6.3 and following.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np

from tastemaker.stats.bootstrap import LEVEL, Float64, Interval
from tastemaker.stats.confidence import ends_of_moments

_ROUNDING = 1e-12
"""A spread below this share of the sums it is a difference of is a rounding error."""


class RatioSums(NamedTuple):
    """Sums over the users of products of x and y: `xxy` is Σ x·x·y."""

    users: int
    """Number of users with y ≠ 0."""
    varied: int
    """Number of users with x ≠ 0 or, if it is less, with x ≠ y: for a share, those that are not like all."""
    x: float
    y: float
    xx: float
    xy: float
    yy: float
    xxx: float
    xxy: float
    xyy: float
    yyy: float

    @classmethod
    def of(cls, over: Float64, under: Float64) -> Self:
        """Return the sums of x = over and y = under, float64[users] each."""
        varied = min(np.count_nonzero(over), np.count_nonzero(over != under))
        powers = {
            name: float(np.prod([over if one == "x" else under for one in name], axis=0).sum())
            for name in cls._fields[2:]
        }
        return cls(int(np.count_nonzero(under)), int(varied), **powers)


SQL = {
    "users": "count(*) FILTER ({y} <> 0)",
    "varied": "least(count(*) FILTER ({x} <> 0), count(*) FILTER ({x} <> {y}))",
    **{name: f"sum({' * '.join(f'{{{one}}}' for one in name)})" for name in RatioSums._fields[2:]},
}
"""RatioSums over rows of users, as templates of SQL whose {x} and {y} are columns of doubles."""


def ratio_interval(sums: RatioSums, *, level: float = LEVEL) -> Interval:
    """Return the ratio with its interval; the ratio is NaN where Σ y is 0.

    Args:
        sums: Of x and y over the users.
        level: Confidence level.

    >>> found = ratio_interval(RatioSums.of(np.tile([1.0, 2.0, 0.0, 0.0], 25), np.full(100, 2.0)))
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (0.375, 0.29, 0.46)
    """
    users, varied = int(sums.users), int(sums.varied)
    if not sums.y or not math.isfinite(sums.x):
        return Interval(math.nan, math.nan, math.nan, users, varied)
    r = sums.x / sums.y
    squared = sums.xx - 2 * r * sums.xy + r**2 * sums.yy
    cubed = sums.xxx - 3 * r * sums.xxy + 3 * r**2 * sums.xyy - r**3 * sums.yyy
    if squared <= _ROUNDING * (sums.xx + r**2 * sums.yy):
        squared = cubed = 0.0
    error = math.sqrt(squared / (users * (users - 1))) / abs(sums.y / users) if users > 1 else math.nan
    a = cubed / squared**1.5 if squared else 0.0
    return Interval(r, *ends_of_moments(r, error, users, varied, a, level), users, varied)
