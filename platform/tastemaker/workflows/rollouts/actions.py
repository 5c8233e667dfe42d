"""What a person does with a rollout: each action is recorded with its actor and its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.rollouts import store
from tastemaker.rollouts.states import APPROVED, POSSIBLE, RolloutAction
from tastemaker.rollouts.store import Move, Rollout, read_changes, read_rollout
from tastemaker.workflows.rollouts import trials
from tastemaker.workflows.rollouts.steps import advance, alone

if TYPE_CHECKING:
    from tastemaker.workflows.workspace import Workspace

_MOST_ACTOR = 200
"""Characters that the database keeps."""


def approve(workspace: Workspace, rollout_id: int, actor: str, reason: str) -> Rollout:
    """Approve a version, and take the steps that are due then.

    Args:
        workspace: The home folder that has the rollout.
        rollout_id: The rollout's id.
        actor: The person, in 1 to 200 characters; recorded.
        reason: Why, in words; recorded.

    Returns:
        The rollout after these steps.

    Raises:
        TastemakerError: It does not wait for an approval, or the actor or the reason is missing.
    """
    with alone(workspace):
        rollout = _required(workspace, rollout_id, "approve", actor, reason)
        _record(workspace, rollout, Move("approval", reason, actor, {APPROVED: True}))
    return advance(workspace, rollout_id)


def decline(workspace: Workspace, rollout_id: int, actor: str, reason: str) -> Rollout:
    """End a rollout without its version; the champion stays.

    Args:
        workspace: The home folder that has the rollout.
        rollout_id: The rollout's id.
        actor: The person, in 1 to 200 characters; recorded.
        reason: Why, in words; recorded.

    Returns:
        The rollout, which is declined.

    Raises:
        TastemakerError: It is over, or the actor or the reason is missing.
    """
    with alone(workspace):
        rollout = _required(workspace, rollout_id, "decline", actor, reason)
        trials.end_all(workspace, rollout, actor, reason)
        return _record(workspace, rollout, Move("declined", reason, actor))


def hold(workspace: Workspace, rollout_id: int, actor: str, reason: str) -> Rollout:
    """Take no further step until `resume`; users who have the version keep it.

    Args:
        workspace: The home folder that has the rollout.
        rollout_id: The rollout's id.
        actor: The person, in 1 to 200 characters; recorded.
        reason: Why, in words; recorded.

    Returns:
        The rollout, which is held.

    Raises:
        TastemakerError: It is held or over, or the actor or the reason is missing.
    """
    with alone(workspace):
        rollout = _required(workspace, rollout_id, "hold", actor, reason)
        trials.change_if(workspace, rollout, "hold", ("running",), actor, reason)
        return _record(workspace, rollout, Move("held", reason, actor))


def resume(workspace: Workspace, rollout_id: int, actor: str, reason: str) -> Rollout:
    """Continue a rollout that is held, and take the steps that are due.

    Args:
        workspace: The home folder that has the rollout.
        rollout_id: The rollout's id.
        actor: The person, in 1 to 200 characters; recorded.
        reason: Why, in words; recorded.

    Returns:
        The rollout after these steps.

    Raises:
        TastemakerError: It is not held, or the actor or the reason is missing.
    """
    with alone(workspace):
        rollout = _required(workspace, rollout_id, "resume", actor, reason)
        trials.change_if(workspace, rollout, "resume", ("holding",), actor, reason)
        before = trials.state_before_hold(read_changes(workspace.engine, rollout_id))
        _record(workspace, rollout, Move(before, reason, actor))
    return advance(workspace, rollout_id)


def roll_back(workspace: Workspace, rollout_id: int, actor: str, reason: str) -> Rollout:
    """Give all users the champion again, and end the rollout.

    Args:
        workspace: The home folder that has the rollout.
        rollout_id: The rollout's id.
        actor: The person, in 1 to 200 characters; recorded.
        reason: Why, in words; recorded.

    Returns:
        The rollout, which is rolled back.

    Raises:
        TastemakerError: No user has the version, or the actor or the reason is missing.
    """
    with alone(workspace):
        rollout = _required(workspace, rollout_id, "roll_back", actor, reason)
        trials.change_if(workspace, rollout, "roll_back", ("running", "holding"), actor, reason)
        trials.end_all(workspace, rollout, actor, reason)
        return _record(workspace, rollout, Move("rolled_back", reason, actor))


def _required(
    workspace: Workspace, rollout_id: int, action: RolloutAction, actor: str, reason: str
) -> Rollout:
    """Return a rollout with which an action is possible, by an actor and for a reason that can be stored."""
    if not 0 < len(actor.strip()) <= _MOST_ACTOR:
        raise TastemakerError(
            f"the name of who would {action} rollout {rollout_id} has {len(actor.strip())} characters, must "
            f"have 1 to {_MOST_ACTOR}",
            fix="pass --by NAME",
        )
    if not reason.strip():
        raise TastemakerError(
            f"to {action} rollout {rollout_id} needs a reason", fix="say why in a few words: --reason REASON"
        )
    rollout = read_rollout(workspace.engine, rollout_id)
    if rollout.state not in POSSIBLE[action]:
        raise TastemakerError(
            f"rollout {rollout_id} is {rollout.state}, so {action} is not possible; it is while one is "
            f"{', '.join(POSSIBLE[action])}",
            fix=f"tastemaker rollout show {rollout_id}",
        )
    return rollout


def _record(workspace: Workspace, rollout: Rollout, move: Move) -> Rollout:
    return store.record(workspace.engine, rollout, move, datetime.now(UTC))
