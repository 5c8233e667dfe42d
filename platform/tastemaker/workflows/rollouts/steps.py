"""The steps of a rollout: `advance` may be killed at any line, and called again it continues.

    rollout      approval -> shadow -> canary -> ramp -> promoted
    experiment   approval -> ramp by planned looks -> promoted or declined
    offline      approval -> promoted or declined

Each step first does what it does, in a way that doing it again changes nothing, and then records it. What is
recorded is therefore done; what was done and not recorded is found done by the next call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tastemaker.errors import TastemakerError
from tastemaker.registry.artifact import verify_version
from tastemaker.util.file_lock import file_lock
from tastemaker.workflows.rollouts import offline, store
from tastemaker.workflows.rollouts.paths import decide_path
from tastemaker.workflows.rollouts.store import (
    Move,
    Proposal,
    Rollout,
    RolloutChange,
    open_rollouts,
    read_changes,
    read_rollout,
)

if TYPE_CHECKING:
    from tastemaker.workflows.workspace import Workspace

LOCK = "rollouts.lock"
APPROVED = "approved"
"""Key of a change's evidence: a person approved the version."""


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Change rollouts of a home folder one after the other within the block."""
    with file_lock(workspace.settings.home / LOCK):
        yield


def begin(
    workspace: Workspace, version_id: str, actor: str, reason: str, now: datetime | None = None
) -> Rollout:
    """Begin the rollout of a version; `advance` takes its steps.

    Args:
        workspace: The workspace.
        version_id: The version.
        actor: A person, or `schedule`.
        reason: Why.
        now: The time; None: the current one.

    Raises:
        TastemakerError: There is no such version, a file of it is damaged, it is the champion, or another
            rollout of its problem is open.
    """
    version = workspace.registry.get(version_id)
    verify_version(version.folder)
    current = workspace.registry.champion(version.problem)
    if current is not None and current.id == version.id:
        raise TastemakerError(f"version {version.id} is the champion already", fix="nothing is to be done")
    path, why, advice = decide_path(workspace, version)
    champion_id = None if current is None else current.id
    proposal = Proposal(version.problem, version.id, champion_id, path, why, advice)
    with alone(workspace):
        for one in open_rollouts(workspace.engine, version.problem):
            raise TastemakerError(
                f"version {version.id} has to wait: rollout {one.id} of version {one.version_id} is "
                f"{one.state}",
                fix=f"wait for its end, or: tastemaker rollout decline {one.id} --reason REASON",
            )
        moment = now or datetime.now(UTC)
        return store.add(workspace.engine, proposal, actor=actor, reason=reason, now=moment)


def advance(workspace: Workspace, rollout_id: int, now: datetime | None = None) -> Rollout:
    """Take all steps of a rollout that are due, and return it.

    Args:
        workspace: The workspace.
        rollout_id: The rollout.
        now: The time; None: the current one.

    Raises:
        TastemakerError: There is no such rollout.
    """
    moment = now or datetime.now(UTC)
    with alone(workspace):
        rollout = read_rollout(workspace.engine, rollout_id)
        while rollout.is_open and rollout.state != "held":
            before = rollout.state
            changes = read_changes(workspace.engine, rollout.id)
            move = _next_move(workspace, rollout, changes)
            if move is None or (move.state == before and move.reason == changes[-1].reason):
                break
            rollout = store.record(workspace.engine, rollout, move, moment)
            if rollout.state == before:
                break
    return rollout


def _next_move(workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange]) -> Move | None:
    """Return what is to be recorded next, after doing it; None: nothing is due."""
    current = workspace.registry.champion(rollout.problem)
    if current is not None and current.id == rollout.version_id:
        return _published(workspace, rollout)
    if rollout.champion_id != (None if current is None else current.id):
        now_live = "no version" if current is None else current.id
        return Move("failed", f"the champion was changed in the meantime: it is {now_live}")
    if workspace.settings.promotion.approval and not any(APPROVED in one.evidence for one in changes):
        return Move("approval", "a person has to approve it: promotion.approval is set")
    return offline.next_move(workspace, rollout)


def _published(workspace: Workspace, rollout: Rollout) -> Move:
    """Have services follow the champion that the version has become, and return what is to be recorded."""
    from tastemaker.registry import champion

    workspace.registry.publish(rollout.problem)
    workspace.publish_experiments()
    return Move("promoted", champion.log(workspace.engine, rollout.problem)[-1].reason)
