"""Looks at interleaving: whose items do users choose, where both variants' items are in one list?

    preference of a unit   pᵢ = (w_T − w_C) / (w_T + w_C)       w: items that the unit rewarded, by team
    statistic              t test of p̄ = 0 over the units with w_T + w_C > 0, by the bounds of the looks

Each unit counts once, however much it clicked. Lists of equal value have p̄ = 0, also if their items are not
independent. A preference is relative: it says which list to try, and nothing about what it earns. So it only
removes variants: a preferred one is tested in an experiment with units of its own.

Reference: O. Chapelle, T. Joachims, F. Radlinski and Y. Yue, "Large-scale validation and analysis of
interleaved search evaluation", ACM Transactions on Information Systems 30(1), 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from tastemaker.experiments.analysis import decision
from tastemaker.experiments.analysis.awaited import arrival_warnings, awaited
from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.decision import LookVerdict, Timing
from tastemaker.experiments.analysis.effect_rows import treatments_of
from tastemaker.experiments.analysis.look import Look
from tastemaker.experiments.analysis.sentence import none_mature, place
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.analysis.units import UnitQuery, read_units
from tastemaker.experiments.design import Design
from tastemaker.experiments.unit_metrics import METRICS
from tastemaker.problem import ProblemSpec
from tastemaker.stats.effects import Effect, GroupFigure, compare
from tastemaker.stats.unit_summary import Float64, UnitSummary

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PREFERENCE = "preference"
"""Metric of the look's effect: −1 to 1."""
_WINS = """
    SELECT row, team, count(*) AS items FROM (
        SELECT DISTINCT row, request_id, position FROM unit_credits WHERE flat + by_value > 0
    ) JOIN shown USING (request_id, position) WHERE team <> '' GROUP BY row, team
"""


def wins_of(variant: str) -> str:
    """Return the name of the column that counts a variant's rewarded items."""
    return f"wins_{variant}"


def read_preferences(
    connection: DuckDBPyConnection, query: UnitQuery, problem: ProblemSpec, now: datetime
) -> UnitTable:
    """Return the units of an interleaving experiment with their rewarded items by team.

    Args:
        connection: Of the lake. It gets temporary tables, so that it serves one call.
        query: Which units; its metrics are not used.
        problem: Gives each event type its reward.
        now: What is dated later is not data yet, such as that of a wrong clock.

    Returns:
        A table with a column for each variant, named by `wins_of`: float64[n], rewarded items of its team.

    Raises:
        TastemakerError: As `units.read_units`.
    """
    lists_only = replace(query, metrics={"ctr_list": METRICS["ctr_list"]}, primary=None)
    units = read_units(connection, lists_only, problem, now)
    wins: dict[str, Float64] = {wins_of(name): np.zeros(len(units)) for name in query.variants}
    for row, team, items in connection.execute(_WINS).fetchall():
        if (column := wins_of(team)) in wins:
            wins[column][row] = items
    return units.replaced(wins)


def look_at_teams(
    units: UnitTable,
    design: Design,
    *,
    epoch: int = 0,
    past: Sequence[float] = (),
    at: datetime | None = None,
) -> Look:
    """Take a look at an interleaving experiment of two variants.

    Args:
        units: All units with the columns of `wins_of`, mature or not.
        design: The design, with control and one treatment.
        epoch: The epoch in force.
        past: Information at the looks before that could decide, rising.
        at: When the look is taken; None: when the log ends.

    Returns:
        The look, which is not stored. Its only effect is the preference, −1 to 1; none below two units that
        chose. Its verdict is never better: a preferred variant is to be tested alone.
    """
    mature = units.mature()
    (treatment,) = treatments_of(design)
    own, other = (mature.columns[wins_of(name)] for name in (treatment, design.control))
    chose = own + other > 0
    preference = (own[chose] - other[chose]) / (own[chose] + other[chose])
    times = decision.timing(design, {"all": len(mature)}, past)
    times = times._replace(is_due=times.is_due and len(preference) >= decision.FEWEST_UNITS)
    effects, verdict = _effects(preference, design, treatment, times)
    until = datetime.fromtimestamp(max(units.until, 0.0), UTC)
    words = _sentence(design, effects[0], verdict, times) if effects else none_mature(design, units, epoch)
    return Look(
        experiment=design.name,
        epoch=epoch,
        number=times.number,
        at=at or until,
        log_until=until,
        is_planned=times.is_due,
        units={treatment: len(preference), design.control: len(preference)},
        pending_units=len(units) - len(mature),
        crossed_units=0,
        information=times.information,
        alpha_spent=decision.alpha_spent(times, design.alpha),
        bound=decision.bound_at(times, design.alpha) if times.is_due else None,
        ratio_p=None,
        ratio_anytime_p=None,
        verdict=verdict,
        sentence=words,
        details={
            "warnings": list(arrival_warnings(units)),
            "waiting": awaited(units),
            "units_without_choice": int(len(mature) - len(preference)),
        },
        effects=effects,
    )


def _effects(
    preference: Float64, design: Design, treatment: str, times: Timing
) -> tuple[tuple[LookEffect, ...], LookVerdict]:
    """Return the effect and the verdict; a preferred variant is not better before it is tested alone."""
    n = len(preference)
    if n < 2:
        return (), "undecided"
    any_day = decision.any_day_alpha(times, design.alpha)
    level = decision.nominal(decision.bound_at(times, design.alpha)) if times.is_due else any_day
    found, sequence = _effect(preference, level), _effect(preference, any_day)
    verdict: LookVerdict = "undecided"
    if times.is_due and found.high < 0:
        verdict = "worse"
    elif times.is_last and found.low <= 0:
        verdict = "equal"
    row = LookEffect(
        PREFERENCE, treatment, "", False, "primary", "share", n, n,
        value=found.difference, control_value=0.0, difference=found.difference, low=found.low,
        high=found.high, p=found.p, p_adjusted=found.p, sequence_low=sequence.low,
        sequence_high=sequence.high, verdict=verdict,
    )  # fmt: skip
    return (row,), verdict


def _effect(preference: Float64, alpha: float) -> Effect:
    """Return the mean with its interval: Welch's test against a constant is the t test of one sample."""
    mean, variance = UnitSummary.of({PREFERENCE: preference}).weighted({PREFERENCE: 1.0})
    n = len(preference)
    return compare(GroupFigure(mean, variance / n, n), GroupFigure(0.0, 0.0, n), alpha=alpha)


def _sentence(design: Design, effect: LookEffect, verdict: LookVerdict, times: Timing) -> str:
    assert effect.low is not None
    ends = f"{100 * (1 - design.alpha):g} % {effect.low:.3f} to {effect.high:.3f}".replace("-", "−")
    value = f"{effect.value:+.3f}".replace("-", "−")
    decided = {
        "worse": f"users prefer {design.control}, drop {effect.variant}",
        "equal": "no preference at the end",
    }.get(verdict, "not decided")
    if times.is_due and effect.low > 0:
        decided = f"users prefer {effect.variant}, test it against {design.control} with users of its own"
    return f"Preference for {effect.variant} {value} (−1 to 1), {ends}, {place(design, times)}: {decided}."
