"""The path experiment: the version is compared with the champion, and the planned looks decide.

What no look has decided is not promoted: a person may still ship it from the experiment, which is stopped and
not dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.experiments.lifecycle.states import ActionRefused
from tastemaker.rollouts.store import Move, Rollout, RolloutChange
from tastemaker.workflows import experiment_draft
from tastemaker.workflows.rollouts import offline, trials
from tastemaker.workflows.rollouts.designs import comparison_design, owner_of, steps_name
from tastemaker.workflows.rollouts.trials import Starter

if TYPE_CHECKING:
    from tastemaker.workflows.workspace import Workspace

_WITHOUT_AA = (
    "no A/A experiment has passed in the namespace {}, so nothing shows that its units are divided and "
    "counted as they should be: a person has to approve an experiment without one"
)


def next_move(workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange]) -> Move | None:
    """Return what is to be recorded next, after doing it; None: nothing is due.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout, which needs no approval any more.
        changes: Its changes, oldest first.
    """
    if rollout.state == "approval":
        return _started(workspace, rollout, changes)
    return _decided(workspace, rollout)


def lacks_aa(workspace: Workspace) -> bool:
    """Return whether no A/A experiment has passed in the namespace, so that a person has to approve."""
    return not workspace.experiments.has_passed_aa(workspace.settings.experiments.namespace)


def _started(workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange]) -> Move:
    champion, version = trials.versions_of(workspace, rollout)
    if (objection := offline.objection(workspace, version, "experiment")) is not None:
        return Move("declined", objection)
    name, starter = steps_name(rollout.id), Starter.of(rollout, changes)
    if not starter.confirmed and lacks_aa(workspace):
        return Move("approval", _WITHOUT_AA.format(workspace.settings.experiments.namespace))
    try:
        design = comparison_design(workspace, rollout.id, champion, version)
        if trials.find(workspace, name, rollout.id) is None:
            design = experiment_draft.planned(workspace, design)[0]
        trials.ensure_running(workspace, rollout, design, starter)
    except TastemakerError as error:
        return Move("approval", f"the experiment can't start yet: {error.problem}")
    return Move("ramp", "half of the experiment's users have it, and planned looks decide", experiment=name)


def _decided(workspace: Workspace, rollout: Rollout) -> Move | None:
    look = workspace.experiments.facts(steps_name(rollout.id)).look
    if look is None:
        return None
    evidence = {"look": look.number, "verdict": look.verdict, "units": look.units}
    if look.verdict == "better":
        try:
            promotion = trials.ship(workspace, rollout, "the experiment has decided")
        except ActionRefused as error:
            return Move("ramp", error.problem, evidence=evidence)
        return None if promotion is None else Move("promoted", promotion.reason, evidence=evidence)
    owner = owner_of(rollout.id)
    if look.verdict == "worse":
        trials.end_all(workspace, rollout, owner, look.sentence)
    elif look.verdict == "equal" or look.information >= 1:
        trials.change_if(workspace, rollout, "stop", ("running", "holding"), owner, look.sentence)
    else:
        return Move("ramp", look.sentence, evidence=evidence)
    return Move("declined", look.sentence, evidence=evidence)
