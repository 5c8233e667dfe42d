"""Sample ratio mismatch: do the variants have the units that the plan assigns to them?

    at a planned look   χ² = Σₛ Σᵢ (nₛᵢ − nₛ θₛᵢ)² / (nₛ θₛᵢ)    strata s: the plan in force at the enrolment
    every day           p_t = min over s ≤ t of 1 / BF_s
                        ln BF = ln B(kθ + n) − ln B(kθ) − Σᵢ nᵢ ln θᵢ      B: the multivariate beta function

BF is the Bayes factor of a Dirichlet-multinomial with concentration k around the plan against the plan
itself. Under the plan it is a martingale with mean 1, so by Ville's inequality the probability that p_t ever
falls to α is at most α, whatever the number of looks.

References: A. Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019;
M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln

Float64 = NDArray[np.float64]

CONCENTRATION = 10_000.0
"""k: deviations of some 1/√k are looked for, which is one per cent."""
_SUM_TOLERANCE = 1e-9


class SampleRatio(NamedTuple):
    """Result of the χ² test of counts against the plan."""

    chi2: float
    degrees: int
    p: float
    """1 where the plan leaves nothing to test."""


def sample_ratio(strata: Iterable[tuple[Sequence[int], Sequence[float]]]) -> SampleRatio:
    """Test the counts of all strata against the shares that were in force in each.

    Args:
        strata: For each, units by variant, and the share that the plan assigns to each variant.

    Raises:
        ValueError: Shares do not sum to 1, or a variant without a share has units.

    >>> sample_ratio([([1000, 0], [1.0, 0.0]), ([1010, 990], [0.5, 0.5])]).chi2.__round__(6)
    0.2
    """
    total, degrees = 0.0, 0
    for counts, shares in strata:
        n, theta = _checked(counts, shares)
        if n.sum() == 0:
            continue
        expected = n.sum() * theta
        total += float(((n - expected) ** 2 / expected).sum())
        degrees += len(n) - 1
    return SampleRatio(total, degrees, float(chdtrc(degrees, total)) if degrees else 1.0)


def log_bayes_factor(
    counts: Sequence[int], shares: Sequence[float], concentration: float = CONCENTRATION
) -> float:
    """Return the logarithm of the Bayes factor against the plan; 0 without units.

    Args:
        counts: Units by variant since the plan is in force.
        shares: The share that the plan assigns to each variant.
        concentration: k of the Dirichlet distribution around the plan.

    Raises:
        ValueError: Shares do not sum to 1, or a variant without a share has units.
    """
    n, theta = _checked(counts, shares)
    prior = concentration * theta
    return float(_log_beta(prior + n) - _log_beta(prior) - (n * np.log(theta)).sum())


def _checked(
    counts: Sequence[int], shares: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return counts and shares of the variants that have a share."""
    n, theta = np.asarray(counts, np.float64), np.asarray(shares, np.float64)
    if n.shape != theta.shape or (n < 0).any() or (theta < 0).any():
        raise ValueError(f"counts are {counts}, shares {shares}: each variant needs both, none negative")
    if abs(theta.sum() - 1) > _SUM_TOLERANCE:
        raise ValueError(f"shares are {shares}, their sum is {theta.sum():g}, must be 1")
    if (n[theta == 0] > 0).any():
        raise ValueError(f"counts are {counts}, but shares {shares}: a variant without a share has units")
    return n[theta > 0], theta[theta > 0]


def _log_beta(values: Float64) -> np.float64:
    log: np.float64 = gammaln(values).sum() - gammaln(values.sum())
    return log
