"""The probability that a randomly scored item comes to a place, as an integral or by Monte Carlo.

Scores are independent, item j's with distribution function F_j and density f_j. Item i is at place p (0 is
the first) if its score is x and p of the others' are greater:

    P(i at p) = ∫ f_i(x) P(N_i(x) = p) dx,    N_i(x) = Σ over j ≠ i of Bernoulli(p_j),  p_j = 1 - F_j(x)

N_i has the Poisson-binomial distribution, whose generating function is G(z) / (1 - p_i + p_i z) with
G(z) = Π over all j of (1 - p_j + p_j z). G is known at a few points of a circle, and its coefficients are a
discrete Fourier transform (`poisson_binomial`). Of the few items that are likely to exceed x the product is
computed; of the thousands that are not, it is the exponential of a series in the sums of their odds' powers,
so that an item is removed from a sum instead of all others being multiplied again. G depends on the state of
the model and on what may be shown, and is kept.

The integral is summed over panels with twelve nodes each, or fourteen if there are few items. It begins at a
floor below which a list reaches with a probability below 5e-8. It ends at a ceiling c with
p_i(c) Σ p_j(c) ≤ 2e-7 for each i: above it item i is alone, or is one of two, each as likely to be the
first. Items whose probability to exceed the floor is below 1e-8 in all are left out. Sums over many items are
made in single precision if the scores are normal. The absolute error of a probability is below 1e-6, without
a sampling error.
"""

from __future__ import annotations

from math import log, sqrt
from typing import NamedTuple

import numpy as np
from scipy import special

from tastemaker.plugins.arrays import Bool, Int64
from tastemaker.plugins.selection import best_columns
from tastemaker_bandits.common import Float64
from tastemaker_bandits.poisson_binomial import ORDERS, Complex128, circle
from tastemaker_bandits.scores import Floats, PanelNodes, Panels, Scores

MAX_PANELS = 1024
"""Where densities a thousand times narrower than the range crowd together, panels get wider than they are."""
WIDTH = 3.8
"""The greatest width of a panel, in the scales of the narrowest density."""
FEW, MANY = PanelNodes.of(14), PanelNodes.of(12)
"""The number above a level falls more steeply if most of the items are above the floor."""
MANY_ITEMS = 8
"""There are many items if there are so many times those that lists need above the floor."""
GROWTH = 0.33
"""By how many scales a panel may be wider for each power of e that a density's mass beyond it is below 1."""
CROWDING = 7.0
"""The greatest change over a panel of the mean number of items above, in its standard deviations."""
STEEPNESS = 8.0
"""The same for a number that falls all the way as fast as at the lower edge of the panel."""
NEGLECTED = 5e-8
"""The probability that a list reaches below the floor."""
NEGLIGIBLE = 1e-8
"""The probability that any of the items that are left out exceeds the floor."""
ALONE = 2e-7
"""The probability that an item above the ceiling is not the only one there."""
LIKELY = 0.15
"""Items that exceed the floor with a greater probability are multiplied one by one."""
SMALL_POWER = 3e-8
"""Items are left out of the sums of further powers from here on."""
SMALL_SUM = 1e-9
"""Nodes are left out of the sums of further powers from here on."""
AT_ONCE = 50_000
"""The numbers in one table: as many as the processor's cache holds."""
MAX_KEPT = 8
"""Integrals kept by a cache: one for each length of a list."""


class PositionIntegral:
    """The integrand's common part for the items that may be shown and for lists of length k.

    Args:
        scores: the distributions of all items' scores.
        allowed: int64[m], the items that may be shown, ascending.
        k: the length of the lists.
    """

    def __init__(self, scores: Scores, allowed: Int64, k: int) -> None:
        self._scores, self._circle = scores, circle(k)
        rivals = scores if len(allowed) == len(scores) else scores.take(allowed)
        low, high = rivals.reach()
        self._needed, self._floor, beyond = _floor(rivals, k, float(low.min()), float(high.max()))
        self._expected = float(beyond.sum())
        order = np.argsort(-beyond)[: np.count_nonzero(beyond > NEGLIGIBLE / len(beyond))]
        beyond = beyond[order]
        n_likely = int(np.count_nonzero(beyond > LIKELY))
        self._likely, self._unlikely = allowed[order[:n_likely]], allowed[order[n_likely:]]
        rivals = rivals.take(order)
        nodes = MANY if len(allowed) > MANY_ITEMS * self._needed > 0 else FEW
        edges, beyond_edges = _edges(rivals, low[order], high[order], self._floor, beyond)
        self._panels, self._above_ceiling = Panels.between(edges, nodes), float(beyond_edges[-1].sum())
        self._sums = self._power_sums(rivals.take(slice(n_likely, None)), beyond_edges[1:, n_likely:])
        self._product = self._multiplied(rivals.take(slice(n_likely)))
        self._generating = self._circle.from_power_sums(self._sums) * self._product

    def reaches_without(self, without: Int64) -> bool:
        """Return whether lists stay above the floor if the items `without` may not be shown."""
        return self._expected - float(self._scores.take(without).exceeds(self._floor).sum()) >= self._needed

    def propensities(self, wanted: Int64, without: Int64) -> Float64:
        """Return the probability of each wanted item at each place.

        Args:
            wanted: int64[w], items that may be shown.
            without: int64[n], items of the integral that may not be shown this time.

        Returns:
            float64[w, k]
        """
        panels, generating = self._panels, self._generating
        if len(without):
            removed = self._scores.take(np.intersect1d(without, self._likely))
            summed = self._scores.take(np.intersect1d(without, self._unlikely))
            beyond = np.stack([summed.exceeds(edge) for edge in panels.edges[1:].tolist()])
            sums = self._sums - self._power_sums(summed, beyond)
            generating = self._circle.from_power_sums(sums) * (self._product / self._multiplied(removed))
        table = np.empty((len(wanted), self._circle.inverse.shape[1]))
        step = max(1, AT_ONCE // generating.size)
        for start in range(0, len(wanted), step):
            scores = self._scores.take(wanted[start : start + step])
            density = scores.density(panels.x.ravel())
            others = generating / self._circle.factors(scores.above(panels, density).T)
            weights = (density.T * panels.weights)[:, None]
            table[start : start + step] = ((weights @ others)[:, 0] @ self._circle.inverse).real
            alone = scores.exceeds(float(panels.edges[-1]))
            behind = alone * (self._above_ceiling - alone) / 2
            table[start : start + step, 0] += alone - behind
            table[start : start + step, 1:2] += behind[:, None]
        return table

    def _power_sums(self, scores: Scores, beyond: Float64) -> Float64:
        """Return the sums of `Circle.from_power_sums` over items with p ≤ LIKELY.

        Args:
            scores: those of the items, the likeliest first.
            beyond: float64[panels, m], their probabilities to exceed the panels' upper edges.

        Returns:
            float64[ORDERS, nodes]
        """
        sums = np.zeros((ORDERS, self._panels.x.size))
        step = max(1, AT_ONCE // sums.shape[1])
        for start in range(0, len(scores), step):
            some = slice(start, start + step)
            above = scores.take(some).above_roughly(self._panels, beyond[:, some])
            _add_power_sums(sums, np.divide(above, 1 - above, out=above))
        return sums

    def _multiplied(self, scores: Scores) -> Complex128:
        """Return Π (1 - p_j + p_j z) over the items, complex128[nodes, points], factor by factor."""
        product = np.ones((self._panels.x.size, len(self._circle.points)), np.complex128)
        step = max(1, AT_ONCE // product.size)
        for start in range(0, len(scores), step):
            some = scores.take(slice(start, start + step))
            above = some.above(self._panels, some.density(self._panels.x.ravel()))
            product *= self._circle.factors(above.T).prod(axis=0)
        return product


class PropensityCache:
    """The integrals of one state of a model, computed when first needed."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self._integrals: dict[tuple[int, bytes], PositionIntegral] = {}

    def propensities(self, common: Bool, allowed: Int64, wanted: Int64, k: int) -> Float64:
        """Return what `exact` returns, from the integral over the common items if that is faster.

        Items that are common but not allowed are removed from the common integral, unless they are more than
        half as many as those allowed, or so many that lists reach below its floor.

        Args:
            common: bool[n_items], the items that may be shown unless a request excludes them.
            allowed: int64[m], the items that may be shown in this request.
            wanted: int64[w], among them.
            k: the length of the lists.

        Returns:
            float64[w, k]
        """
        out = common.copy()
        out[allowed] = False
        without = np.flatnonzero(out)
        if 2 * len(without) <= len(allowed):
            integral = self._integral(common, k)
            if integral.reaches_without(without):
                return integral.propensities(wanted, without)
        return exact(self._scores, allowed, wanted, k)

    def _integral(self, common: Bool, k: int) -> PositionIntegral:
        key = (k, np.packbits(common).tobytes())
        if (integral := self._integrals.get(key)) is None:
            if len(self._integrals) >= MAX_KEPT:
                self._integrals.clear()
            integral = self._integrals[key] = PositionIntegral(self._scores, np.flatnonzero(common), k)
        return integral


def exact(scores: Scores, allowed: Int64, wanted: Int64, k: int) -> Float64:
    """Return the probability of each wanted item at each place, with an absolute error below 1e-6.

    Args:
        scores: the distributions of all items' scores.
        allowed: int64[m], the items that may be shown.
        wanted: int64[w], among them.
        k: the length of the lists.

    Returns:
        float64[w, k]
    """
    return PositionIntegral(scores, allowed, k).propensities(wanted, np.empty(0, np.int64))


def estimated(draws: Float64, wanted: Int64, k: int) -> Float64:
    """Return Monte Carlo estimates of what `exact` returns.

    The standard error is √(p (1 - p) / draws). One is added to each count, so that none is 0.

    Args:
        draws: float64[draws, n_items], sampled scores, -inf where an item is not allowed.
        wanted: int64[w], the items whose probabilities are returned.
        k: the length of the lists.

    Returns:
        float64[w, k]
    """
    n_items = draws.shape[1]
    top = best_columns(draws.astype(np.float32), k)
    places = np.arange(top.shape[1])
    counts = np.bincount((top * k + places).ravel(), minlength=n_items * k).reshape(n_items, k)
    return np.asarray((counts[wanted] + 1) / (len(draws) + 1))


def _floor(scores: Scores, k: int, low: float, high: float) -> tuple[float, float, Float64]:
    """Return where a list's items hardly ever are below.

    The number above is below k with at most the probability of a Poisson variable of the same mean (Anderson,
    Samuels, Some inequalities among binomial and Poisson probabilities, 1967). The item in question does not
    count, so one more is needed.

    Args:
        scores: those of the items that may be shown.
        k: the length of the lists.
        low: a point below all of them.
        high: a point above all of them.

    Returns:
        The mean number of items above the floor that is enough, or 0; the floor; and each item's probability
        to exceed it, float64[m].
    """
    enough = float(special.gammainccinv(k, NEGLECTED)) + 1
    if len(scores) <= enough + 1:
        return 0.0, low, scores.exceeds(low)
    centre, beyond = float(scores.centre.mean()), np.ones(len(scores))
    deviations = scores.centre - centre
    wide = sqrt(float(deviations @ deviations + scores.spread @ scores.spread) / len(scores))
    x = centre - wide * float(special.ndtri(enough / len(scores)))
    slope, before = -2 / wide, None
    while high - low > 1e-12 * (abs(low) + abs(high)):
        if not low < x < high:
            x = (low + high) / 2
        here = scores.exceeds(x)
        expected = float(here.sum())
        if enough <= expected <= 1.15 * enough:
            return enough, x, here
        surplus = min(max(log(max(expected, 1e-300) / enough), -1.0), 1.0)
        if expected > enough:
            low, beyond = x, here
        else:
            high = x
        if before is not None:
            slope = (surplus - before[1]) / (x - before[0])
        before = x, surplus
        x += (0.07 - surplus) / slope if slope < 0 else np.inf
    return enough, low, beyond


def _edges(
    scores: Scores, low: Float64, high: Float64, floor: float, beyond_floor: Float64
) -> tuple[Float64, Float64]:
    """Return the edges of panels from the floor to the ceiling, each as far ahead as `_width` allows.

    A panel over which the mean number above, λ, falls by more than CROWDING of its standard deviations is
    cut: over a few of these the probability that p items are above rises and falls.

    Args:
        scores: those of the items that may exceed the floor.
        low: float64[m], below which each item hardly ever is.
        high: float64[m], above which each item hardly ever is.
        floor: the first edge.
        beyond_floor: float64[m], the items' probabilities to exceed it.

    Returns:
        float64[panels + 1], and the probabilities to exceed each, float64[panels + 1, m].
    """
    edges, top = [floor], max(float(high.max(initial=floor)), floor + 1e-6)
    beyond, above = [beyond_floor], _NumberAbove.of(beyond_floor)
    hazard = float(scores.density(np.array([floor])).sum()) / max(above.mean, 1e-300)
    while edges[-1] < top:
        x, free = edges[-1], len(edges) < MAX_PANELS / 2
        width = _width(scores, low - x, beyond[-1], above, hazard)
        if not free:
            width = max(width, (top - x) / max(MAX_PANELS - len(edges), 1))
        while True:
            edge = min(top, x + width)
            beyond_edge = scores.exceeds(edge)
            left = _NumberAbove.of(beyond_edge)
            change = 2 * (above.mean - left.mean) / (above.deviation + left.deviation)
            if change <= CROWDING or not free:
                break
            width = (edge - x) * max(0.9 * CROWDING / change, 0.3)
        edges.append(edge)
        beyond.append(beyond_edge)
        if left.mean * float(beyond_edge.max(initial=0)) <= ALONE:
            break
        hazard, above = max(log(above.mean / left.mean) / (edge - x), 1e-300), left
    return np.asarray(edges), np.stack(beyond)


class _NumberAbove(NamedTuple):
    """The number of items above a level."""

    mean: float
    deviation: float
    """Its standard deviation √(v + 1/4): items that are above or below for certain leave v = 0."""

    @classmethod
    def of(cls, beyond: Float64) -> _NumberAbove:
        """Return the number of items that exceed the level with the probabilities float64[m]."""
        mean = float(beyond.sum())
        return cls(mean, sqrt(max(mean - float(beyond @ beyond), 0.0) + 0.25))


def _width(scores: Scores, ahead: Float64, beyond: Float64, above: _NumberAbove, hazard: float) -> float:
    """Return how wide the panel from x on may be.

    It ends where the first density ends that begins in it, or λ has fallen by 0.9 CROWDING of its standard
    deviations if it falls as exp(-hazard · x), or by STEEPNESS of them if it falls as at x.

    Args:
        scores: those of the items that may exceed the floor.
        ahead: float64[m], the distance to where each item's density begins.
        beyond: float64[m], the items' probabilities to exceed x.
        above: the number of items above x.
        hazard: the relative slope of λ.
    """
    widths = np.log(np.maximum(beyond, NEGLIGIBLE))
    widths *= -GROWTH
    widths += WIDTH
    widths *= scores.scale
    width = float(np.maximum(widths, ahead, out=widths).min(initial=np.inf, where=beyond > NEGLIGIBLE))
    share = above.deviation / max(above.mean, 1e-300)
    if (kept := 1 - 0.45 * CROWDING * share) > 0:
        width = min(width, -2 * log(kept) / hazard)
    return min(width, STEEPNESS * share / hazard)


def _add_power_sums(sums: Float64, odds: Floats) -> None:
    """Add Σ_j o_jʳ to the sums, two orders per power: S_(2n-1) = Σ oⁿ⁻¹ oⁿ, S_2n = Σ oⁿ oⁿ.

    Args:
        sums: float64[ORDERS, nodes], by ascending node.
        odds: float[nodes, m], the greatest of the first node first.
    """
    lower, power = np.ones_like(odds), odds
    for order in range(0, ORDERS, 2):
        nodes = len(power)
        sums[order, :nodes] += np.vecdot(lower, power)
        sums[order + 1, :nodes] += np.vecdot(power, power)
        some = np.s_[
            : np.count_nonzero(sums[order + 1, :nodes] > SMALL_SUM),
            : np.count_nonzero(np.square(power[0]) > SMALL_POWER),
        ]
        lower, odds = power[some], odds[some]
        if not lower.size:
            break
        if order == 4:
            lower, odds = lower.astype(np.float64), odds.astype(np.float64)
        power = lower * odds
