"""A rollout's experiments: begun, watched and ended, each so that doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tastemaker.errors import TastemakerError
from tastemaker.experiments.lifecycle.states import ActionRefused
from tastemaker.rollouts.states import APPROVED, RolloutState
from tastemaker.rollouts.store import Move, RolloutChange
from tastemaker.workflows.experiments import make_ready, ship_variant
from tastemaker.workflows.rollouts.designs import NAMESPACE, NEW, owner_of, shadow_name, steps_name

if TYPE_CHECKING:
    from tastemaker.experiments.design import Design
    from tastemaker.experiments.lifecycle.records import Experiment
    from tastemaker.experiments.plan import Unit
    from tastemaker.registry import Version
    from tastemaker.registry.champion import Promotion
    from tastemaker.rollouts.store import Rollout
    from tastemaker.workflows.workspace import Workspace

_ENDED: dict[str, RolloutState] = {
    "rolled_back": "rolled_back",
    "stopped": "declined",
    "decided": "declined",
    "archived": "declined",
}
"""State of an experiment that ended without its rollout -> state of the rollout."""


class Starter(NamedTuple):
    """Who starts an experiment, and why."""

    actor: str
    reason: str
    confirmed: Sequence[str] = ()
    """Guards that a person passes by with the approval."""

    @classmethod
    def of(cls, rollout: Rollout, changes: Sequence[RolloutChange]) -> Starter:
        """Return the person who approved a rollout, else the rollout itself.

        Args:
            rollout: A rollout that needs no approval any more.
            changes: Its changes, oldest first; there is at least one.
        """
        approved = next((one for one in reversed(changes) if APPROVED in one.evidence), None)
        if approved is None:
            return cls(owner_of(rollout.id), changes[0].reason)
        return cls(approved.actor, approved.reason, ("aa",))


def versions_of(workspace: Workspace, rollout: Rollout) -> tuple[Version, Version]:
    """Return the champion at a rollout's start, and the new version.

    Args:
        workspace: The home folder that has the rollout.
        rollout: A rollout whose problem had a champion.
    """
    return workspace.registry.get(str(rollout.champion_id)), workspace.registry.get(rollout.version_id)


def find(workspace: Workspace, name: str, rollout_id: int) -> Experiment | None:
    """Return a rollout's experiment by its name; None if there is none yet.

    Args:
        workspace: The home folder that has the rollout.
        name: The experiment's name, as `shadow_name` or `steps_name` returns it.
        rollout_id: The id of the rollout that owns it.

    Raises:
        TastemakerError: A person made an experiment of this name.
    """
    found = next((one for one in workspace.experiments.list() if one.name == name), None)
    if found is not None and found.owner != owner_of(rollout_id):
        raise TastemakerError(
            f"the experiment {name} belongs to {found.owner}, and rollout {rollout_id} needs its name",
            fix=f"decline the rollout, which then tries again: tastemaker rollout decline {rollout_id}",
        )
    return found


def ensure_running(workspace: Workspace, rollout: Rollout, design: Design, starter: Starter) -> None:
    """Create, make ready and start an experiment, each unless it is done already.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout that owns it.
        design: The design, which counts only if there is no experiment of its name yet.
        starter: Who starts it.

    Raises:
        TastemakerError: The units are not free, another experiment chooses the service, or the version does
            not answer as recorded.
    """
    experiments, owner = workspace.experiments, owner_of(rollout.id)
    found = find(workspace, design.name, rollout.id)
    if found is None:
        found = experiments.create(design, owner, new_unit=_new_unit(workspace, design))
    if found.state == "draft":
        make_ready(workspace, design.name, actor=owner, reason=rollout.why, expected_changes=found.changes)
        found = experiments.get(design.name)
    if found.state == "ready":
        experiments.change(
            design.name, "start", actor=starter.actor, reason=starter.reason,
            expected_changes=found.changes, confirmed=starter.confirmed,
        )  # fmt: skip


def outcome(workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange]) -> Move | None:
    """Return what a guardrail or a person made of a rollout's experiment; None: it runs.

    That the rollout itself has freed the units since then is left out: the reason came before.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout, which has an experiment.
        changes: Its changes, oldest first.
    """
    experiment = _its(workspace, rollout)
    if experiment is None:
        return None
    owner = owner_of(rollout.id)
    history = workspace.experiments.history(experiment.name)
    last = [one for one in history if (one.actor, one.action) != (owner, "drop")][-1]
    evidence = {"experiment": experiment.name, "change": last.number, **last.evidence}
    if last.to_state in _ENDED:
        return Move(_ENDED[last.to_state], last.reason, last.actor, evidence)
    if last.to_state == "holding" and rollout.state != "held":
        return Move("held", last.reason, last.actor, evidence)
    if last.to_state == "running" and last.action == "resume" and rollout.state == "held":
        return Move(state_before_hold(changes), last.reason, last.actor, evidence)
    return None


def state_before_hold(changes: Sequence[RolloutChange]) -> RolloutState:
    """Return the state that a rollout which is held had before."""
    return next(one.state for one in reversed(changes) if one.state != "held")


def change_if(
    workspace: Workspace, rollout: Rollout, action: str, states: Sequence[str], actor: str, reason: str
) -> None:
    """Change a rollout's experiment if it is in one of these states.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout; one without an experiment is left alone.
        action: As in `Experiments.change`, such as `hold`.
        states: The states of the experiment.
        actor: A person, or the rollout by `owner_of`.
        reason: Why, in words; recorded with the experiment's change.
    """
    found = _its(workspace, rollout)
    if found is not None and found.state in states:
        workspace.experiments.change(
            found.name, action, actor=actor, reason=reason, expected_changes=found.changes
        )


def end_all(workspace: Workspace, rollout: Rollout, actor: str, reason: str) -> None:
    """End a rollout's experiments: all users get the default, and their units are free.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout that owns them.
        actor: A person, or the rollout by `owner_of`.
        reason: Why, in words; recorded with the experiment's change.
    """
    for name in (shadow_name(rollout.id), steps_name(rollout.id)):
        end(workspace, rollout, name, actor, reason)


def end(workspace: Workspace, rollout: Rollout, name: str, actor: str, reason: str) -> None:
    """End one of a rollout's experiments, if there is one and it has not ended.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout that owns it.
        name: The experiment's name.
        actor: A person, or the rollout by `owner_of`.
        reason: Why, in words; recorded with the experiment's change.
    """
    found = find(workspace, name, rollout.id)
    if found is not None and found.state not in ("decided", "archived"):
        action = "archive" if found.state in ("draft", "ready") else "drop"
        workspace.experiments.change(name, action, actor=actor, reason=reason, expected_changes=found.changes)


def ship(workspace: Workspace, rollout: Rollout, reason: str) -> Promotion | None:
    """End the experiment that took the steps with the new version, which becomes the champion.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout, whose experiment runs.
        reason: Why, in words; recorded with the experiment's change.

    Returns:
        The entry of the log of promotions; None if the variant had no version, which a rollout's has.

    Raises:
        ActionRefused: A guard objects.
    """
    name = steps_name(rollout.id)
    changes = workspace.experiments.get(name).changes
    return ship_variant(
        workspace, name, NEW, actor=owner_of(rollout.id), reason=reason, expected_changes=changes
    )[1]


def end_promoted(workspace: Workspace, rollout: Rollout) -> None:
    """End what is left of a rollout's experiments after its version became the champion.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The rollout, whose version is the champion.
    """
    found = find(workspace, steps_name(rollout.id), rollout.id)
    if found is not None and found.is_active:
        with suppress(ActionRefused):  # a person promoted the version before the last step
            workspace.experiments.change(
                found.name, "ship", actor=owner_of(rollout.id), reason="its version is the champion",
                evidence={"variant": NEW, "champion": rollout.version_id}, expected_changes=found.changes,
            )  # fmt: skip
    end_all(workspace, rollout, owner_of(rollout.id), "its version is the champion")


def _its(workspace: Workspace, rollout: Rollout) -> Experiment | None:
    return None if rollout.experiment is None else find(workspace, rollout.experiment, rollout.id)


def _new_unit(workspace: Workspace, design: Design) -> Unit | None:
    """Return the unit of a namespace that is still to be made; that of rollouts is made here."""
    if any(one.name == design.namespace for one in workspace.experiments.namespaces()):
        return None
    if design.namespace == NAMESPACE:
        workspace.experiments.add_namespace(NAMESPACE, "user", cool_down_seconds=0)
        return None
    return "user"
