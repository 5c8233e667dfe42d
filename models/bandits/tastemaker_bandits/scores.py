"""Distributions of random scores on the nodes of an integral: densities and tail probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tastemaker.plugins.arrays import Int64
from tastemaker_bandits.common import Float64

Floats = NDArray[np.floating[Any]]
TAIL = 1e-9
SMALLEST, SMALLEST_LOG = 1e-12, -80.0
"""Arithmetic with the denormal numbers of smaller probabilities and exponentials is slow."""


class PanelNodes(NamedTuple):
    """The nodes of Gauss and Legendre on a panel [-1, 1]."""

    points: Float64
    """float64[size]"""
    weights: Float64
    """float64[size]"""
    above: Float64
    """float64[size, size]: values at the points -> integrals from each point to 1."""

    @classmethod
    def of(cls, size: int) -> Self:
        """Return so many nodes.

        Integrals follow from Legendre polynomials:
        ∫ from t to 1 of P_n = (P_{n-1}(t) - P_{n+1}(t)) / (2n + 1).
        """
        points, weights = np.polynomial.legendre.leggauss(size)
        values = np.polynomial.legendre.legvander(points, size)
        orders = np.arange(1, size)
        integrals = np.column_stack(
            [1 - points, (values[:, orders - 1] - values[:, orders + 1]) / (2 * orders + 1)]
        )
        return cls(points, weights, np.asarray(integrals @ np.linalg.inv(values[:, :size])))


class Panels(NamedTuple):
    """Adjacent panels with the same nodes each."""

    x: Float64
    """float64[panels, size]"""
    halves: Float64
    """float64[panels]: half the width of each."""
    edges: Float64
    """float64[panels + 1], ascending."""
    nodes: PanelNodes

    @classmethod
    def between(cls, edges: Float64, nodes: PanelNodes) -> Self:
        """Return the panels between ascending edges.

        Args:
            edges: float64[panels + 1], the edges, ascending.
            nodes: the nodes of each panel, on [-1, 1].
        """
        halves = np.diff(edges) / 2
        x = (edges[:-1] + halves)[:, None] + halves[:, None] * nodes.points
        return cls(x, halves, edges, nodes)

    @property
    def weights(self) -> Float64:
        """Return the weights of the nodes in an integral, float64[panels · size]."""
        return np.asarray((self.halves[:, None] * self.nodes.weights).ravel())


@dataclass(frozen=True, eq=False)
class Scores(ABC):
    """Independent continuous scores of m items, with their centres and widths, float64[m] each."""

    centre: Float64
    spread: Float64

    def __len__(self) -> int:
        return len(self.centre)

    @abstractmethod
    def take(self, items: Int64 | slice) -> Self:
        """Return the scores of some items."""

    @property
    @abstractmethod
    def scale(self) -> Float64:
        """Return the distance over which each density is smooth, float64[m]."""

    @abstractmethod
    def reach(self) -> tuple[Float64, Float64]:
        """Return points below and above which less than 1e-9 of each item lies, float64[m] each."""

    @abstractmethod
    def exceeds(self, x: float) -> Float64:
        """Return 1 - F(x) of each item, float64[m]."""

    @abstractmethod
    def density(self, x: Float64) -> Float64:
        """Return the density f of each item at each point, float64[len(x), m]."""

    def above(self, panels: Panels, density: Float64) -> Float64:
        """Return 1 - F of each item at each node, float64[nodes, m].

        The density's integral from the ceiling down: a tenth of the time of an incomplete beta function, a
        third of that of the error function.

        Args:
            panels: the panels of the integral, whose last edge is the ceiling.
            density: float64[nodes, m], the items' densities at the nodes.
        """
        density = density.reshape(*panels.x.shape, len(self)) * panels.halves[:, None, None]
        masses = panels.nodes.weights @ density
        found: Float64 = panels.nodes.above @ density
        found += (masses[::-1].cumsum(axis=0)[::-1] - masses + self.exceeds(float(panels.edges[-1])))[:, None]
        return np.clip(found, 0, 1, out=found).reshape(-1, len(self))

    def above_roughly(self, panels: Panels, beyond: Float64) -> Floats:
        """Return the same for items that are not likely to exceed the nodes, precise enough for long sums.

        Args:
            panels: the panels of the integral, as in `above`.
            beyond: float64[panels, m], 1 - F at the panels' upper edges.

        Returns:
            float[nodes, m], not clipped to [0, 1]
        """
        density = self.density_roughly(panels.x.ravel())
        integrals = (panels.halves[:, None, None] * panels.nodes.above).astype(density.dtype)
        found: Floats = integrals @ density.reshape(*panels.x.shape, len(self))
        found += np.maximum(beyond, SMALLEST)[:, None].astype(density.dtype)
        return found.reshape(-1, len(self))

    def density_roughly(self, x: Float64) -> Floats:
        """Return the density of items that are not likely to exceed the points, float[len(x), m]."""
        return self.density(x)


class Normal(Scores):
    """Normal scores: centre is the mean, spread the standard deviation."""

    def take(self, items: Int64 | slice) -> Self:
        return type(self)(self.centre[items], self.spread[items])

    @property
    def scale(self) -> Float64:
        return self.spread

    def reach(self) -> tuple[Float64, Float64]:
        width = 6.5 * self.spread
        return self.centre - width, self.centre + width

    def exceeds(self, x: float) -> Float64:
        z = self.centre - x
        z /= self.spread
        return np.asarray(special.ndtr(z, out=z))

    def density(self, x: Float64) -> Float64:
        scale = np.sqrt(0.5) / self.spread
        z: Float64 = (x[:, None] - self.centre) * scale
        z *= z
        np.negative(z, out=z)
        np.exp(z, out=z)
        z *= scale / np.sqrt(np.pi)
        return z

    def density_roughly(self, x: Float64) -> Floats:
        """Return the density in single precision.

        The exponents are one product of matrices, whose terms have the same sign.
        """
        scale = np.sqrt(0.5) / self.spread
        first = (x[0] - self.centre) * scale
        items = np.empty((3, len(self)), np.float32)
        items[0] = np.log(scale / np.sqrt(np.pi)) - first * first
        items[1] = first * scale
        items[2] = scale * scale
        t = (x - x[0]).astype(np.float32)
        powers = np.ones((len(t), 3), np.float32)
        np.multiply(t, -2, out=powers[:, 1])
        np.multiply(t, -t, out=powers[:, 2])
        density: Floats = powers @ items
        # Of a row and a number numpy takes the maximum in three times the time of two rows.
        np.maximum(density, np.full(len(self), SMALLEST_LOG, np.float32), out=density)
        return np.exp(density, out=density)


class LogOdds(Scores):
    """The log-odds log θ / (1 - θ) of θ ~ Beta(a, b): smooth everywhere, however skewed θ is.

    Args:
        a: float64[m], the first parameter of each item's Beta distribution, above 0; not copied.
        b: float64[m], the second one, above 0; not copied.
    """

    def __init__(self, a: Float64, b: Float64) -> None:
        super().__init__(
            special.digamma(a) - special.digamma(b),
            np.sqrt(special.polygamma(1, a) + special.polygamma(1, b)),
        )
        self._set(a, b, special.betaln(a, b))

    a: Float64
    b: Float64
    _log_beta: Float64

    def _set(self, a: Float64, b: Float64, log_beta: Float64) -> None:
        for name, value in (("a", a), ("b", b), ("_log_beta", log_beta)):
            object.__setattr__(self, name, value)

    def take(self, items: Int64 | slice) -> Self:
        some = object.__new__(type(self))
        Scores.__init__(some, self.centre[items], self.spread[items])
        some._set(self.a[items], self.b[items], self._log_beta[items])
        return some

    @property
    def scale(self) -> Float64:
        return np.minimum(self.spread, 1.0)

    def reach(self) -> tuple[Float64, Float64]:
        """Return quantiles or, where floats can't hold them, bounds: the tails fall as e^(ax) and e^(-bx)."""
        arms, places = np.unique(self.a + 1j * self.b, return_inverse=True)
        a, b = arms.real, arms.imag
        centre = special.digamma(a) - special.digamma(b)
        spread = np.sqrt(special.polygamma(1, a) + special.polygamma(1, b))
        lowest, highest = special.betaincinv(a, b, TAIL), special.betaincinv(b, a, TAIL)
        low = np.maximum(centre - 7 * spread - 22 / a, special.logit(lowest))
        high = np.minimum(centre + 7 * spread + 22 / b, -special.logit(highest))
        return low[places], high[places]

    def exceeds(self, x: float) -> Float64:
        return np.asarray(special.betainc(self.b, self.a, special.expit(-x)))

    def density(self, x: Float64) -> Float64:
        logs = special.log_expit(x)[:, None] * self.a
        logs += special.log_expit(-x)[:, None] * self.b
        logs -= self._log_beta
        return np.asarray(np.exp(logs, out=logs))
