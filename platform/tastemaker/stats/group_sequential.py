"""Group-sequential tests: some planned looks, one false positive rate for all of them.

Looks are at information t₁ < … < t_K, the share of the planned units that have matured; t_K = 1 at the plan's
end. The statistic is Z_k, or the score S_k = Z_k √t_k, whose increments are independent and normal with mean
θ·Δt and variance Δt. At each look as much of α is spent as a function says:

    P(first crossing at k) = a(t_k) − a(t_{k−1})

    O'Brien-Fleming type   a(t) = 4 − 4 Φ(z_{1−α/4} / √t)    two-sided;  2 − 2 Φ(z_{1−α/2} / √t)  one-sided
    Pocock type            a(t) = α ln(1 + (e − 1) t)
    power                  a(t) = α t^γ

so looks need not be planned exactly. The bounds come from the density of S_k among paths that have not
crossed, integrated numerically from look to look:

    f_k(s) = ∫ f_{k−1}(u) φ((s − u − θΔ)/√Δ)/√Δ du    over the u that continue

A test that stops early stops at a lucky effect, so that the effect at the last look is too large on average.
`stagewise_estimate` corrects that: paths are ordered by where they end (above earlier, then by Z at the last
look, then below earlier), and the estimate is the θ under which half of all paths end higher than this one.

References: P. Armitage, C. McPherson and B. Rowe, Journal of the Royal Statistical Society A 132(2), 1969;
K. Lan and D. DeMets, Biometrika 70(3), 1983; C. Jennison and B. Turnbull, "Group sequential methods with
applications to clinical trials", 2000, chapters 8 (estimates) and 19 (computation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

Float64 = NDArray[np.float64]
Spending = Callable[[float], float]
"""From the information, 0 to 1, to the α that is spent until then."""

_REACH = 10.0
"""Standard deviations beyond which a density is 0 for every purpose."""
_LARGEST_Z = 12.0
"""A look that spends nothing has this bound."""
_NODES_PER_DEVIATION = 8
_FEWEST_NODES, _MOST_NODES = 96, 4_000
_NODES_STEP = 32


@lru_cache(maxsize=256)
def _gauss_legendre(count: int) -> tuple[Float64, Float64]:
    """Return nodes and weights on [−1, 1]; an eigenvalue problem, which many looks share."""
    return leggauss(count)


class Crossing(NamedTuple):
    """Probabilities of the first crossing, look by look."""

    above: Float64
    """float64[looks]: of the upper bound."""
    below: Float64
    """float64[looks]: of the lower bound; 0 in a one-sided test."""

    @property
    def total(self) -> float:
        """Probability of a crossing at any look."""
        return float(self.above.sum() + self.below.sum())


def obrien_fleming(alpha: float, *, two_sided: bool = True) -> Spending:
    """Return the spending function of O'Brien-Fleming type: very little early, nearly all at the end.

    Args:
        alpha: The level that is spent at the end, 0 to 1.
        two_sided: Whether the level is that of both sides.
    """
    _check_alpha(alpha)
    sides = 2 if two_sided else 1
    z = float(ndtri(1 - alpha / (2 * sides)))
    return lambda t: 2 * sides * float(ndtr(-z / math.sqrt(t))) if t > 0 else 0.0


def bounds(information: Sequence[float], spending: Spending, *, two_sided: bool = True) -> Float64:
    """Return the bound of |Z| (two-sided) or of Z (one-sided) at each look.

    Args:
        information: Information at the looks, rising, above 0 and at most 1. Looks beyond the plan's end
            count as the end: pass 1 for the first of them, and stop there.
        spending: Function of the information.
        two_sided: Whether α is spent on both sides.

    Returns:
        float64[looks]. A look that spends nothing has a bound of 12.

    Raises:
        ValueError: The information does not rise from above 0 to at most 1.

    >>> bounds([0.5, 1.0], obrien_fleming(0.05)).round(3).tolist()
    [2.963, 1.969]
    """
    times = _checked(information)
    found = np.empty(len(times))
    path = _Path(0.0)
    spent = 0.0
    for k, t in enumerate(times):
        path = path.until(t)
        share = max(spending(t) - spent, 0.0)
        found[k] = path.bound(share, two_sided=two_sided)
        spent += share
        path = path.continuing(found[k], two_sided=two_sided)
    return found


def crossing(
    information: Sequence[float], z: Sequence[float] | Float64, drift: float = 0.0, *, two_sided: bool = True
) -> Crossing:
    """Return the probabilities of crossing bounds at each look.

    Args:
        information: Information at the looks, as in `bounds`.
        z: The bound of |Z| at each look (of Z, if one-sided), as `bounds` returns them.
        drift: θ, the expectation of Z at information 1; 0 under no effect.
        two_sided: Whether there is a lower bound, too.
    """
    above, below = np.zeros(len(z)), np.zeros(len(z))
    path = _Path(drift)
    for k, (t, limit) in enumerate(zip(_checked(information), z, strict=True)):
        path = path.until(t)
        above[k], below[k] = path.beyond(float(limit), two_sided=two_sided)
        path = path.continuing(float(limit), two_sided=two_sided)
    return Crossing(above, below)


def sample_factor(
    information: Sequence[float],
    z: Sequence[float] | Float64,
    *,
    alpha: float,
    power: float,
    two_sided: bool = True,
) -> float:
    """Return by how much more units a test with looks needs than one look with the same α and power.

    Args:
        information: Information at the looks, as in `bounds`.
        z: The bound of |Z| at each look (of Z, if one-sided), as `bounds` returns them.
        alpha: False positive rate of the test with one look.
        power: Probability of finding the planned effect.
        two_sided: Whether both tests are.
    """
    once = float(ndtri(1 - (alpha / 2 if two_sided else alpha)) + ndtri(power))
    needed = brentq(
        lambda drift: crossing(information, z, drift, two_sided=two_sided).above.sum() - power,
        0.5 * once,
        3 * once,
    )
    return float((needed / once) ** 2)


class StagewiseEstimate(NamedTuple):
    """An effect after a test with looks, in units of Z at information 1."""

    drift: float
    """θ, of which half of the estimates are too high and half too low."""
    low: float
    high: float
    """The interval, of the level that was asked for."""


def stagewise_estimate(
    information: Sequence[float], z: Sequence[float] | Float64, last: float, *, alpha: float = 0.05
) -> StagewiseEstimate:
    """Return the median-unbiased estimate of the drift and its interval, after a two-sided test.

    Args:
        information: Information at the looks up to the last one that was taken, as in `bounds`.
        z: Bounds of |Z| at all looks but the last.
        last: Z at the last look, whether it crossed its bound or not.
        alpha: The interval has level 1 − alpha.

    Raises:
        ValueError: There is not one bound for each look but the last.

    >>> round(stagewise_estimate([1.0], [], 2.5).drift, 6)  # one look: Z itself
    2.5
    >>> times = [0.2, 0.4, 0.6, 0.8, 1.0]
    >>> z = bounds(times, obrien_fleming(0.05))
    >>> round(stagewise_estimate(times, z[:-1], 2.1).drift, 2)  # it would be 2.1 without looks
    2.04
    """
    times = _checked(information)
    if len(z) != len(times) - 1:
        raise ValueError(f"{len(z)} bounds were given for {len(times)} looks, must be {len(times) - 1}")
    limits = [*(float(bound) for bound in z), last]
    reach = abs(last) / math.sqrt(times[-1]) + _REACH / math.sqrt(times[0])

    def solved(share: float) -> float:
        """Return the drift under which this share of the paths ends higher."""
        return float(
            brentq(
                lambda drift: float(crossing(times, limits, drift).above.sum()) - share,
                -reach,
                reach,
                xtol=1e-9,
            )
        )

    return StagewiseEstimate(*(solved(share) for share in (0.5, alpha / 2, 1 - alpha / 2)))


class _Path:
    """Density of the score among paths that have not crossed, on quadrature nodes."""

    def __init__(
        self,
        drift: float,
        t: float = 0.0,
        nodes: Float64 | None = None,
        mass: Float64 | None = None,
        step: float = 0.0,
    ) -> None:
        self._drift, self._t, self._step = drift, t, step
        self._nodes = np.zeros(1) if nodes is None else nodes
        self._mass = np.ones(1) if mass is None else mass

    def until(self, t: float) -> _Path:
        """Return the paths just before the look at information t."""
        return _Path(self._drift, t, self._nodes, self._mass, t - self._t)

    def beyond(self, z: float, *, two_sided: bool) -> tuple[float, float]:
        """Return the probabilities of a score above and below the bound at this look."""
        limit, scale = z * math.sqrt(self._t), math.sqrt(self._step)
        centre = self._nodes + self._drift * self._step
        above = float(self._mass @ ndtr((centre - limit) / scale))
        return above, float(self._mass @ ndtr((-limit - centre) / scale)) if two_sided else 0.0

    def bound(self, share: float, *, two_sided: bool) -> float:
        """Return the bound that is crossed with a probability."""
        if share <= sum(self.beyond(_LARGEST_Z, two_sided=two_sided)):
            return _LARGEST_Z
        return float(
            brentq(lambda z: sum(self.beyond(z, two_sided=two_sided)) - share, 0.0, _LARGEST_Z, xtol=1e-10)
        )

    def continuing(self, z: float, *, two_sided: bool) -> _Path:
        """Return the paths that have not crossed at this look."""
        scale, spread = math.sqrt(self._step), _REACH * math.sqrt(self._t)
        centre = self._drift * self._t
        high = min(z * math.sqrt(self._t), centre + spread)
        low = max(-z * math.sqrt(self._t), centre - spread) if two_sided else centre - spread
        if low >= high:  # the drift is so strong that no path continues
            return _Path(self._drift, self._t, np.zeros(1), np.zeros(1))
        count = int(min(max(_FEWEST_NODES, _NODES_PER_DEVIATION * (high - low) / scale), _MOST_NODES))
        places, weights = _gauss_legendre(-(-count // _NODES_STEP) * _NODES_STEP)
        nodes = 0.5 * (high - low) * places + 0.5 * (high + low)
        off = (nodes[:, None] - self._nodes[None, :] - self._drift * self._step) / scale
        density = np.exp(-0.5 * off**2) @ self._mass / (scale * math.sqrt(2 * math.pi))
        return _Path(self._drift, self._t, nodes, 0.5 * (high - low) * weights * density)


def _checked(information: Sequence[float]) -> list[float]:
    times = [float(t) for t in information]
    rises = all(earlier < later for earlier, later in pairwise([0.0, *times]))
    if not times or not rises or times[-1] > 1:
        raise ValueError(f"information is {times}, must rise from above 0 to at most 1")
    return times


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, must be above 0 and below 1")
