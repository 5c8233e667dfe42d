"""The probability that a randomly scored item comes to a place, worked out or estimated.

Scores are independent, item j's with distribution function F_j and density f_j. Item i is at place p (0 is
the first) if its score is x and p of the others' are greater:

    P(i at p) = ∫ f_i(x) P(N_i(x) = p) dx,    N_i(x) = Σ over j ≠ i of Bernoulli(p_j),  p_j = 1 - F_j(x)

The law of N_i (Poisson's binomial) has the generating function Π (1 - p_j + p_j z). Of the few items that are
likely to exceed x it is multiplied out, cut off at degree k. Of the thousands that are not, it is

    exp( Σ_j log(1 - p_j) + Σ_r (-1)^(r+1) S_r zʳ / r ),   S_r = Σ_j (p_j / (1 - p_j))ʳ,   r < k

so that an item is taken out of a sum instead of all others being multiplied anew (Chen, Dempster, Liu,
Weighted finite population sampling to maximize entropy, Biometrika 1994). The sums are made once for a state
of the model. The integral is summed over panels with sixteen nodes each, and begins where fewer than k items
lie above with a probability below 1e-8: that much is neglected, and as much by leaving out what hardly ever
lies above. All in all it is exact to 1e-6, with no sampling error.
"""

from __future__ import annotations

from functools import cached_property
from math import log

import numpy as np
from scipy.optimize import brentq

from tastemaker.plugins.arrays import Bool, Int64
from tastemaker.plugins.selection import best_columns
from tastemaker_bandits.learning import Float64
from tastemaker_bandits.scores import Panels, Scores

MAX_PANELS = 1024
"""Where densities a thousand times narrower than the range crowd together, panels get wider than they are."""
WIDTH = 1.3
"""Of a panel, in the scales of the narrowest density."""
CROWDING = 12.0
"""Of a panel at most, in the distances over which the number of items above it is decided."""
NEGLECTED = 1e-8
"""The probability that the list reaches below the floor."""
NEGLIGIBLE = 1e-8
"""The probability that any of the items exceeds the floor which are left out."""
STABLE = 16.0
"""Σ (p / (1 - p))² of the items in the sums: rounding errors grow as e to this."""
AT_ONCE = 30_000
"""Numbers held in one table: as many as the processor's cache holds."""
MAX_FIELDS = 8
"""Kept at once: one a length of list."""
LIGHT, HEAVY = 1, 2


class Field:
    """All items that may be shown, ready to be asked for the chances of some of them in lists of k."""

    def __init__(self, scores: Scores, allowed: Int64, k: int) -> None:
        self._scores, self._k = scores, k
        self._allowed = allowed
        low, high = scores.reach(allowed)
        self._needed, floor = _floor(scores, allowed, k, float(low.min()), float(high.max()))
        beyond = scores.exceeds(allowed, floor)
        self._crowd = float(beyond.sum())
        order = np.argsort(-beyond, kind="stable")
        order = order[: 1 + int(np.count_nonzero(beyond[order][::-1].cumsum()[::-1][1:] > NEGLIGIBLE))]
        rivals, beyond = allowed[order], beyond[order]
        scale = np.minimum(
            WIDTH * scores.scale[rivals], CROWDING * self._decided(floor, scores.scale[rivals])
        )
        self._floor, self._panels = floor, _panels(scale, low[order], high[order], floor)
        n_heavy = _n_heavy(beyond)
        self._heavy = rivals[:n_heavy]
        self._kind = np.zeros(len(scores.centre), np.int8)
        self._kind[self._heavy], self._kind[rivals[n_heavy:]] = HEAVY, LIGHT
        self._sums = self._power_sums(rivals[n_heavy:], beyond[n_heavy:])

    def still(self, without: Int64) -> bool:
        """Whether enough items are left above the floor if these may not be shown."""
        return self._crowd - float(self._scores.exceeds(without, self._floor).sum()) >= self._needed

    def chances(self, wanted: Int64, without: Int64) -> Float64:
        """float64[len(wanted), k]: of each wanted item at each place, if `without` may not be shown."""
        gone = np.concatenate((wanted, without))
        taken = gone[self._kind[gone] == LIGHT]
        sums = self._sums - self._power_sums(taken, np.full(len(taken), 0.5))
        start = _series(sums)
        left = ~np.isin(self._heavy, gone)
        for chance in self._heavy_above[left]:
            _multiply(start, chance)
        others = _leave_one_out(start, self._scores.above(wanted, self._panels))
        weighted = self._scores.density(wanted, self._panels) * self._panels.weights
        return np.asarray(np.einsum("wx,wkx->wk", weighted, others))

    @cached_property
    def _heavy_above(self) -> Float64:
        return self._scores.above(self._heavy, self._panels)

    def _decided(self, floor: float, scale: Float64) -> float:
        """The distance over which the mean number above the floor falls by its own spread, √λ of λ."""
        step = 0.25 * float(scale.min(initial=np.inf))
        if not 0 < step < np.inf:
            return np.inf
        fallen = log(self._crowd / float(self._scores.exceeds(self._allowed, floor + step).sum()))
        return step / (fallen * float(np.sqrt(self._crowd))) if fallen > 0 else np.inf

    def _power_sums(self, items: Int64, beyond: Float64) -> Float64:
        """float64[k, nodes]: Σ log(1 - p), S_1, ..., S_{k-1} of items by descending p at the floor, ≤ 1/2.

        Powers too small to count are not taken: o^r < 1e-12 / m for all nodes if it is at the floor.
        """
        sums = np.zeros((self._k, self._panels.x.size))
        odds_at_floor = beyond / (1 - beyond)
        step = max(1, AT_ONCE // sums.shape[1])
        for start in range(0, len(items), step):
            above = self._scores.above(items[start : start + step], self._panels)
            below = 1 - above
            sums[0] += np.log(below.prod(axis=0))
            odds = np.divide(above, below, out=above)
            power, known = odds.copy(), odds_at_floor[start : start + step]
            for r in range(1, self._k):
                many = int(np.count_nonzero(known**r > 1e-12 / len(items)))
                if not many:
                    break
                sums[r] += power[:many].sum(axis=0)
                power[:many] *= odds[:many]
        return sums


class Fields:
    """The fields of one state of a model, made when first asked for."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._made: dict[tuple[int, bytes], Field] = {}

    def chances(self, common: Bool, allowed: Int64, wanted: Int64, k: int) -> Float64:
        """As `exact`; what is not among `allowed` of the `common` items, bool[m], is taken out of their field

        unless half of them are out, or so many that lists reach below the floor.
        """
        out = common.copy()
        out[allowed] = False
        without = np.flatnonzero(out)
        if 2 * len(without) <= len(allowed):
            field = self._field(common, k)
            if field.still(without):
                return field.chances(wanted, without)
        return exact(self._scores, allowed, wanted, k)

    def _field(self, common: Bool, k: int) -> Field:
        key = (k, np.packbits(common).tobytes())
        if (field := self._made.get(key)) is None:
            if len(self._made) >= MAX_FIELDS:
                self._made.clear()
            field = self._made[key] = Field(self._scores, np.flatnonzero(common), k)
        return field


def exact(scores: Scores, allowed: Int64, wanted: Int64, k: int) -> Float64:
    """float64[len(wanted), k]: the probability that each wanted item comes to each place among `allowed`."""
    return Field(scores, allowed, k).chances(wanted, np.empty(0, np.int64))


def estimated(draws: Float64, wanted: Int64, k: int) -> Float64:
    """The same from sampled scores, float64[draws, n_items], -inf where not allowed.

    The standard error is √(p (1 - p) / draws). One is added to each count, so that none is 0.
    """
    n_items = draws.shape[1]
    top = best_columns(draws.astype(np.float32), k)
    places = np.arange(top.shape[1])
    counts = np.bincount((top * k + places).ravel(), minlength=n_items * k).reshape(n_items, k)
    return np.asarray((counts[wanted] + 1) / (len(draws) + 1))


def _floor(scores: Scores, allowed: Int64, k: int, low: float, high: float) -> tuple[float, float]:
    """The mean number of items above the floor that is enough, and the floor: below it is no list's item.

    By Chernoff's bound P(N < k) ≤ exp(k - 1 - λ + (k - 1) log(λ / (k - 1))) for a mean of λ; one more item
    than that is wanted, as the one that is asked about does not count.
    """
    enough = float(k)
    while enough - (k - 1) * (1 + log(enough / max(k - 1, 1))) < -log(NEGLECTED):
        enough += 1
    enough += 1

    def surplus(x: float) -> float:
        return log(float(scores.exceeds(allowed, x).sum()) + 1e-12) - log(enough)

    if len(allowed) <= enough or surplus(low) <= 0:
        return 0.0, low
    tolerance = 0.05 * float(scores.scale[allowed].min())
    root = float(brentq(surplus, low, high, xtol=tolerance))
    while surplus(root) < 0:
        root -= tolerance
    return enough, root


def _panels(scale: Float64, low: Float64, high: Float64, floor: float) -> Panels:
    """Panels that march from the floor to the highest reach, no wider than what is narrowest there."""
    edges, ceiling = [floor], max(float(high.max(initial=floor)), floor + 1e-6)
    while edges[-1] < ceiling:
        x = edges[-1]
        ahead = np.where(high > x, np.maximum(scale, low - x), np.inf)
        widest = (ceiling - x) / max(MAX_PANELS - len(edges), 1)
        width = max(float(ahead.min(initial=np.inf)), 0.0 if len(edges) < MAX_PANELS / 2 else widest)
        edges.append(min(ceiling, x + width))
    return Panels.between(np.asarray(edges))


def _n_heavy(beyond: Float64) -> int:
    """How many of the items, by descending chance to exceed the floor, are too likely for the sums."""
    odds = np.minimum(beyond / np.maximum(1 - beyond, 1e-9), 1e9)
    rest = np.cumsum(odds[::-1] ** 2)[::-1]
    return int(np.count_nonzero((rest > STABLE) | (beyond > 0.5)))


def _series(sums: Float64) -> Float64:
    """float64[k, nodes]: the probability of 0, 1, ... of the items above, from their power sums.

    n g_n = Σ over r of (-1)^(r+1) S_r g_(n-r)
    """
    series = np.empty_like(sums)
    series[0] = np.exp(sums[0])
    signed = sums.copy()
    signed[2::2] *= -1
    for n in range(1, len(sums)):
        series[n] = (signed[1 : n + 1] * series[n - 1 :: -1][:n]).sum(axis=0) / n
    return series


def _leave_one_out(start: Float64, factors: Float64) -> Float64:
    """float64[wanted, k, nodes]: P(N_i(x) = p) for each wanted i. From the left times from the right."""
    k, nodes = start.shape
    left = np.empty((len(factors), k, nodes))
    right = np.empty_like(left)
    tail = np.zeros((k, nodes))
    tail[0] = 1
    for i, chance in enumerate(factors):
        left[i] = start
        _multiply(start, chance)
    for i, chance in reversed(list(enumerate(factors))):
        right[i] = tail
        _multiply(tail, chance)
    product = np.zeros_like(left)
    for degree in range(k):
        product[:, degree:] += left[:, degree, None] * right[:, : k - degree]
    return product


def _multiply(polynomial: Float64, chance: Float64) -> None:
    """In place: one more item that exceeds x with this chance."""
    passed = polynomial[:-1] * chance
    polynomial *= 1 - chance
    polynomial[1:] += passed
