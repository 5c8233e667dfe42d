"""Which path a version takes into production, and why.

automatic    no champion yet                             offline
             traffic does not pass `tastemaker control`  offline
             the champion's recipe, trained again        rollout, if a canary's first step gets enough users
             another recipe                              experiment, if it ends within promotion.max_days
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tastemaker.errors import TastemakerError
from tastemaker.experiments.guardrails.needed_units import units_until_safe
from tastemaker.experiments.guardrails.running_guard import is_guarded
from tastemaker.experiments.plan import BUCKETS
from tastemaker.workflows.rollouts.designs import STEPS, canary_design, comparison_design

if TYPE_CHECKING:
    from tastemaker.experiments.analysis.planner import TrafficPlan
    from tastemaker.experiments.design import Design
    from tastemaker.registry import Version
    from tastemaker.rollouts.states import RolloutPath
    from tastemaker.workflows.workspace import Workspace

CANARY_SHARE = STEPS[0] / BUCKETS / 2
"""Share of the users that have the new version at the first step."""
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
        workspace: The workspace.
        version: The version.
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
    """Return whether two versions have the same model and config."""
    return (one.model, one.manifest.config) == (other.model, other.manifest.config)


def _rollout(workspace: Workspace, champion: Version, version: Version) -> PathDecision:
    promotion = workspace.settings.promotion
    design = canary_design(workspace, 0, champion, version)
    try:
        plan = _plan(workspace, design)
    except TastemakerError as error:
        return PathDecision("offline", f"a canary can't be planned from the log: {error.problem}")
    needed, last = units_until_safe(design), plan.by_day[-1]
    first = next((one.days for one in plan.by_day if one.units[1.0] * CANARY_SHARE >= needed), None)
    advice = _advice(plan) | {"canary_users_needed": needed}
    figures = (
        f"{CANARY_SHARE:.0%} of the users must be at least {needed:,} for the guardrails to be safe, and "
        f"{last.units[1.0]:,} users come in {last.days} days, {CANARY_SHARE:.0%} of which are "
        f"{int(last.units[1.0] * CANARY_SHARE):,}"
    )
    step = promotion.step_hours / _HOURS_OF_A_DAY
    most = math.ceil(promotion.shadow_hours / _HOURS_OF_A_DAY + max(first or 0, step) + step * len(STEPS[1:]))
    if first is None:
        return PathDecision("offline", f"too little traffic for a canary: {figures}", advice)
    if most > promotion.max_days:
        why = f"it may take {most} days, more than promotion.max_days {promotion.max_days:g}: {figures}"
        return PathDecision("offline", why, advice | {"days": most})
    why = f"the champion's recipe was trained again, and the rollout takes at most {most} days: {figures}"
    return PathDecision("rollout", why, advice | {"days": most})


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
