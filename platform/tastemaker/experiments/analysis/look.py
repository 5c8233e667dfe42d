"""A look at an experiment: everything that is computed from its table of units, without a database.

`tastemaker.experiments.analysis.looks` reads the table and the looks before from a home, and stores the look.
Which look may decide is in `decision`, its effects are in `effect_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis import decision, novelty, sample_check
from tastemaker.experiments.analysis.awaited import arrival_warnings, awaited
from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.decision import LookVerdict
from tastemaker.experiments.analysis.effect_rows import EffectRows
from tastemaker.experiments.analysis.sentence import (
    divided_wrongly,
    none_mature,
    nothing_counted,
    sentence,
)
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.design import Design
from tastemaker.experiments.unit_metrics import UnitMetric

MOST_CROSSED = 0.01
"""Share of units seen in two variants above which the look warns."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A look, as the tables `looks` and `look_effects` have it."""

    experiment: str
    epoch: int
    number: int
    at: datetime
    log_until: datetime
    is_planned: bool
    units: dict[str, int]
    """Mature units by variant."""
    pending_units: int
    crossed_units: int
    information: float
    alpha_spent: float
    bound: float | None
    ratio_p: float | None
    ratio_anytime_p: float | None
    verdict: LookVerdict
    sentence: str
    details: dict[str, Any]
    effects: tuple[LookEffect, ...]


def look_at(
    units: UnitTable,
    design: Design,
    metrics: Mapping[str, UnitMetric],
    *,
    epoch: int = 0,
    past: Sequence[float] = (),
    at: datetime | None = None,
) -> Look:
    """Take a look at a table of units.

    Args:
        units: All units, mature or not.
        design: The design, whose kind is not interleaving or shadow.
        metrics: The design's metrics by name: see `unit_metrics.find_all`.
        epoch: The epoch in force.
        past: Information at the looks before that could decide, rising.
        at: When the look is taken; None: when the log ends.

    Returns:
        The look, which is not stored. It has no effects where the units are divided wrongly (its verdict is
        invalid) or none is mature; else the decisive effects come first.

    Raises:
        TastemakerError: The kind of experiment has no such looks, or the log contradicts the plan.
    """
    if design.kind in ("interleaving", "shadow"):
        raise TastemakerError(
            f"{design.name} is of kind {design.kind}: its units have no variant to compare",
            fix="look at an interleaving experiment with `interleaving.look_at_teams`; a shadow has no users",
        )
    mature, primary, cut = _winsorized(units.mature(), design, metrics[design.primary])
    times = decision.timing(design, mature.counts(), past)
    is_silent = _is_silent(mature, primary)
    if is_silent:
        times = times._replace(is_due=False)
    check = sample_check.check_sample(units, shares_of(design))
    rows = EffectRows(mature, design, {**metrics, design.primary: primary}, times)
    deciding = rows.deciding() if len(mature) else {}
    verdict = decision.overall([one.verdict for one in deciding.values()], is_last=times.is_last)
    if check.is_wrong(decides=verdict != "undecided"):
        times, verdict = times._replace(is_due=False), "invalid"
        effects: tuple[LookEffect, ...] = ()
        details: dict[str, Any] = {"reasons": sample_check.reasons(units, shares_of(design))}
        words = divided_wrongly(units, check)
    else:
        every = (*deciding.values(), *rows.others()) if deciding else ()
        effects = tuple(sorted(every, key=lambda one: one.order))
        details = cut | _details(rows, effects, units)
        said = " ".join(sentence(primary, design, one, times) for one in deciding.values())
        words = nothing_counted(primary, mature) if is_silent else said
    until = datetime.fromtimestamp(max(units.until, 0.0), UTC)
    comparisons = len(rows.treatments)
    level = design.alpha / comparisons
    return Look(
        experiment=design.name,
        epoch=epoch,
        number=times.number,
        at=at or until,
        log_until=until,
        is_planned=times.is_due,
        units=mature.counts(),
        pending_units=len(units) - len(mature),
        crossed_units=int(units.is_crossed.sum()),
        information=times.information,
        alpha_spent=comparisons * decision.alpha_spent(times, level),
        bound=decision.bound_at(times, level) if times.is_due else None,
        ratio_p=check.p,
        ratio_anytime_p=check.anytime_p,
        verdict=verdict,
        sentence=words or none_mature(design, units, epoch),
        details=details | {"waiting": awaited(units)},
        effects=effects,
    )


def shares_of(design: Design) -> dict[str, float]:
    """Return the share of each variant among the units that get a variant."""
    total = sum(one.share for one in design.variants.values())
    return {name: one.share / total for name, one in design.variants.items()}


def _is_silent(mature: UnitTable, metric: UnitMetric) -> bool:
    """Return whether no unit has an event that the metric counts: they may be missing in the log."""
    counts_events = bool(metric.origins & {"events", "credits"})
    return counts_events and len(mature) > 0 and not mature.columns[metric.over].any()


def _winsorized(
    mature: UnitTable, design: Design, metric: UnitMetric
) -> tuple[UnitTable, UnitMetric, dict[str, Any]]:
    """Return units and primary metric with values cut as designed, and what that changed.

    The values are cut in a column of their own: other metrics may use the column, too.
    """
    limit = design.winsorize_at
    if limit is None or not len(mature):
        return mature, metric, {}
    raw = mature.columns[metric.over]
    means = {name: float(raw[rows].mean()) for name in mature.variants if len(rows := mature.rows_of(name))}
    cut = replace(metric, over=f"{metric.over}_cut")
    details = {"winsorized_at": limit, "cut_units": int((raw > limit).sum()), "raw_means": means}
    return mature.replaced({cut.over: np.minimum(raw, limit)}), cut, details


def _details(rows: EffectRows, effects: Sequence[LookEffect], units: UnitTable) -> dict[str, Any]:
    alpha = rows.design.alpha
    slopes = [
        found._asdict()
        for name in rows.treatments
        if (found := novelty.slope(rows.mature, rows.primary, name, rows.design.control, alpha)) is not None
    ]
    warnings = [*_warnings(rows.design, effects, units), *_fading(slopes)]
    return {"warnings": warnings, "slopes": slopes}


def _warnings(design: Design, effects: Sequence[LookEffect], units: UnitTable) -> Iterator[str]:
    """Yield what a reader must know beside the result."""
    crossed = float(units.is_crossed.mean()) if len(units) else 0.0
    if crossed > MOST_CROSSED:
        yield (
            f"{100 * crossed:.1f} % of the units were seen in two variants. Each counts for its first one, "
            "which makes effects smaller than they are."
        )
    yield from arrival_warnings(units)
    for one in effects:
        if one.role == "guardrail" and one.verdict != "safe":
            yield f"Guardrail {one.metric} of {one.variant} is not shown to be safe: {one.verdict}."
        if design.kind == "aa" and one.role == "primary" and one.verdict in ("better", "worse"):
            yield (
                f"{one.variant} is the same as {design.control}, and yet {one.verdict}. That is chance in "
                f"{100 * design.alpha:g} of 100 experiments; else assignment or log are at fault."
            )


def _fading(slopes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in slopes:
        if not one["low"] <= 0 <= one["high"]:
            yield (
                f"The effect of {one['variant']} changes by {one['per_day']:+.3g} per day since first "
                f"exposure ({one['low']:+.3g} to {one['high']:+.3g}): it may be one of novelty."
            )
