"""Comparison of a variant with control on one metric: the rows of the table `look_effects`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.unit_table import COVARIATES, Int64, UnitTable
from tastemaker.experiments.design import Role
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.stats.effects import Effect, stratified_effect
from tastemaker.stats.unit_summary import UnitSummary

Groups = list[tuple[UnitSummary, UnitSummary]]
"""Summaries of variant and control in each stratum."""


class LookEffect(NamedTuple):
    """A row of `look_effects`, without the look's key; figures are None where there is too little data."""

    metric: str
    variant: str
    slice: str
    is_adjusted: bool
    role: Role
    unit: str
    units: int
    control_units: int
    value: float | None = None
    control_value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    sequence_low: float | None = None
    sequence_high: float | None = None
    verdict: str | None = None

    @property
    def order(self) -> tuple[int, str, str, str, bool]:
        """Sort key: the decisive effects first."""
        return get_args(Role).index(self.role), self.metric, self.slice, self.variant, self.is_adjusted


class VariantComparison(NamedTuple):
    """A variant and control on one metric."""

    metric: UnitMetric
    variant: str
    role: Role
    slice: str
    is_adjusted: bool
    groups: Groups

    @property
    def units(self) -> tuple[int, int]:
        """Units of the variant and of control."""
        return sum(one.n for one, _ in self.groups), sum(one.n for _, one in self.groups)

    def effect(self, alpha: float) -> Effect | None:
        """Return the effect with intervals of level 1 − alpha; None where there is too little data."""
        enough = [pair for pair in self.groups if min(one.n for one in pair) > 1]
        covariates = COVARIATES if self.is_adjusted else ()
        try:
            return stratified_effect(
                enough,
                self.metric.over,
                self.metric.under,
                covariates=covariates,
                alpha=alpha,
                at_least_pooled=True,
            )
        except TastemakerError:
            return None

    def row(self, effect: Effect | None, **more: Any) -> LookEffect:
        """Return the row of `look_effects` that shows an effect.

        Args:
            effect: What `effect` found; None, for too little data, gives a row without figures.
            more: Further columns by name, such as the verdict. They are left out where the effect is None.

        Returns:
            The row, in which a figure that is not finite is None.
        """
        units, control_units = self.units
        names = (self.metric.name, self.variant, self.slice, self.is_adjusted, self.role, self.metric.unit)
        if effect is None:
            return LookEffect(*names, units, control_units)
        figures = {
            "value": effect.treatment,
            "control_value": effect.control,
            "difference": effect.difference,
            "low": effect.low,
            "high": effect.high,
            "relative": effect.relative,
            "relative_low": effect.relative_low,
            "relative_high": effect.relative_high,
            "p": effect.p,
        }
        known = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        return LookEffect(*names, units, control_units, **known | more)


def summaries(
    units: UnitTable, names: Sequence[str], variant: str, *, by_epoch: bool = False, rows: Int64 | None = None
) -> dict[int, UnitSummary]:
    """Return the summaries of a variant's units by epoch, or one of all under 0.

    Args:
        units: Mature units.
        names: Columns.
        variant: The variant's name.
        by_epoch: Whether the epochs, whose ratios differ, are kept apart.
        rows: int64[m], the units of a slice; None: all.
    """
    chosen = units.rows_of(variant, rows)
    if not by_epoch:
        return {0: units.summary(chosen, names)}
    epochs = np.array([one.epoch for one in units.strata], np.int64)[units.stratum[chosen]]
    return {epoch: units.summary(chosen[epochs == epoch], names) for epoch in np.unique(epochs).tolist()}


def paired(variant: Mapping[int, UnitSummary], control: Mapping[int, UnitSummary]) -> Groups:
    """Return the summaries of the epochs in which both a variant and control have units.

    Args:
        variant: Epoch -> summary of the variant's units: see `summaries`.
        control: Epoch -> summary of control's units, of the same columns.

    Returns:
        Pairs of variant and control, by ascending epoch.
    """
    return [(variant[epoch], control[epoch]) for epoch in sorted(variant.keys() & control.keys())]


def direction_of(metric: UnitMetric) -> int:
    """Return 1 where more is better, and −1 where less is."""
    return -1 if metric.direction == "down" else 1


def verdict_of(metric: UnitMetric, low: float, high: float) -> str:
    """Return better or worse where the interval of the difference excludes 0, else undecided.

    Args:
        metric: The metric, whose direction says what is better.
        low: Lower end of the difference.
        high: Upper end.
    """
    if low <= 0 <= high:
        return "undecided"
    return "better" if (low > 0) == (direction_of(metric) > 0) else "worse"


def guardrail_verdict(metric: UnitMetric, effect: Effect, margin: float) -> str:
    """Return safe, harm or unknown: non-inferiority with an accepted loss.

    Args:
        metric: Says which direction is better, and whether the margin is relative.
        effect: With an interval of level 1 − 2α, whose ends are those of two one-sided tests with α.
        margin: The accepted loss, relative or as a difference: see `UnitMetric.margin`.
    """
    if metric.margin == "relative":
        low, high = effect.relative_low, effect.relative_high
    else:
        low, high = effect.low, effect.high
    worst, best = (low, high) if direction_of(metric) > 0 else (-high, -low)
    if math.isnan(worst) or math.isnan(best):
        return "unknown"
    if worst > -margin:
        return "safe"
    return "harm" if best < 0 else "unknown"
