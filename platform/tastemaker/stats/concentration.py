"""Concentration bounds: intervals valid at every sample size, for contributions of known range."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import OffPolicyError
from tastemaker.stats.bootstrap import LEVEL, Interval

Float64 = NDArray[np.float64]


def empirical_bernstein(
    contributions: Float64, least: float, most: float, *, level: float = LEVEL
) -> Interval:
    """Return the mean of n independent contributions with its empirical Bernstein interval.

        mean ± ( √(2 s² ln(4/δ) / n) + 7 (most − least) ln(4/δ) / (3 (n − 1)) ),   δ = 1 − level

    s² is the sample variance. Reference: Maurer and Pontil, "Empirical Bernstein bounds and sample variance
    penalization", COLT 2009, theorem 4, once for each side with δ/2.

    Args:
        contributions: float64[n].
        least: The least possible contribution.
        most: The greatest possible contribution.
        level: The least probability with which the interval contains the expectation.

    Raises:
        OffPolicyError: The level is out of range, n < 2, or a contribution is out of its range.
    """
    n = len(contributions)
    if not 0 < level < 1:
        raise OffPolicyError(f"level is {level}, must be between 0 and 1", fix="pass 0.95")
    if n < 2:
        raise OffPolicyError(f"{n} contributions have no variance, there must be at least 2", fix="log more")
    outside = contributions[~((contributions >= least) & (contributions <= most))]
    if len(outside):
        raise OffPolicyError(
            f"a contribution is {outside[0]}, must be in [{least}, {most}]",
            fix="pass the range of all possible contributions",
        )
    mean, log_term = float(contributions.mean()), math.log(4 / (1 - level))
    sampling = math.sqrt(2 * float(contributions.var(ddof=1)) * log_term / n)
    width = sampling + 7 * (most - least) * log_term / (3 * (n - 1))
    return Interval(mean, mean - width, mean + width)
