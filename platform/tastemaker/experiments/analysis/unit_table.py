"""The units of an experiment as arrays: one row per unit, in the order of their first exposures.

A look uses the units whose window was over when it was taken, which are the first rows of the table: one
table serves all looks. How it is computed from the log is in `tastemaker.experiments.analysis.units`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tastemaker.errors import TastemakerError
from tastemaker.event_log.arrivals import Arrival
from tastemaker.stats.unit_summary import Float64, UnitSummary
from tastemaker.util.durations import DAY_SECONDS

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

COVARIATES = ("reward_before", "lists_before", "is_unknown")
"""What the unit's users did before its first exposure: the reward of their events, their lists, and whether
there was neither. Effects are adjusted by them (CUPED)."""


class Stratum(NamedTuple):
    """Units that were enrolled under one plan, whose shares did not change."""

    epoch: int
    plan: str
    """The plan's digest; empty where none was logged."""
    probabilities: tuple[float, ...]
    """By variant, as logged with the assignments; NaN for a variant without a unit."""


class UnitDays(NamedTuple):
    """Figures of units by whole days since their first exposures; a day without a row has 0."""

    row: Int64
    """int64[m]: the unit's row in the table."""
    day: Int64
    """int64[m], from 0."""
    over: Float64
    """float64[m]: the primary metric's column above the line."""
    under: Float64
    """float64[m]: the one below the line; 1 where every unit counts once."""

    def first(self, units: int) -> UnitDays:
        """Return the figures of the first units."""
        return self.where(self.row < units)

    def where(self, kept: Bool) -> UnitDays:
        """Return some of the figures (bool[m])."""
        return UnitDays(self.row[kept], self.day[kept], self.over[kept], self.under[kept])


class SliceValues(NamedTuple):
    """Values of one column of users."""

    names: tuple[str, ...]
    number: Int64
    """int64[n]: place in the names; −1 where the value is not known."""


@dataclass(frozen=True, eq=False)
class UnitTable:
    """Units of one experiment with their figures."""

    variants: tuple[str, ...]
    """Names, by number."""
    variant: Int64
    """int64[n]: number of the variant of the first exposure."""
    exposed_at: Float64
    """float64[n]: seconds since 1970 UTC of the first exposure, rising."""
    columns: Mapping[str, Float64]
    """Name -> float64[n]: columns of `metrics.ORIGINS`, and `COVARIATES`."""
    window_seconds: float
    until: float
    """Seconds since 1970 UTC: what happened earlier is in the log."""
    strata: tuple[Stratum, ...]
    stratum: Int64
    """int64[n]: number of the stratum of the first exposure."""
    is_crossed: Bool
    """bool[n]: seen in two variants, or one of its users was."""
    slices: Mapping[str, SliceValues] = field(default_factory=dict)
    """By the column of users, such as country."""
    days: UnitDays | None = None
    arrivals: tuple[Arrival, ...] = ()
    """Of the types of events that the metrics use."""

    @classmethod
    def of(
        cls,
        variants: Sequence[str],
        variant: ArrayLike,
        exposed_at: ArrayLike,
        columns: Mapping[str, ArrayLike],
        *,
        window_days: float,
        until: float,
        shares: Sequence[float] | None = None,
        days: UnitDays | None = None,
    ) -> UnitTable:
        """Return the table of units of one plan, from arrays in any order.

        Args:
            variants: Names of the variants.
            variant: int[n], number of each unit's variant.
            exposed_at: float[n], seconds since 1970 UTC.
            columns: Name -> float[n].
            window_days: How long a unit's events count.
            until: Seconds since 1970 UTC that the figures reach.
            shares: Probability of each variant; None: equal ones.
            days: Figures by day, whose rows are places in these arrays.

        Raises:
            TastemakerError: The columns differ in length.
        """
        times = np.asarray(exposed_at, np.float64)
        order = np.argsort(times, kind="stable")
        arrays = {name: np.asarray(values, np.float64) for name, values in columns.items()}
        for name, values in (*arrays.items(), ("variant", np.asarray(variant))):
            if len(values) != len(times):
                raise TastemakerError(
                    f"{name} has {len(values):,} values for {len(times):,} units", fix="give each unit one"
                )
        places = np.empty(len(times), np.int64)
        places[order] = np.arange(len(times))
        probabilities = tuple(shares or [1 / len(variants)] * len(variants))
        return cls(
            variants=tuple(variants),
            variant=np.asarray(variant, np.int64)[order],
            exposed_at=times[order],
            columns={name: values[order] for name, values in arrays.items()},
            window_seconds=window_days * DAY_SECONDS,
            until=until,
            strata=(Stratum(0, "", probabilities),),
            stratum=np.zeros(len(times), np.int64),
            is_crossed=np.zeros(len(times), np.bool_),
            days=None if days is None else days._replace(row=places[days.row]),
        )

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.exposed_at)

    def as_of(self, until: float) -> UnitTable:
        """Return the units that were exposed before a time, as if the log ended there.

        The figures are those of whole windows: they are right for units that were mature at that time.
        """
        n = int(np.searchsorted(self.exposed_at, until))
        return replace(self.first(n, until), arrivals=())

    def mature(self) -> UnitTable:
        """Return the units whose window is over."""
        return self.first(self.over_by(self.until), self.until)

    def over_by(self, until: float) -> int:
        """Return the number of units whose window is over by a time."""
        return int(np.searchsorted(self.exposed_at, until - self.window_seconds, side="right"))

    def first(self, n: int, until: float) -> UnitTable:
        """Return the first n units of a log that reaches until a time.

        Args:
            n: The number of units, in the order of their first exposures.
            until: Seconds since 1970 UTC that the log reaches.
        """
        return replace(
            self,
            variant=self.variant[:n],
            exposed_at=self.exposed_at[:n],
            columns={name: values[:n] for name, values in self.columns.items()},
            until=until,
            stratum=self.stratum[:n],
            is_crossed=self.is_crossed[:n],
            slices={name: one._replace(number=one.number[:n]) for name, one in self.slices.items()},
            days=None if self.days is None else self.days.first(n),
        )

    def replaced(self, columns: Mapping[str, Float64]) -> UnitTable:
        """Return the same units with some columns replaced."""
        return replace(self, columns={**self.columns, **columns})

    def rows_of(self, variant: str, among: Int64 | None = None) -> Int64:
        """Return the rows of a variant's units.

        Args:
            variant: The variant's name.
            among: int64[m], the rows that are searched, such as those of a slice; None: all.

        Returns:
            int64, in the order of `among`, or ascending.
        """
        number = self.variants.index(variant)
        if among is None:
            return np.flatnonzero(self.variant == number)
        rows: Int64 = among[self.variant[among] == number]
        return rows

    def counts(self) -> dict[str, int]:
        """Return the number of units by variant."""
        found = np.bincount(self.variant, minlength=len(self.variants)).tolist()
        return dict(zip(self.variants, found, strict=True))

    def summary(self, rows: Int64, names: Sequence[str]) -> UnitSummary:
        """Return the summary of some units' columns.

        Args:
            rows: int64[m], such as those of `rows_of`.
            names: Columns.
        """
        return UnitSummary.of({name: self.columns[name][rows] for name in names})
