"""The number of items above a level, as the generating function of a Poisson-binomial distribution."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker_bandits.common import Float64

Complex128 = NDArray[np.complex128]
DECADES = 6.0
"""ρ^(k - 1) is 10 to minus this: rounding errors grow by as much, and aliases shrink by 1.2 as many."""
FEWEST_POINTS = 3
ORDERS = 14
"""Powers of odds that are summed: enough for probabilities up to 0.15."""


class Circle(NamedTuple):
    """The points z_l = ρ exp(iπ(2l + 1) / L), l < L / 2, of half a circle, with L ≈ 6k / 5.

    The other half holds their conjugates. No point is real, so that no factor 1 - p + p z is 0.
    """

    points: Complex128
    """complex128[L / 2]"""
    inverse: Complex128
    """complex128[L / 2, k]: the real part of values @ inverse is the first k coefficients."""
    terms: Complex128
    """complex128[ORDERS, L / 2]: (-1)^(r+1) (zʳ - 1) / r"""
    line: Float64
    """float64[2, L]: [1, p] @ line is 1 - p + p z, real and imaginary parts in turn."""

    def factors(self, above: Float64) -> Complex128:
        """Return 1 - p + p z at each point.

        A product of matrices: complex arithmetic over so few points takes two to ten times as long.

        Args:
            above: float64[...], the probabilities p.

        Returns:
            complex128[..., L / 2]
        """
        ones = np.ones((above.size, 2))
        ones[:, 1] = above.ravel()
        return (ones @ self.line).view(np.complex128).reshape(*above.shape, len(self.points))

    def from_power_sums(self, sums: Float64) -> Complex128:
        """Return Π (1 - p_j + p_j z) = exp(Σ_r (-1)^(r+1) S_r (zʳ - 1) / r) at each point.

        That is the series of log(1 + o z) - log(1 + o) with the odds o = p / (1 - p).

        Args:
            sums: float64[ORDERS, nodes]: S_r = Σ_j o_jʳ for r = 1, 2, ...

        Returns:
            complex128[nodes, points]
        """
        sizes, angles = np.exp(sums.T @ self.terms.real), sums.T @ self.terms.imag
        found = np.empty(sizes.shape, np.complex128)  # numpy's complex exponential takes ten times as long
        np.multiply(sizes, np.cos(angles), out=found.real)
        np.multiply(sizes, np.sin(angles), out=found.imag)
        return found


@lru_cache(maxsize=32)
def circle(k: int) -> Circle:
    """Return the circle from which the first k coefficients of a generating function are recovered.

    The coefficients are a discrete Fourier transform on a circle of radius ρ. The error is below
    ρ^L P(N ≥ L) + 10^DECADES times the rounding errors (Abate, Whitt, Numerical inversion of probability
    generating functions, Operations Research Letters 1992).
    """
    half = max(-(-3 * k // 5), FEWEST_POINTS)
    radius = 10 ** (-DECADES / max(k - 1, FEWEST_POINTS))
    angles = np.pi * (2 * np.arange(half) + 1) / (2 * half)
    points = radius * np.exp(1j * angles)
    orders = np.arange(1, ORDERS + 1)[:, None]
    terms = (points**orders - 1) * np.where(orders % 2, 1, -1) / orders
    line = np.stack([np.ones_like(points), points - 1]).view(np.float64)
    return Circle(points, points[:, None] ** -np.arange(k) / half, terms, line)
