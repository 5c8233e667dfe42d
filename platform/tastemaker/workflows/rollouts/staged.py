"""The path rollout: shadow, canary and ramp, each step gated by guardrails.

shadow    requests are copied; the version's own answers must not fall back more often than those served
canary    1, 5 and 20 % of the users, 5 % where only the data are newer; the guard takes each step, and rolls
          back what does harm
ramp      half of the users, until the guardrails allow that all get the version
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tastemaker.errors import TastemakerError
from tastemaker.experiments.guardrails.running_guard import is_guarded
from tastemaker.experiments.guardrails.verdicts import MIN_UNITS
from tastemaker.experiments.lifecycle.states import ActionRefused
from tastemaker.experiments.serving_margins import SERVING_MARGINS
from tastemaker.experiments.shadows import ShadowFigure, measure_shadows
from tastemaker.rollouts.pace import pace_of
from tastemaker.rollouts.states import CHECKS, SHADOW_SINCE, RolloutState
from tastemaker.rollouts.store import Move, Rollout, RolloutChange
from tastemaker.rollouts.waiting import in_shadow_since, shadow_since
from tastemaker.workflows.rollouts import offline, trials
from tastemaker.workflows.rollouts.designs import (
    canary_design,
    owner_of,
    shadow_design,
    shadow_name,
    steps_name,
)
from tastemaker.workflows.rollouts.trials import Starter

if TYPE_CHECKING:
    from tastemaker.experiments.lifecycle.records import Experiment
    from tastemaker.workflows.workspace import Workspace

_FALLBACK = "fallback_share"


def next_move(
    workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange], now: datetime
) -> Move | None:
    """Return what is to be recorded next, after doing it; None: nothing is due.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout, which needs no approval any more.
        changes: Its changes, oldest first.
        now: The current time, aware.
    """
    if rollout.state == "approval":
        version = workspace.registry.get(rollout.version_id)
        if (objection := offline.objection(workspace, version, "rollout")) is not None:
            return Move("declined", objection)
        return _into_shadow(workspace, rollout, changes, now)
    if rollout.state == "shadow":
        return _out_of_shadow(workspace, rollout, changes, now)
    return _with_users(workspace, rollout)


def _into_shadow(
    workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange], now: datetime
) -> Move:
    pace = pace_of(changes, workspace.settings.promotion)
    if pace.shadow_hours == 0:
        return _into_canary(workspace, rollout, changes)
    champion, version = trials.versions_of(workspace, rollout)
    design = shadow_design(workspace, rollout.id, champion, version, pace)
    try:
        trials.ensure_running(workspace, rollout, design, Starter.of(rollout, changes))
    except TastemakerError as error:
        return Move("approval", f"the shadow can't start yet: {error.problem}")
    since = shadow_since(changes) or now.isoformat()
    return Move(
        "shadow", "requests are copied to it, and no user sees its answers", evidence={SHADOW_SINCE: since},
        experiment=design.name,
    )  # fmt: skip


def _out_of_shadow(
    workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange], now: datetime
) -> Move | None:
    """Take a version out of the shadow once it has been long enough in it and enough users were answered."""
    since = in_shadow_since(rollout, changes)
    if now < since + timedelta(hours=pace_of(changes, workspace.settings.promotion).shadow_hours):
        return None
    fallback = _measured(workspace, shadow_name(rollout.id), now)
    if fallback is None or fallback.users < MIN_UNITS:
        users = 0 if fallback is None else fallback.users
        is_alone = not is_guarded(workspace.settings.experiments_root)
        why = ", and no tastemaker control runs that copies requests to it" if is_alone else ""
        return Move(
            "shadow", f"{MIN_UNITS} users must be answered in the shadow{why}",
            evidence={SHADOW_SINCE: since.isoformat(), "users": users},
        )  # fmt: skip
    found = _evidence(fallback)
    if fallback.value - (fallback.served_value or 0.0) > SERVING_MARGINS[_FALLBACK]:
        reason = (
            f"{fallback.value:.1%} of its answers in the shadow are fallbacks, {fallback.served_value:.1%} "
            "of those that were served"
        )
        trials.end_all(workspace, rollout, owner_of(rollout.id), reason)
        return Move("rolled_back", reason, f"guardrail:{_FALLBACK}", found)
    reason = "it has been long enough in the shadow"
    trials.end(workspace, rollout, shadow_name(rollout.id), owner_of(rollout.id), reason)
    moved = _into_canary(workspace, rollout, changes)
    return moved._replace(evidence={**moved.evidence, **found, SHADOW_SINCE: since.isoformat()})


def _measured(workspace: Workspace, experiment: str, now: datetime) -> ShadowFigure | None:
    """Return the share of fallbacks of a shadow; None while no user was answered."""
    from tastemaker.event_log.shipping import collect

    collect(workspace.settings, workspace.lake)
    figures = measure_shadows(workspace.engine, workspace.lake, now)
    mine = (one for one in figures if (one.experiment, one.metric) == (experiment, _FALLBACK))
    return next(mine, None)


def _evidence(figure: ShadowFigure) -> dict[str, Any]:
    return {
        "shadow_fallback_share": figure.value,
        "served_fallback_share": figure.served_value,
        "users": figure.users,
        "requests": figure.requests,
    }


def _into_canary(workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange]) -> Move:
    champion, version = trials.versions_of(workspace, rollout)
    pace = pace_of(changes, workspace.settings.promotion)
    design = canary_design(workspace, rollout.id, champion, version, pace)
    try:
        trials.ensure_running(workspace, rollout, design, Starter.of(rollout, changes))
    except TastemakerError as error:
        return Move(rollout.state, f"the canary can't start yet: {error.problem}")
    return Move("canary", _served(workspace.experiments.get(design.name)), experiment=design.name)


def _with_users(workspace: Workspace, rollout: Rollout) -> Move | None:
    """Follow the steps that the guard has taken, and promote the version after the last one."""
    experiment = workspace.experiments.get(steps_name(rollout.id))
    is_last = experiment.enrolment >= experiment.design.steps[-1]
    if rollout.state == "canary":
        state: RolloutState = "ramp" if is_last else "canary"
        return Move(state, _served(experiment), evidence=_checks(workspace, experiment))
    try:
        promotion = trials.ship(workspace, rollout, "every step of the rollout was taken")
    except ActionRefused:
        return None
    if promotion is None:
        return None
    return Move("promoted", promotion.reason, evidence=_checks(workspace, experiment))


def _served(experiment: Experiment) -> str:
    share = experiment.enrolment / 20_000
    return f"{share:g} % of the users have it, and as many are compared with them"


def _checks(workspace: Workspace, experiment: Experiment) -> Mapping[str, Any]:
    """Return the newest checks of the guardrails, as evidence."""
    checks = workspace.experiments.facts(experiment.name).checks
    keys = ("guardrail", "verdict", "units", "value", "control_value")
    return {CHECKS: [{key: getattr(one, key) for key in keys} for one in checks]}
