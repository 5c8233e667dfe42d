"""Which path a version takes into production, and why.

automatic    no champion yet                             offline
             traffic does not pass `tastemaker control`  offline
             the champion's recipe, trained again        rollout, if a canary's first step gets enough users
             another recipe                              experiment, if it ends within promotion.max_days
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.guardrails.needed_units import units_until_safe
from tastemaker.experiments.guardrails.running_guard import is_guarded
from tastemaker.rollouts.pace import choose_pace
from tastemaker.workflows.promotion_gate import is_newer_fit
from tastemaker.workflows.rollouts.designs import canary_design, comparison_design

if TYPE_CHECKING:
    from tastemaker.experiments.analysis.planner import TrafficPlan
    from tastemaker.experiments.design import Design
    from tastemaker.registry import Version
    from tastemaker.rollouts.states import RolloutPath
    from tastemaker.workflows.workspace import Workspace

_HOURS_OF_A_DAY = 24.0


class PathDecision(NamedTuple):
    """The path of a version, and why."""

    path: RolloutPath
    why: str
    """In words."""
    advice: Mapping[str, Any] = {}
    """The planner's figures; empty where it was not asked."""


def decide_path(workspace: Workspace, version: Version) -> PathDecision:
    """Return how a version enters production, by `promotion.path` and the traffic.

    Args:
        workspace: The home folder, whose log shows the traffic.
        version: The version that is to enter production.
    """
    champion = workspace.registry.champion(version.problem)
    if champion is None:
        return PathDecision("offline", "there is no champion yet, with whose traffic it could be compared")
    chosen = workspace.settings.promotion.path
    if chosen != "automatic":
        return PathDecision(chosen, f"the setting promotion.path is {chosen}")
    if not is_guarded(workspace.settings.experiments_root):
        return PathDecision(
            "offline",
            "no traffic passes tastemaker control, which gives users versions and checks guardrails",
        )
    if is_same_recipe(champion, version):
        return _rollout(workspace, champion, version)
    return _experiment(workspace, champion, version)


def is_same_recipe(one: Version, other: Version) -> bool:
    """Return whether two versions have the same model and config.

    Args:
        one: A version, such as the champion.
        other: A version that may replace it.
    """
    return (one.model, one.manifest.config) == (other.model, other.manifest.config)


def _rollout(workspace: Workspace, champion: Version, version: Version) -> PathDecision:
    is_fit = is_newer_fit(version.manifest, champion.manifest)
    pace = choose_pace(workspace.settings.promotion, is_newer_fit=is_fit)
    design = canary_design(workspace, 0, champion, version, pace)
    try:
        plan = _plan(workspace, design)
    except TastemakerError as error:
        return PathDecision("offline", f"a canary can't be planned from the log: {error.problem}")
    needed, last, share = units_until_safe(design), plan.by_day[-1], pace.shares[0]
    advice = _advice(plan) | {"canary_users_needed": needed}
    figures = (
        f"{share:.0%} of the users must be at least {needed:,} for the guardrails to be safe, and "
        f"{last.units[1.0]:,} users come in {last.days} days, {share:.0%} of which are "
        f"{int(last.units[1.0] * share):,}"
    )
    if last.units[1.0] * share < needed:
        return PathDecision("offline", f"too little traffic for a canary: {figures}", advice)
    step = pace.step_hours / _HOURS_OF_A_DAY
    first = max(_days_until(plan, needed / share), step)
    days = round(pace.shadow_hours / _HOURS_OF_A_DAY + first + step * len(pace.shares[1:]), 1)
    if days > pace.max_days:
        why = f"a rollout would take {days:g} days, more than {pace.max_days:g}: {figures}"
        return PathDecision("offline", why, advice | {"days": days})
    why = f"the champion's recipe was trained again, and the rollout takes about {days:g} days: {figures}"
    return PathDecision("rollout", why, advice | {"days": days})


def _days_until(plan: TrafficPlan, users: float) -> float:
    """Return after how many days so many users have come.

    Fewer and fewer are new, so that between the ends of two weeks more have come than in proportion.
    """
    reached, days = zip(*((one.units[1.0], one.days) for one in plan.by_day), strict=True)
    return float(np.interp(users, (0, *reached), (0, *days)))


def _experiment(workspace: Workspace, champion: Version, version: Version) -> PathDecision:
    most = workspace.settings.promotion.max_days
    try:
        plan = _plan(workspace, comparison_design(workspace, 0, champion, version))
    except TastemakerError as error:
        return PathDecision("offline", f"an experiment can't be planned from the log: {error.problem}")
    if plan.days is None:
        return PathDecision("offline", plan.sentence, _advice(plan))
    if plan.days > most:
        why = f"too little traffic for an experiment within {most:g} days: {plan.sentence}"
        return PathDecision("offline", why, _advice(plan))
    why = f"it is another recipe than the champion's: {plan.sentence}"
    return PathDecision("experiment", why, _advice(plan))


def _plan(workspace: Workspace, design: Design) -> TrafficPlan:
    from tastemaker.event_log.shipping import collect
    from tastemaker.experiments.analysis.planner import plan_traffic

    collect(workspace.settings, workspace.lake)
    return plan_traffic(workspace.lake, workspace.problem, design)


def _advice(plan: TrafficPlan) -> dict[str, Any]:
    last = plan.by_day[-1]
    return {
        "users": last.units[1.0],
        "days_of_log": last.days,
        "units_needed": plan.units,
        "days": plan.days,
        "smallest_effect": last.relative[1.0],
    }
