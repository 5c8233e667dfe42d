"""When a mean over users has an interval, and where that ends: all intervals of the platform come from here.

    t    = x̄ ± tq · s                                          Student's
    Hall = x̄ - s · g⁻¹(± tq),  g⁻¹(y) = 3/a · (∛(1 + a·(y - a/6)) - 1),  a = γ/√n    its skewness taken out
    interval = the outer of both ends on each side

x̄ is the mean, s its standard error, γ the skewness of the n users' values and tq the quantile of Student's t
with n - 1 degrees of freedom. Student's interval ends too low where most users have 0 and a few have much;
Hall's ends too close where the skewness is itself estimated from few users, as that of differences is. The
outer of both covers as it says in either case (`benchmarks/interval_coverage.py`, docs/reference/metrics.md).

From few users nothing covers as it says, nor from many of whom nearly all have 0: one more user with a hit
would move the mean by more than the interval is wide. Then there is none, and the reason in words. Where
nearly all have the same value v other than 0, such as a hit, the interval is v and how far those who have
not may move it:

    v + [min(d, 0), max(d, 0)] · (the upper limit of Clopper and Pearson for the share of users who differ)

with d the largest difference from v that was seen or, downwards, v itself.

Where a log's rewards are weighted by how much likelier another policy would have shown what it shows, as in
`off_policy`, one more reward counts more than most: `ends_with_rare`.

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
"""... nor with fewer users who have another value than 0, where most have 0."""
_TIE = 1e-9


class Ends(NamedTuple):
    """Where an interval ends; NaN for one that can't be given."""

    low: float
    high: float


NONE = Ends(math.nan, math.nan)


def varied(values: Float64) -> int:
    """How many of float64[n] differ from the usual value, the median: what most have, where most agree."""
    return int(np.count_nonzero(_off(values)[1]))


def _off(values: Float64) -> tuple[float, Float64]:
    """The usual value, and how far each is off it; 0 where that is by rounding alone."""
    if not len(values):
        return 0.0, values
    usual = float(np.partition(values, len(values) // 2)[len(values) // 2])
    off = values - usual
    return usual, np.where(np.abs(off) > _TIE * np.abs(values).max(), off, 0.0)


def ends(value: float, error: float, values: Float64, level: float, *, certain: bool = False) -> Ends:
    """The interval of a mean, `value`, whose standard error is `error`, over float64[n] `values`, one a user.

    NONE with fewer than MIN_USERS users, or with fewer than MIN_VARIED who have not 0 where most have.
    Where all users have the same value, the interval is that value, unless it is 0 or 1: where so far no user
    or every user had a hit, the next one may be another. `certain` says that this is no matter of hits.
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
    quantile = _quantile(n, level)
    below, above = _hall(quantile, values), _hall(-quantile, values)
    return Ends(value - error * max(quantile, below), value - error * min(-quantile, above))


def ends_with_rare(
    value: float, error: float, values: Float64, level: float, *, above: float, below: float, wide: bool
) -> Ends:
    """Hall's interval of a mean, as `ends` takes it, that allows for rare values which were not seen.

    `above` is what one more of them would add to the sum of `values`, `below` what it would take away, both
    at least 0. Half of one is counted in the variance and the skewness of the end on its side: without it, an
    interval knows nothing of a weight so rare that none of its rewards was seen. `wide`: no end is closer
    than Student's, as for differences, whose skewness is estimated from rewards of both signs.
    """
    n = len(values)
    if n < MIN_USERS or not math.isfinite(value) or not math.isfinite(error):
        return NONE
    if error <= _TIE * np.abs(values).max() and not above and not below:
        return Ends(value, value)
    quantile = _quantile(n, level)
    half = math.sqrt(0.5)
    low, high = _hall(quantile, values, -below), _hall(-quantile, values, above)
    if wide:
        low, high = max(low, quantile), min(high, -quantile)
    return Ends(
        value - math.hypot(error, half * below / n) * low, value - math.hypot(error, half * above / n) * high
    )


def _quantile(n: int, level: float) -> float:
    return float(stdtrit(n - 1, (1 + level) / 2))


def _nearly_all_alike(usual: float, off: Float64, level: float) -> Ends:
    """The interval of a mean of which few users keep another value than `usual`."""
    differing, n = int(np.count_nonzero(off)), len(off)
    share = float(betaincinv(differing + 1, n - differing, (1 + level) / 2))
    least, most = float(off.min()), float(off.max())
    least, most = (min(least, -usual), most) if usual > 0 else (least, max(most, -usual))
    return Ends(usual + share * min(least, 0.0), usual + share * max(most, 0.0))


def _hall(quantile: float, values: Float64, rare: float = 0.0) -> float:
    """g⁻¹: the quantile of the studentized mean that one of Student's t stands for.

    Half a value that is off the mean by `rare` is counted beside `values`.
    """
    off = values - values.mean()
    squared = off**2
    spread, third = float(squared.sum()) + rare**2 / 2, float((squared * off).sum()) + rare**3 / 2
    a = third / math.sqrt(spread) ** 3
    if abs(a) < _TIE:
        return quantile
    return 3 / a * (float(np.cbrt(1 + a * (quantile - a / 6))) - 1)


def why_none(users: int, differing: int | None = None) -> str:
    """Why there is no interval, such as `no interval: 5 users, needs 20`."""
    if users == 1:
        return f"no interval from one user, needs {MIN_USERS}"
    if users < MIN_USERS:
        return f"no interval: {users} users, needs {MIN_USERS}"
    found = f"fewer than {MIN_VARIED}" if differing is None else f"only {differing}"
    return f"no interval: {found} of {users:,} users differ from the rest, needs {MIN_VARIED}"
