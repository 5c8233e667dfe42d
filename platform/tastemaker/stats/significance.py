"""Significance of differences between models: two paired tests over users, and Holm's correction.

    permutation  θ⁽ᵇ⁾ = (1/n) Σᵤ s⁽ᵇ⁾ᵤ dᵤ, s ∈ {-1, 1}ⁿ at random    p = share of |θ⁽ᵇ⁾| ≥ |d̄|
    bootstrap    θ⁽ᵇ⁾ = the mean of d over resampled users             p = 2 · the smaller share beyond 0

dᵤ is one model's figure minus the other's on user u. If the models are equally good, the signs of d are
random, so they may be flipped: exact for few users, where all 2ⁿ patterns are tried. References: R. A.
Fisher, "The Design of Experiments", 1935, section 21; B. Efron and R. Tibshirani, "An Introduction to the
Bootstrap", 1993, chapters 15 and 16; S. Holm, Scandinavian Journal of Statistics 6(2), 1979.

The resamples are of users, not of pairs of models: θ is linear in d, so m models cost m columns and not m².
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tastemaker.stats.bootstrap import grouped

Float64 = NDArray[np.float64]

ALPHA = 0.05
"""The probability of any false positive among all comparisons of a family."""
RESAMPLES = 9_999
_PER_COMPARISON = 100
_BLOCK = 512
_TIE = 1e-9


class Flips(NamedTuple):
    """Means of m columns under flipped signs."""

    means: Float64
    """float64[resamples, m]."""
    exact: bool
    """Whether these are all sign patterns, each once; else a random sample of them."""


def enough(comparisons: int) -> int:
    """Return how many resamples B make the smallest corrected p, 2 · comparisons / (B + 1), at most 0.02."""
    return max(RESAMPLES, _PER_COMPARISON * comparisons - 1)


def flipped_means(values: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Flips:
    """Return the means of columns with each user's sign flipped at random.

    All columns use the same signs, so the difference of two columns is that of their flipped differences.
    More than 4,096 users are flipped in random groups. Memory: a block of 512 x 4,096 signs, and the means.

    Args:
        values: float[n, m], one row per user.
        seed: Seed of the signs.
        resamples: Number of resamples.
    """
    columns = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    parts = grouped(columns, rng)
    n, size = len(columns), len(parts)
    exact = size < 63 and 1 << size <= resamples + 1
    count = 1 << size if exact else resamples
    total, means = parts.sum(axis=0), np.empty((count, columns.shape[1]))
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, count))
        kept = _patterns(rows, size) if exact else _coins(rng, len(rows), size)
        means[rows] = (2 * (kept.astype(np.float64) @ parts) - total) / n
    return Flips(means, exact)


def _patterns(rows: NDArray[np.int64], n: int) -> NDArray[np.uint8]:
    """Return the numbers' binary digits."""
    digits: NDArray[np.uint8] = (rows[:, None] >> np.arange(n) & 1).astype(np.uint8)
    return digits


def _coins(rng: np.random.Generator, rows: int, n: int) -> NDArray[np.uint8]:
    """Return independent fair zeros and ones, eight from each random byte."""
    return np.unpackbits(rng.integers(0, 256, (rows, -(-n // 8)), np.uint8), axis=1, count=n)


def permutation_p(observed: Float64, flips: Flips, scale: Float64) -> Float64:
    """Return two-sided p-values of the permutation test, counting the observed pattern itself.

    Args:
        observed: float64[m], the observed means.
        flips: The means under flipped signs.
        scale: float64[m], the root mean square of each column; differences below 1e-9 of it are ties.

    Returns:
        float64[m]; 1 where the observed mean is not a finite number.
    """
    beyond = (np.abs(flips.means) >= np.abs(observed) - _TIE * scale).sum(axis=0)
    p: Float64 = beyond / len(flips.means) if flips.exact else (beyond + 1) / (len(flips.means) + 1)
    return np.where(np.isfinite(observed), p, 1.0)


def bootstrap_p(means: Float64, scale: Float64) -> Float64:
    """Return two-sided p-values of 0 among bootstrapped means.

    Args:
        means: float64[resamples, m], the bootstrapped means.
        scale: float64[m], the root mean square of each column; differences below 1e-9 of it are ties.

    Returns:
        float64[m]; 1 where a mean is not a finite number.
    """
    below, above = (means <= _TIE * scale).sum(axis=0), (means >= -_TIE * scale).sum(axis=0)
    p: Float64 = np.minimum(1, 2 * (np.minimum(below, above) + 1) / (len(means) + 1))
    return np.where(np.isfinite(means).all(axis=0), p, 1.0)


def holm(p: ArrayLike) -> Float64:
    """Return p-values corrected for q tests by Holm's method.

    With p₍₁₎ ≤ ... ≤ p₍q₎: p̃₍ᵢ₎ = min(1, maxⱼ≤ᵢ (q - j + 1) · p₍ⱼ₎). Rejecting every test with p̃ ≤ α keeps
    the probability of any false positive at most α, also if the tests depend on each other.

    Args:
        p: float[q]; NaN counts as 1.

    Returns:
        float64[q], in the order of `p`.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.nan_to_num(np.asarray(p, np.float64), nan=1.0)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    corrected = np.empty_like(raw)
    corrected[order] = np.minimum(stepped, 1)
    return corrected
