"""Checks of random scores, on the nodes of an integral: densities, and chances to lie above."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from tastemaker.plugins.arrays import Int64
from tastemaker_bandits.learning import Float64

SIZE = 16
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(SIZE)
TAIL = 1e-9


def _above() -> Float64:
    """float64[16, 16]: values at the points of a panel [-1, 1] -> their integrals from each point to 1.

    By Legendre polynomials: ∫ from t to 1 of P_n = (P_{n-1}(t) - P_{n+1}(t)) / (2n + 1).
    """
    values = np.polynomial.legendre.legvander(POINTS, SIZE)
    orders = np.arange(1, SIZE)
    integrals = np.column_stack(
        [1 - POINTS, (values[:, orders - 1] - values[:, orders + 1]) / (2 * orders + 1)]
    )
    return np.asarray(integrals @ np.linalg.inv(values[:, :SIZE]))


ABOVE = _above()


class Panels(NamedTuple):
    """Adjacent panels with sixteen nodes of Gauss and Legendre each."""

    x: Float64
    """float64[panels, 16]"""
    halves: Float64
    """float64[panels]: half the width of each."""

    @classmethod
    def between(cls, edges: Float64) -> Panels:
        """From ascending edges."""
        halves = np.diff(edges) / 2
        return cls((edges[:-1] + halves)[:, None] + halves[:, None] * POINTS, halves)

    @property
    def weights(self) -> Float64:
        """float64[panels · 16]"""
        return np.asarray((self.halves[:, None] * WEIGHTS).ravel())


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
    def exceeds(self, items: Int64, x: float) -> Float64:
        """float64[len(items)]: 1 - F(x)"""

    @abstractmethod
    def density(self, items: Int64, panels: Panels) -> Float64:
        """float64[len(items), nodes]: f"""

    def above(self, items: Int64, panels: Panels) -> Float64:
        """float64[len(items), nodes]: 1 - F, of which less than 1e-9 may lie above the panels.

        The density's integral, panel by panel: a tenth of the time of an incomplete beta function.
        """
        density = self.density(items, panels)
        density *= np.repeat(panels.halves, SIZE)
        flat = density.reshape(-1, SIZE)  # one product, not one an item
        masses = (flat @ WEIGHTS).reshape(len(items), len(panels.halves))
        higher = masses[:, ::-1].cumsum(axis=1)[:, ::-1] - masses
        found: Float64 = (flat @ ABOVE.T).reshape(density.shape)
        found += np.repeat(higher, SIZE, axis=1)
        return found


class Normal(Scores):
    """Normal scores: centre is the mean, spread the standard deviation."""

    @property
    def scale(self) -> Float64:
        return self.spread

    def reach(self, items: Int64) -> tuple[Float64, Float64]:
        width = 6.5 * self.spread[items]
        return self.centre[items] - width, self.centre[items] + width

    def exceeds(self, items: Int64, x: float) -> Float64:
        return np.asarray(special.ndtr((self.centre[items] - x) / self.spread[items]))

    def density(self, items: Int64, panels: Panels) -> Float64:
        spread = self.spread[items, None]
        z = (panels.x.ravel() - self.centre[items, None]) * (np.sqrt(0.5) / spread)
        np.exp(np.negative(np.square(z, out=z), out=z), out=z)
        z /= np.sqrt(2 * np.pi) * spread
        return np.asarray(z)


class LogOdds(Scores):
    """The log-odds log θ / (1 - θ) of θ ~ Beta(a, b): smooth everywhere, however skewed θ is."""

    def __init__(self, a: Float64, b: Float64) -> None:
        super().__init__(
            special.digamma(a) - special.digamma(b),
            np.sqrt(special.polygamma(1, a) + special.polygamma(1, b)),
        )
        for name, value in (("a", a), ("b", b), ("_log_beta", special.betaln(a, b))):
            object.__setattr__(self, name, value)

    a: Float64
    b: Float64
    _log_beta: Float64

    @property
    def scale(self) -> Float64:
        return np.minimum(self.spread, 1.0)

    def reach(self, items: Int64) -> tuple[Float64, Float64]:
        """Quantiles; where they leave the floats, a bound: the tails fall as e^(ax) and e^(-bx)."""
        arms, places = np.unique(self.a[items] + 1j * self.b[items], return_inverse=True)
        a, b = arms.real, arms.imag
        centre = special.digamma(a) - special.digamma(b)
        spread = np.sqrt(special.polygamma(1, a) + special.polygamma(1, b))
        lowest, highest = special.betaincinv(a, b, TAIL), special.betaincinv(b, a, TAIL)
        low = np.maximum(centre - 7 * spread - 22 / a, special.logit(lowest))
        high = np.minimum(centre + 7 * spread + 22 / b, -special.logit(highest))
        return low[places], high[places]

    def exceeds(self, items: Int64, x: float) -> Float64:
        return np.asarray(special.betainc(self.b[items], self.a[items], special.expit(-x)))

    def density(self, items: Int64, panels: Panels) -> Float64:
        x = panels.x.ravel()
        logs = self.a[items, None] * special.log_expit(x)
        logs += self.b[items, None] * special.log_expit(-x)
        logs -= self._log_beta[items, None]
        return np.asarray(np.exp(logs, out=logs))
