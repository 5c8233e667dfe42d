"""Are the units divided between the variants as the plans in force assigned them?

The anytime-valid p-value watches every day, and calls healthy traffic divided wrongly in at most 1 of 1,000
experiments. The χ² test is shown at each look, and decides together with the result: once, so that both raise
at most 2 false alarms in 1,000 experiments. Mathematics: `tastemaker.stats.sample_ratio`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.unit_table import Int64, Stratum, UnitTable
from tastemaker.stats.mismatch_level import RATIO_ALPHA
from tastemaker.stats.sample_ratio import log_bayes_factor, sample_ratio
from tastemaker.stats.unit_summary import Float64
from tastemaker.util.durations import DAY_SECONDS

MOST_REASONS = 5
"""Groups of units that are named where the division is wrong."""
_TOLERANCE = 1e-6


class SampleCheck(NamedTuple):
    """Whether units are divided as planned."""

    p: float | None
    """Of the χ² test over the mature units; None without units."""
    anytime_p: float | None
    """Smallest p-value of all days so far, over all units."""

    def is_wrong(self, *, decides: bool) -> bool:
        """Return whether the figures can't be believed; `decides`: whether the look has a result."""
        always = self.anytime_p is not None and self.anytime_p < RATIO_ALPHA
        return always or (decides and self.p is not None and self.p < RATIO_ALPHA)


def check_sample(units: UnitTable, shares: Mapping[str, float]) -> SampleCheck:
    """Compare the units by variant with the plans under which they were enrolled.

    Args:
        units: All units, mature or not.
        shares: The design's shares by variant, for variants that no unit of a plan was assigned to.

    Returns:
        The p-values, which are None where there is nothing to test.

    Raises:
        TastemakerError: The probabilities that were logged under a plan do not add up to 1.
    """
    if not len(units):
        return SampleCheck(None, None)
    plans = _plans(units, shares)
    mature = units.mature()
    p = None
    if len(mature):
        every = np.arange(len(mature))
        p = sample_ratio([(_counts(mature, every[plans.of(mature) == at]), one) for at, one in plans.all]).p
    return SampleCheck(p, _anytime_p(units, plans))


def reasons(units: UnitTable, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the groups of units whose division differs most from the plan: where to look for the fault.

    Args:
        units: All units.
        shares: As in `check_sample`.

    Returns:
        What the group is, its units by variant, those that the plan expects, and the p-value of this group
        alone; the smallest p-value first.
    """
    plans = _plans(units, shares)
    found: list[dict[str, Any]] = []
    for what, rows in _groups(units):
        numbers = plans.of(units)[rows]
        strata = [(_counts(units, rows[numbers == at]), one) for at, one in plans.all]
        expected = np.sum([sum(counts) * np.array(one) for counts, one in strata], axis=0)
        found.append(
            {
                "group": what,
                "units": dict(zip(units.variants, _counts(units, rows), strict=True)),
                "expected": dict(zip(units.variants, expected.round(1).tolist(), strict=True)),
                "p": sample_ratio(strata).p,
            }
        )
    return sorted(found, key=lambda one: one["p"])[:MOST_REASONS]


class _Plans(NamedTuple):
    """Different shares that were in force; plans with equal ones count as one."""

    shares: list[tuple[float, ...]]
    number: Int64
    """int64[strata]: place of each stratum's shares."""

    def of(self, units: UnitTable) -> Int64:
        """Return the number of each unit's shares."""
        found: Int64 = self.number[units.stratum]
        return found

    @property
    def all(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """The shares with their numbers."""
        return enumerate(self.shares)


def _plans(units: UnitTable, shares: Mapping[str, float]) -> _Plans:
    designed = np.array([shares[name] for name in units.variants])
    wanted = [_shares(one, designed) for one in units.strata]
    different = list(dict.fromkeys(wanted))
    return _Plans(different, np.array([different.index(one) for one in wanted], np.int64))


def _shares(stratum: Stratum, designed: Float64) -> tuple[float, ...]:
    """Return the shares that were in force: those logged, and the rest for variants without a unit."""
    logged = np.array(stratum.probabilities)
    unseen = np.isnan(logged)
    rest = 1 - float(logged[~unseen].sum())
    if rest < -_TOLERANCE or (rest > _TOLERANCE and not designed[unseen].sum() > 0):
        raise TastemakerError(
            f"the probabilities logged in epoch {stratum.epoch} under the plan {stratum.plan or '(none)'} "
            f"add up to {1 - rest:g}, must be 1",
            fix="log each variant's share of the units that get a variant",
        )
    if rest > _TOLERANCE:
        logged[unseen] = rest * designed[unseen] / designed[unseen].sum()
    found = np.nan_to_num(logged, nan=0.0)
    return tuple((found / found.sum()).round(12).tolist())


def _counts(units: UnitTable, rows: Int64) -> list[int]:
    return np.bincount(units.variant[rows], minlength=len(units.variants)).tolist()  # type: ignore[no-any-return]


def _anytime_p(units: UnitTable, plans: _Plans) -> float:
    """Return the smallest p-value over the ends of all days since the start."""
    day = (units.exposed_at // DAY_SECONDS).astype(np.int64)
    day -= day.min()
    days, k = int(day.max()) + 1, len(units.variants)
    largest = np.zeros(days)
    for number, shares in plans.all:
        rows = plans.of(units) == number
        cells = np.bincount(day[rows] * k + units.variant[rows], minlength=days * k).reshape(days, k)
        changed = np.flatnonzero(cells.sum(axis=1))
        factors = {at: log_bayes_factor(counts, shares) for at, counts in _at(cells.cumsum(axis=0), changed)}
        steps = np.zeros(days)
        last = 0.0
        for at, factor in factors.items():
            steps[at], last = factor - last, factor
        largest += steps.cumsum()
    return math.exp(-max(float(largest.max()), 0.0))


def _at(totals: Int64, days: Int64) -> Iterator[tuple[int, list[int]]]:
    for day in days.tolist():
        yield day, totals[day].tolist()


def _groups(units: UnitTable) -> Iterator[tuple[str, Int64]]:
    """Yield groups of units: by day, by plan, and users that are known or not."""
    day = (units.exposed_at // DAY_SECONDS).astype(np.int64)
    for one in np.unique(day).tolist():
        date = datetime.fromtimestamp(one * DAY_SECONDS, UTC).date()
        yield f"first exposed on {date.isoformat()}", np.flatnonzero(day == one)
    if len(units.strata) > 1:
        for number, stratum in enumerate(units.strata):
            named = f"epoch {stratum.epoch}, plan {stratum.plan or '(none)'}"
            yield f"enrolled under {named}", np.flatnonzero(units.stratum == number)
    if (is_unknown := units.columns.get("is_unknown")) is not None:
        yield "unknown users", np.flatnonzero(is_unknown > 0)
        yield "known users", np.flatnonzero(is_unknown == 0)
