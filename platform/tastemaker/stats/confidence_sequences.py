"""Confidence sequences: intervals that hold at all times at once, however often one looks.

For a sum S of differences with variance v (S is about normal, as sums over many units are) the mixture of
exp(λS − λ²v/2) over λ ~ N(0, 1/ρ) is a martingale with mean 1:

    two-sided   e = √(ρ/(v+ρ)) · exp(S² / (2(v+ρ)))
    one-sided   e = 2 √(ρ/(v+ρ)) · exp(S² / (2(v+ρ))) · Φ(S / √(v+ρ))       λ ~ |N(0, 1/ρ)|

By Ville's inequality the probability that e ever reaches 1/α is at most α. ρ decides where the sequence is
tightest: about at the variance V of the plan with

    ρ = V / (2 ln(1/α) + ln(1 + 2 ln(1/α)))

References: S. Howard, A. Ramdas, J. McAuliffe and J. Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 49(2), 2021, propositions 5 and 6; I. Waudby-Smith et al.,
"Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52(6), 2024.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr


def tightest_at(variance: float, alpha: float) -> float:
    """Return the ρ with which the two-sided sequence is tightest at about a variance.

    Args:
        variance: The planned variance V of the sum, above 0.
        alpha: One minus the sequence's level.

    >>> round(tightest_at(100, 0.05), 5)
    12.60056
    """
    _check(alpha, variance=variance)
    log = 2 * math.log(1 / alpha)
    return variance / (log + math.log1p(log))


def bound(variance: float, rho: float, alpha: float) -> float:
    """Return how far a sum may be from its expectation, at all times at once; two-sided.

    Args:
        variance: Variance v of the sum so far, at least 0.
        rho: From `tightest_at`, above 0.
        alpha: One minus the sequence's level, above 0 and below 1.

    Raises:
        ValueError: An argument is outside these limits.
    """
    _check(alpha, rho=rho)
    if variance < 0:
        raise ValueError(f"variance is {variance}, must not be negative")
    total = variance + rho
    return math.sqrt(total * (math.log(total / rho) + 2 * math.log(1 / alpha)))


def log_e(total: float, variance: float, rho: float) -> float:
    """Return the logarithm of the two-sided e-value of a sum.

    Args:
        total: The sum minus its expectation under the hypothesis.
        variance: Variance of the sum.
        rho: From `tightest_at`.
    """
    return total**2 / (2 * (variance + rho)) - 0.5 * math.log1p(variance / rho)


def log_e_above(total: float, variance: float, rho: float) -> float:
    """Return the logarithm of the one-sided e-value, which is large if the sum is above its expectation.

    Args:
        total: The sum minus its expectation under the hypothesis.
        variance: Variance of the sum.
        rho: From `tightest_at`, with twice the one-sided α.
    """
    tail = float(log_ndtr(total / math.sqrt(variance + rho)))
    return math.log(2) + log_e(total, variance, rho) + tail


def bound_above(variance: float, rho: float, alpha: float) -> float:
    """Return how far above its expectation a sum may be, at all times at once; one-sided.

    It is where `log_e_above` reaches ln(1/α), between 0 and the two-sided bound at α.

    Args:
        variance: Variance of the sum so far.
        rho: From `tightest_at`, with twice the one-sided α.
        alpha: One minus the sequence's level.
    """
    goal = math.log(1 / alpha)
    found = brentq(lambda total: log_e_above(total, variance, rho) - goal, 0.0, bound(variance, rho, alpha))
    return float(found)


def _check(alpha: float, **positive: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, must be above 0 and below 1")
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}, must be above 0")
