"""Summary of units, such as users, that can be added: count, means and scatter of some columns.

    n = Σᵢ 1        x̄ = (1/n) Σᵢ xᵢ        S = Σᵢ (xᵢ − x̄)(xᵢ − x̄)ᵀ

Two summaries merge exactly: with δ = x̄_b − x̄_a

    n = n_a + n_b        x̄ = x̄_a + δ · n_b/n        S = S_a + S_b + δδᵀ · n_a n_b/n

so that days, machines and strata are summarized apart and joined. A database computes the same summary:
see `sql_columns`. Reference: T. Chan, G. Golub and R. LeVeque, "Algorithms for computing the sample
variance", The American Statistician 37(3), 1983.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tastemaker.errors import TastemakerError

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class UnitSummary:
    """Count, means and scatter of k columns over n units."""

    names: tuple[str, ...]
    """The columns' names."""
    n: int
    mean: Float64
    """float64[k]; 0 without units."""
    scatter: Float64
    """float64[k, k]: sums of products of deviations from the means."""

    @classmethod
    def of(cls, columns: Mapping[str, ArrayLike]) -> UnitSummary:
        """Return the summary of arrays.

        Args:
            columns: Name -> float[n], one value per unit.

        Raises:
            TastemakerError: A value is not a finite number, or the columns differ in length.
        """
        names = tuple(columns)
        arrays = [np.asarray(columns[name], np.float64) for name in names]
        if len({len(array) for array in arrays}) > 1:
            lengths = ", ".join(f"{name}: {len(array):,}" for name, array in zip(names, arrays, strict=True))
            raise TastemakerError(
                f"columns differ in length: {lengths}", fix="give each unit one value in each"
            )
        for name, array in zip(names, arrays, strict=True):
            _refuse_not_finite(name, int(np.count_nonzero(~np.isfinite(array))), len(array))
        values = np.column_stack(arrays)
        if not len(values):
            return cls.empty(names)
        mean = values.mean(axis=0)
        off = values - mean
        return cls(names, len(values), mean, off.T @ off)

    @classmethod
    def empty(cls, names: Sequence[str]) -> UnitSummary:
        """Return the summary of no units, which changes nothing when it is added."""
        k = len(names)
        return cls(tuple(names), 0, np.zeros(k), np.zeros((k, k)))

    @classmethod
    def of_row(cls, names: Sequence[str], row: Sequence[Any]) -> UnitSummary:
        """Return the summary that a database computed by `sql_columns`.

        Args:
            names: The columns' names, as given to `sql_columns`.
            row: The values of its expressions.

        Raises:
            TastemakerError: A value is not a finite number.
        """
        n, k = int(row[0] or 0), len(names)
        if n == 0:
            return cls.empty(names)
        figures = [float("nan") if value is None else float(value) for value in row[1:]]
        pairs = [f"{one} · {other}" for at, one in enumerate(names) for other in names[at:]]
        for name, figure in zip([*names, *pairs], figures, strict=True):
            _refuse_not_finite(name, int(not math.isfinite(figure)), n)
        scatter = np.zeros((k, k))
        scatter[np.triu_indices(k)] = figures[k:]
        return cls(tuple(names), n, np.array(figures[:k]), n * (np.triu(scatter) + np.triu(scatter, 1).T))

    def __add__(self, other: UnitSummary) -> UnitSummary:
        """Return the summary of the units of both. Raises ValueError if their columns differ."""
        if self.names != other.names:
            raise ValueError(f"summaries of {self.names} and {other.names} can't be added")
        if not self.n or not other.n:
            return other if not self.n else self
        n, apart = self.n + other.n, other.mean - self.mean
        return UnitSummary(
            self.names,
            n,
            self.mean + apart * (other.n / n),
            self.scatter + other.scatter + np.outer(apart, apart) * (self.n * other.n / n),
        )

    def weighted(self, weights: Mapping[str, float], constant: float = 0.0) -> tuple[float, float]:
        """Return mean and variance of a weighted sum of the columns, constant + Σⱼ wⱼ xⱼ.

        Args:
            weights: Name -> weight; columns without one have 0.
            constant: What is added for every unit.

        Returns:
            The mean, and the sample variance (divisor n − 1); NaN with fewer than two units.
        """
        w = np.array([weights.get(name, 0.0) for name in self.names])
        variance = float(w @ self.scatter @ w) / (self.n - 1) if self.n > 1 else math.nan
        return constant + float(w @ self.mean), max(variance, 0.0) if self.n > 1 else math.nan

    def at(self, name: str) -> int:
        """Return the place of a column. Raises TastemakerError if there is no such column."""
        if name not in self.names:
            raise TastemakerError(
                f"the summary has no column {name!r}", fix=f"use one of: {', '.join(self.names)}"
            )
        return self.names.index(name)


def sql_columns(names: Sequence[str]) -> list[str]:
    """Return SQL expressions, for DuckDB and Postgres, of the summary over rows that are units.

    Both databases compute covariances by updates of means, without differences of large sums.

    Args:
        names: The columns' names, which are quoted.

    >>> sql_columns(["reward"])
    ['count(*)', 'avg("reward")', 'covar_pop("reward", "reward")']
    """
    quoted = ['"{}"'.format(name.replace('"', '""')) for name in names]
    pairs = [(first, second) for at, first in enumerate(quoted) for second in quoted[at:]]
    return ["count(*)", *(f"avg({name})" for name in quoted), *(f"covar_pop({a}, {b})" for a, b in pairs)]


def _refuse_not_finite(name: str, wrong: int, n: int) -> None:
    if wrong:
        raise TastemakerError(
            f"the column {name!r} has values that are not finite numbers (at least {wrong:,} of {n:,} units)",
            fix="leave these units out, or correct what computed them",
        )
