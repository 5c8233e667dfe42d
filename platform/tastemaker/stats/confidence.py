"""Confidence intervals of means over users, and when there is none: all intervals of the platform use these.

    t    = x̄ ± tq · s                                          Student's
    Hall = x̄ - s · g⁻¹(± tq),  g⁻¹(y) = 3/a · (∛(1 + a·(y - a/6)) - 1),  a = γ/√n    its skewness taken out
    interval = the outer of both ends on each side

x̄ is the mean, s its standard error, γ the skewness of the n users' values and tq the quantile of Student's t
with n - 1 degrees of freedom. Student's upper end is too low where most users have 0 and a few have much;
Hall's interval is too narrow where the skewness is itself estimated from few users, as that of differences
is. The outer of both has the stated coverage in either case (`benchmarks/interval_coverage.py`,
docs/reference/metrics.md).

With few users no interval has the stated coverage, and neither has one of many users of which nearly all have
0: one more user with a hit would move the mean by more than the interval is wide. Then there is no interval,
but a reason in words. Where nearly all users have the same value v other than 0, such as a hit, the interval
is v and how far the other users may move it:

    v + [min(d, 0), max(d, 0)] · (the upper limit of Clopper and Pearson for the share of users who differ)

with d the largest observed difference from v or, downwards, v itself.

Where a log's rewards are weighted, as in `evaluation.off_policy`, one more reward can count more than most:
see `ends_with_rare`.

References: Student, Biometrika 6(1), 1908; C. Clopper and E. Pearson, Biometrika 26(4), 1934; P. Hall, "On
the removal of skewness by transformation", Journal of the Royal Statistical Society B 54(1), 1992.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

Float64 = NDArray[np.float64]

MIN_USERS = 20
"""With fewer users there is no interval."""
MIN_VARIED = 10
"""Where most users have 0, there is no interval with fewer users who have another value."""
_TIE = 1e-9


class Ends(NamedTuple):
    """Ends of an interval; NaN where there is no interval."""

    low: float
    high: float


NONE = Ends(math.nan, math.nan)


def varied(values: Float64) -> int:
    """Return how many of float64[n] differ from the usual value, which is the median."""
    return int(np.count_nonzero(_off(values)[1]))


def _off(values: Float64) -> tuple[float, Float64]:
    """Return the usual value, and each value's difference from it; 0 where that is a rounding error."""
    if not len(values):
        return 0.0, values
    usual = float(np.partition(values, len(values) // 2)[len(values) // 2])
    off = values - usual
    return usual, np.where(np.abs(off) > _TIE * np.abs(values).max(), off, 0.0)


def ends(value: float, error: float, values: Float64, level: float, *, certain: bool = False) -> Ends:
    """Return the interval of a mean over users.

    NONE with fewer than MIN_USERS users, or with fewer than MIN_VARIED users with a value other than 0 where
    most have 0. Where all users have the same value, the interval is that value, unless it is 0 or 1: if no
    user or every user had a hit so far, the next one may differ.

    Args:
        value: The mean over the users.
        error: Its standard error.
        values: float64[n], one per user.
        level: Confidence level.
        certain: Whether the values are not a matter of hits, so that 0 or 1 for all users is exact.
    """
    n = len(values)
    if n < MIN_USERS or not math.isfinite(value) or not math.isfinite(error):
        return NONE
    usual, off = _off(values)
    differing = int(np.count_nonzero(off))
    if differing == 0 and (certain or abs(value) not in (0.0, 1.0)):
        return Ends(value, value)
    if differing < MIN_VARIED:
        return NONE if usual == 0 else _nearly_all_alike(usual, off, level)
    return _outer_ends(value, error, n, _skewness(values), level)


def ends_of_moments(value: float, error: float, n: int, differing: int, a: float, level: float) -> Ends:
    """Return the interval of a mean of which only sample moments are known, by the same rules as `ends`.

    Args:
        value: The mean over the users.
        error: Its standard error.
        n: The number of users.
        differing: How many users have another value than 0, where most have 0.
        a: γ/√n, γ being the skewness of the users' values.
        level: Confidence level.
    """
    if n < MIN_USERS or not math.isfinite(value) or not math.isfinite(error) or differing < MIN_VARIED:
        return NONE
    return _outer_ends(value, error, n, a, level)


def _outer_ends(value: float, error: float, n: int, a: float, level: float) -> Ends:
    quantile = _quantile(n, level)
    below, above = _hall(quantile, a), _hall(-quantile, a)
    return Ends(value - error * max(quantile, below), value - error * min(-quantile, above))


def ends_with_rare(
    value: float, error: float, values: Float64, level: float, *, above: float, below: float, wide: bool
) -> Ends:
    """Return Hall's interval of a mean, which allows for rare values that were not observed.

    Half of one rare value is counted in the variance and the skewness of the end on its side. Without it, an
    interval ignores a weight so rare that none of its rewards was observed.

    Args:
        value: The mean of `values`.
        error: Its standard error.
        values: float64[n].
        level: Confidence level.
        above: How much one more rare value would add to the sum of `values`, at least 0.
        below: How much it would subtract, at least 0.
        wide: Whether no end may be closer than Student's, as for differences, whose skewness is estimated
            from rewards of both signs.
    """
    n = len(values)
    if n < MIN_USERS or not math.isfinite(value) or not math.isfinite(error):
        return NONE
    if error <= _TIE * np.abs(values).max() and not above and not below:
        return Ends(value, value)
    quantile = _quantile(n, level)
    half = math.sqrt(0.5)
    low, high = _hall(quantile, _skewness(values, -below)), _hall(-quantile, _skewness(values, above))
    if wide:
        low, high = max(low, quantile), min(high, -quantile)
    return Ends(
        value - math.hypot(error, half * below / n) * low, value - math.hypot(error, half * above / n) * high
    )


def _quantile(n: int, level: float) -> float:
    return float(stdtrit(n - 1, (1 + level) / 2))


def _nearly_all_alike(usual: float, off: Float64, level: float) -> Ends:
    """Return the interval of a mean where all users except a few have the value `usual`."""
    differing, n = int(np.count_nonzero(off)), len(off)
    share = float(betaincinv(differing + 1, n - differing, (1 + level) / 2))
    least, most = float(off.min()), float(off.max())
    least, most = (min(least, -usual), most) if usual > 0 else (least, max(most, -usual))
    return Ends(usual + share * min(least, 0.0), usual + share * max(most, 0.0))


def _skewness(values: Float64, rare: float = 0.0) -> float:
    """Return a = γ/√n of float64[n], with half a value more that differs from the mean by `rare`."""
    off = values - values.mean()
    squared = off**2
    spread, third = float(squared.sum()) + rare**2 / 2, float((squared * off).sum()) + rare**3 / 2
    return third / math.sqrt(spread) ** 3


def _hall(quantile: float, a: float) -> float:
    """Return g⁻¹ of a quantile of Student's t: the quantile of the studentized mean."""
    if abs(a) < _TIE:
        return quantile
    return 3 / a * (float(np.cbrt(1 + a * (quantile - a / 6))) - 1)


def why_none(users: int, differing: int | None = None) -> str:
    """Return why there is no interval, such as `no interval: 5 users, needs 20`.

    Args:
        users: The number of users.
        differing: How many of them have another value than the usual one; None if unknown.
    """
    if users == 1:
        return f"no interval from one user, needs {MIN_USERS}"
    if users < MIN_USERS:
        return f"no interval: {users} users, needs {MIN_USERS}"
    found = f"fewer than {MIN_VARIED}" if differing is None else f"only {differing}"
    return f"no interval: {found} of {users:,} users differ from the rest, needs {MIN_VARIED}"
