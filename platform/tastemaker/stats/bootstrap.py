"""How sure is a mean over users? Resampled users give its standard error, seeded, for many metrics at once.

    draw  w⁽ᵇ⁾ ~ Multinomial(n; 1/n, ..., 1/n)    how often resample b holds each of the n users
    mean  θ⁽ᵇ⁾ = (1/n) Σᵤ w⁽ᵇ⁾ᵤ xᵤ                 one matrix product for a block of resamples and all of x
    s = the standard deviation of θ⁽¹⁾ ... θ⁽ᴮ⁾ · √(n / (n - 1))

Where the interval ends, and whether there is one, is said in `confidence`. Users are drawn, not events: the
items of one user are not independent of each other. Reference: B. Efron and R. Tibshirani, "An Introduction
to the Bootstrap", 1993, chapters 6 and 12. Two models judged on the same users are compared by the
differences per user (chapter 15), which cancels what makes a user easy or hard for both.

More than 4,096 users are put into as many groups at random, and groups are drawn: time and memory stop
growing, and the estimated spread is within 1.1 % (one standard error) of the one over single users.
"""

from __future__ import annotations

from collections.abc import Collection
from math import isnan
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tastemaker.errors import TastemakerError
from tastemaker.stats.confidence import MIN_USERS, MIN_VARIED, ends, varied, why_none

Float64 = NDArray[np.float64]

RESAMPLES = 1000
PAIRED_RESAMPLES = 9_999
"""A comparison decides something, so its interval's ends are estimated more closely."""
LEVEL = 0.95
GROUPS = 4096
_BLOCK = 64


class _Figures(NamedTuple):
    value: float
    low: float
    """NaN, as `high`, where no interval can be given: `why_none` says why."""
    high: float


class Interval(_Figures):
    """A mean over users and where it probably lies: value, low, high."""

    users: int = 0
    """How many users it is over; 0 where that is not known."""
    varied: int = 0
    """How many of them have another value than the usual one, such as a hit."""

    def __new__(cls, value: float, low: float, high: float, users: int = 0, varied: int = 0) -> Self:
        made = super().__new__(cls, value, low, high)
        made.users, made.varied = users, varied
        return made

    def __getnewargs__(self) -> tuple[float, float, float]:
        return self.value, self.low, self.high

    def why_none(self) -> str:
        """Why there is no interval, in words."""
        return why_none(self.users, self.varied)

    @classmethod
    def of(
        cls, value: float, means: Float64, values: Float64, level: float = LEVEL, *, certain: bool = False
    ) -> Interval:
        """The interval of a mean from float64[resamples] bootstrapped means.

        `values`, float64[n], is what each user adds to it: for a ratio N / D of means, the mean and its
        linearization, V + (Nᵤ - V·Dᵤ) / mean(D). `certain`: of lists alone, not of what users did with them,
        so that users with the same list have the same for sure.
        """
        n = len(values)
        error = float(means.std()) * (n / (n - 1)) ** 0.5 if n > 1 else float("nan")
        return cls(
            float(value), *ends(float(value), error, values, level, certain=certain), n, varied(values)
        )


class Difference(NamedTuple):
    """The mean over users of what one model has more than another on the same user."""

    difference: float
    low: float
    """NaN where no interval can be given. Above 0: the first model is better beyond chance."""
    high: float
    """Below 0: the first model is worse beyond chance."""
    n: int
    """How many users were compared."""

    def why_none(self) -> str:
        """Why there is no interval, in words."""
        return why_none(self.n)

    def between(self) -> str:
        """Such as `95 % interval +0.0209 to +0.0827`, or why there is none."""
        return self.why_none() if isnan(self.low) else f"95 % interval {self.low:+.4f} to {self.high:+.4f}"


def grouped(values: Float64, rng: np.random.Generator) -> Float64:
    """float64[g, m]: sums of the columns of `values`, float64[n, m], over g = min(n, 4096) random groups."""
    n = len(values)
    if n <= GROUPS:
        return values
    starts = np.arange(GROUPS) * n // GROUPS
    sums: Float64 = np.add.reduceat(values[rng.permutation(n)], starts, axis=0)
    return sums


def resampled_means(values: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Float64:
    """float64[resamples, m]: the means of the columns of `values`, float[n, m], in each resample of users.

    All columns see the same resamples, so a difference of two columns is a paired one. With one user there is
    nothing to resample and every mean is NaN. Memory: a block of 64 x 4,096 weights.
    """
    columns = np.asarray(values, np.float64)
    n = len(columns)
    if n < 2:
        return np.full((resamples, columns.shape[1]), np.nan)
    rng = np.random.default_rng(seed)
    mean = columns.mean(axis=0)
    parts = grouped(columns - mean, rng)  # centred: groups of unequal size add no spread
    means = np.empty((resamples, columns.shape[1]))
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        weights = np.empty((size, len(parts)))
        for row in weights:
            row[:] = np.bincount(
                rng.integers(0, len(parts), len(parts), dtype=np.int32), minlength=len(parts)
            )
        means[start : start + size] = mean + weights @ parts / n
    return means


def intervals(
    values: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    certain: Collection[int] = (),
) -> list[Interval]:
    """The mean and interval of each of the m columns of `values`, float[n, m]: one row a user.

    `certain` are the columns, by number, of what does not depend on what users did: see `Interval.of`.
    """
    columns = _checked(values, level)
    means = resampled_means(columns, seed=seed, resamples=resamples)
    return [
        Interval.of(value, drawn, column, level, certain=at in certain)
        for at, (value, drawn, column) in enumerate(
            zip(columns.mean(axis=0), means.T, columns.T, strict=True)
        )
    ]


def paired_difference(
    a: ArrayLike, b: ArrayLike, *, seed: int = 0, resamples: int = PAIRED_RESAMPLES, level: float = LEVEL
) -> Difference:
    """The mean of a - b over users, where `a` and `b` are float[n] with the same users in the same order.

    Of two that agree on every user the difference is 0, without doubt unless nearly all users have the same.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise TastemakerError(
            f"{len(first)} users can't be paired with {len(second)}",
            fix="judge both models on the same split",
        )
    (found,) = intervals((first - second)[:, None], seed=seed, resamples=resamples, level=level)
    return difference_of(found, first, second)


def difference_of(found: Interval, a: Float64, b: Float64) -> Difference:
    """A paired difference from the interval of the mean of a - b, float64[n] each."""
    if alike(a, b):
        return Difference(0.0, 0.0, 0.0, len(a))
    return Difference(found.value, found.low, found.high, len(a))


def alike(a: Float64, b: Float64) -> bool:
    """Do two agree on every user, and are there enough users with more than the usual value to say so?"""
    return len(a) >= MIN_USERS and bool(np.array_equal(a, b)) and varied(a) >= MIN_VARIED


def _checked(values: ArrayLike, level: float) -> Float64:
    if not 0 < level < 1:
        raise TastemakerError(f"level is {level}, must be between 0 and 1", fix="pass 0.95")
    columns = np.asarray(values, np.float64)
    if not len(columns):
        raise TastemakerError(
            "no users were judged, so there is no mean", fix="lengthen split.test_days in the problem file"
        )
    return columns
