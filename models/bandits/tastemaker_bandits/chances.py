"""The probability that a randomly scored item comes to a place, worked out or estimated.

Scores are independent, item j's with distribution function F_j and density f_j. Item i is at place p (0 is
the first) if its score is x and p of the others' are greater:

    P(i at p) = ∫ f_i(x) P(N_i(x) = p) dx,    N_i(x) = Σ over j ≠ i of Bernoulli(1 - F_j(x))

The law of N_i (Poisson's binomial) is a product of polynomials, one factor an item, cut off at degree k. The
integral is summed over panels as narrow as the narrowest density there, with sixteen nodes of Gauss and
Legendre each: exact to about 1e-6, with no sampling error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy import special

from tastemaker.plugins.arrays import Int64
from tastemaker.plugins.selection import best_columns
from tastemaker_bandits.learning import Float64

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
MAX_PANELS = 1024
"""Where densities a thousand times narrower than the range crowd together, panels get wider than they are."""
TAIL = 1e-9
NEGLIGIBLE = 1e-11
"""A rival that exceeds the lowest score of interest more rarely than this is left out."""
FEW = 64
"""Items whose quantiles are looked for."""
AT_ONCE = 2_000_000
"""Numbers held in one table."""


@dataclass(frozen=True, eq=False)
class Scores(ABC):
    """Independent continuous scores, by their centres and widths, float64[m]."""

    centre: Float64
    spread: Float64

    @property
    @abstractmethod
    def scale(self) -> Float64:
        """float64[m]: over which distance the density is smooth."""

    @abstractmethod
    def reach(self, items: Int64) -> tuple[Float64, Float64]:
        """float64[len(items)] each: below the first and above the second lies less than 1e-9 of each."""

    @abstractmethod
    def distribution(self, items: Int64, x: Float64) -> Float64:
        """float64[len(items), len(x)]: F"""

    @abstractmethod
    def density(self, items: Int64, x: Float64) -> Float64:
        """float64[len(items), len(x)]: f"""


class Normal(Scores):
    """Normal scores: centre is the mean, spread the standard deviation."""

    @property
    def scale(self) -> Float64:
        return self.spread

    def reach(self, items: Int64) -> tuple[Float64, Float64]:
        width = 6.5 * self.spread[items]
        return self.centre[items] - width, self.centre[items] + width

    def distribution(self, items: Int64, x: Float64) -> Float64:
        return np.asarray(special.ndtr(self._standard(items, x)))

    def density(self, items: Int64, x: Float64) -> Float64:
        z = self._standard(items, x)
        return np.asarray(np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * self.spread[items, None]))

    def _standard(self, items: Int64, x: Float64) -> Float64:
        return np.asarray((x - self.centre[items, None]) / self.spread[items, None])


class LogOdds(Scores):
    """The log-odds log θ / (1 - θ) of θ ~ Beta(a, b): smooth everywhere, however skewed θ is."""

    def __init__(self, a: Float64, b: Float64) -> None:
        super().__init__(
            special.digamma(a) - special.digamma(b),
            np.sqrt(special.polygamma(1, a) + special.polygamma(1, b)),
        )
        object.__setattr__(self, "a", a)
        object.__setattr__(self, "b", b)

    a: Float64
    b: Float64

    @property
    def scale(self) -> Float64:
        return np.minimum(self.spread, 1.0)

    def reach(self, items: Int64) -> tuple[Float64, Float64]:
        """Quantiles of a few; for many a wider bound that is quick: the tails fall as e^(ax) and e^(-bx)."""
        a, b = self.a[items], self.b[items]
        low = self.centre[items] - 7 * self.spread[items] - 22 / a
        high = self.centre[items] + 7 * self.spread[items] + 22 / b
        if len(items) > FEW:
            return low, high
        lowest, highest = special.betaincinv(a, b, TAIL), special.betaincinv(b, a, TAIL)
        return np.maximum(low, special.logit(lowest)), np.minimum(high, -special.logit(highest))

    def distribution(self, items: Int64, x: Float64) -> Float64:
        """Arms of equal counts are looked up once: betainc takes a third of a microsecond a number."""
        arms, places = np.unique(self.a[items] + 1j * self.b[items], return_inverse=True)
        table = special.betainc(arms.real[:, None], arms.imag[:, None], special.expit(x))
        return np.asarray(table[places])

    def density(self, items: Int64, x: Float64) -> Float64:
        a, b = self.a[items, None], self.b[items, None]
        return np.asarray(np.exp(a * special.log_expit(x) + b * special.log_expit(-x) - special.betaln(a, b)))


def exact(scores: Scores, allowed: Int64, wanted: Int64, k: int) -> Float64:
    """float64[len(wanted), k]: the probability that each wanted item comes to each place among `allowed`."""
    low, high = scores.reach(wanted)
    floor = max(float(low.min()), _crowded(scores, allowed, k))
    rivals = allowed[~np.isin(allowed, wanted)]
    rivals = rivals[1 - scores.distribution(rivals, np.array([floor]))[:, 0] > NEGLIGIBLE]
    x, weights = _nodes(scores, np.concatenate((rivals, wanted)), floor, float(high.max()))
    table = np.zeros((len(wanted), k))
    step = max(16, AT_ONCE // (len(wanted) * k + len(rivals)))
    for start in range(0, len(x), step):
        nodes = slice(start, start + step)
        others = _leave_one_out(scores, rivals, wanted, x[nodes], k)
        table += np.einsum("wx,wkx->wk", scores.density(wanted, x[nodes]) * weights[nodes], others)
    return table


def estimated(draws: Float64, wanted: Int64, k: int) -> Float64:
    """The same from sampled scores, float64[draws, n_items], -inf where not allowed.

    The standard error is √(p (1 - p) / draws). One is added to each count, so that none is 0.
    """
    n_items = draws.shape[1]
    top = best_columns(draws.astype(np.float32), k)
    places = np.arange(top.shape[1])
    counts = np.bincount((top * k + places).ravel(), minlength=n_items * k).reshape(n_items, k)
    return np.asarray((counts[wanted] + 1) / (len(draws) + 1))


def _crowded(scores: Scores, allowed: Int64, k: int) -> float:
    """A score that k items exceed, but for a chance of 1e-9: what is lower is in no list."""
    likely = (scores.centre - scores.spread)[allowed]  # each exceeds this with a probability of 0.8
    enough = 2 * k + 12
    return float(-np.inf if len(likely) < enough else np.partition(likely, -enough)[-enough])


def _nodes(scores: Scores, items: Int64, floor: float, ceiling: float) -> tuple[Float64, Float64]:
    """Where to evaluate and with which weights: panels that march from floor to ceiling."""
    low, high = scores.reach(items)
    scale = scores.scale[items]
    edges = [floor]
    while edges[-1] < ceiling:
        x = edges[-1]
        ahead = np.where(high > x, np.maximum(scale, low - x), np.inf)
        widest = (ceiling - x) / max(MAX_PANELS - len(edges), 1)
        edges.append(
            min(ceiling, x + max(float(ahead.min()), 0.0 if len(edges) < MAX_PANELS / 2 else widest))
        )
    bounds = np.asarray(edges)
    halves = np.diff(bounds)[:, None] / 2
    return (bounds[:-1, None] + halves * (1 + NODES)).ravel(), (halves * WEIGHTS).ravel()


def _leave_one_out(scores: Scores, rivals: Int64, wanted: Int64, x: Float64, k: int) -> Float64:
    """float64[wanted, k, x]: P(N_i(x) = p) for each wanted i. From the left times from the right."""
    beyond = 1 - scores.distribution(rivals, x)
    if k == 1:
        start = np.prod(1 - beyond, axis=0)[None]
    else:
        start = np.zeros((k, len(x)))
        start[0] = 1
        for chance in beyond:
            _multiply(start, chance)
    factors = 1 - scores.distribution(wanted, x)
    left = np.empty((len(wanted), k, len(x)))
    right = np.empty_like(left)
    tail = np.zeros((k, len(x)))
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
