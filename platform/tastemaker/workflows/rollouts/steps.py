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
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tastemaker.errors import TastemakerError
from tastemaker.registry.artifact import verify_version
from tastemaker.rollouts import store
from tastemaker.rollouts.states import ENDED, NEWER_FIT, SHADOW_SINCE
from tastemaker.rollouts.store import (
    Move,
    Proposal,
    Rollout,
    RolloutChange,
    open_rollouts,
    read_changes,
    read_rollout,
)
from tastemaker.rollouts.waiting import is_approved, shadow_since
from tastemaker.util.file_lock import file_lock
from tastemaker.workflows.promotion_gate import is_newer_fit
from tastemaker.workflows.rollouts import compared, offline, staged, trials
from tastemaker.workflows.rollouts.designs import owner_of
from tastemaker.workflows.rollouts.paths import PathDecision, decide_path, is_same_recipe

if TYPE_CHECKING:
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace

LOCK = "rollouts.lock"
MOST_PLANS = 2.0
"""How many times `promotion.max_days` a rollout may last: after the planned days it has failed."""


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Change rollouts of a home folder one after the other within the block."""
    with file_lock(workspace.settings.home / LOCK):
        yield


def begin(
    workspace: Workspace,
    version_id: str,
    actor: str,
    reason: str,
    now: datetime | None = None,
    *,
    decided: PathDecision | None = None,
) -> Rollout:
    """Begin the rollout of a version; `advance` takes its steps.

    Args:
        workspace: The home folder that has the version.
        version_id: The id of a registered version.
        actor: A person, or `schedule`.
        reason: Why, in words; recorded.
        now: The time; None: the current one.
        decided: Its path; None: it is decided here.

    Returns:
        The new rollout, which waits for its approval.

    Raises:
        TastemakerError: There is no such version, a file of it is damaged, it is the champion, or another
            rollout of its problem is open and is not replaced.
    """
    version = workspace.registry.get(version_id)
    verify_version(version.folder)
    current = workspace.registry.champion(version.problem)
    if current is not None and current.id == version.id:
        raise TastemakerError(f"version {version.id} is the champion already", fix="nothing is to be done")
    path, why, advice = decided or decide_path(workspace, version)
    champion_id = None if current is None else current.id
    proposal = Proposal(version.problem, version.id, champion_id, path, why, advice)
    timestamp = now or datetime.now(UTC)
    with alone(workspace):
        evidence: dict[str, Any] = _made_room(workspace, version, timestamp)
        if current is not None and is_newer_fit(version.manifest, current.manifest):
            evidence |= {NEWER_FIT: True}
        move = Move("approval", reason, actor, evidence)
        return store.add(workspace.engine, proposal, move, timestamp)


def is_replaceable(workspace: Workspace, rollout: Rollout, version: Version) -> bool:
    """Return whether a newer version of the same recipe replaces that of an open rollout.

    It does until users have the older one: of what is not shown to them, only the newest is worth its time.

    Args:
        workspace: The home folder that has the rollout.
        rollout: The open rollout.
        version: The other version, for which a rollout is to begin.
    """
    older = workspace.registry.get(rollout.version_id)
    return (
        rollout.state in ("approval", "shadow")
        and older.created_at < version.created_at
        and is_same_recipe(older, version)
    )


def _made_room(workspace: Workspace, version: Version, now: datetime) -> dict[str, str]:
    """End the rollout that a version replaces, and return since when its recipe is in the shadow."""
    since = None
    for one in open_rollouts(workspace.engine, version.problem):
        if not is_replaceable(workspace, one, version):
            raise TastemakerError(
                f"version {version.id} has to wait: {store.named(one)}",
                fix=f"wait for its end, or: tastemaker rollout decline {one.id} --reason REASON",
            )
        reason = f"version {version.id} of the same recipe is newer and replaces it"
        since = shadow_since(read_changes(workspace.engine, one.id))
        trials.end_all(workspace, one, owner_of(one.id), reason)
        store.record(workspace.engine, one, Move("failed", reason), now)
    return {} if since is None else {SHADOW_SINCE: since}


def advance(workspace: Workspace, rollout_id: int, now: datetime | None = None) -> Rollout:
    """Take all steps of a rollout that are due, and return it.

    Args:
        workspace: The home folder that has the rollout.
        rollout_id: The rollout's id; one that has ended is returned as it is.
        now: The time; None: the current one.

    Raises:
        TastemakerError: There is no such rollout, or a step failed; that is recorded, too.
    """
    timestamp = now or datetime.now(UTC)
    with alone(workspace):
        rollout = read_rollout(workspace.engine, rollout_id)
        while rollout.is_open:
            before = rollout.state
            changes = read_changes(workspace.engine, rollout.id)
            try:
                move = _next_move(workspace, rollout, changes, timestamp)
            except TastemakerError as error:
                failed = Move(before, f"the next step failed: {error.problem}")
                _record_news(workspace, rollout, changes, failed, timestamp)
                raise
            rollout = _record_news(workspace, rollout, changes, move, timestamp)
            if rollout.state == before:
                break
    return rollout


def _record_news(
    workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange], move: Move | None, now: datetime
) -> Rollout:
    """Record a move unless it is the newest change already, and return the rollout after it."""
    if move is None or (move.state == rollout.state and move.reason == changes[-1].reason):
        return rollout
    return store.record(workspace.engine, rollout, move, now)


def _next_move(
    workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange], now: datetime
) -> Move | None:
    """Return what is to be recorded next, after doing it; None: nothing is due."""
    if (over := _ended_elsewhere(workspace, rollout, changes, now)) is not None:
        return over
    if rollout.state == "held":
        return None
    if rollout.state == "approval" and workspace.settings.promotion.approval and not is_approved(changes):
        return Move("approval", "a person has to approve it: promotion.approval is set")
    if rollout.path == "offline":
        return offline.next_move(workspace, rollout)
    if rollout.path == "experiment":
        return compared.next_move(workspace, rollout, changes)
    return staged.next_move(workspace, rollout, changes, now)


def awaits_approval(workspace: Workspace, rollout: Rollout) -> bool:
    """Return whether a rollout does not continue before a person approves its version.

    Args:
        workspace: The home folder that has the rollout; its settings may demand an approval.
        rollout: The rollout as it is stored now.
    """
    if rollout.state != "approval" or is_approved(read_changes(workspace.engine, rollout.id)):
        return False
    return workspace.settings.promotion.approval or (
        rollout.path == "experiment" and compared.lacks_aa(workspace)
    )


def _ended_elsewhere(
    workspace: Workspace, rollout: Rollout, changes: Sequence[RolloutChange], now: datetime
) -> Move | None:
    """Return what a person, a guardrail or the time made of a rollout, after ending its experiments."""
    current = workspace.registry.champion(rollout.problem)
    if current is not None and _is_promoted(workspace, rollout, current):
        return _published(workspace, rollout)
    move = trials.outcome(workspace, rollout, changes)
    if rollout.champion_id != (None if current is None else current.id):
        live = "no version" if current is None else current.id
        move = Move("failed", f"the champion was changed in the meantime: it is {live}")
    elif move is None and rollout.path != "offline" and now > _latest_end(workspace, rollout):
        days = MOST_PLANS * workspace.settings.promotion.max_days
        move = Move("failed", f"it has not come to an end within {days:g} days")
    if move is not None and move.state in ENDED:
        trials.end_all(workspace, rollout, owner_of(rollout.id), move.reason)
    return move


def _is_promoted(workspace: Workspace, rollout: Rollout, champion: Version) -> bool:
    """Return whether the champion is the version, or of its recipe: an experiment promotes the newest."""
    if rollout.path != "experiment" or champion.id == rollout.champion_id:
        return champion.id == rollout.version_id
    return is_same_recipe(champion, workspace.registry.get(rollout.version_id))


def _latest_end(workspace: Workspace, rollout: Rollout) -> datetime:
    return rollout.started_at + timedelta(days=MOST_PLANS * workspace.settings.promotion.max_days)


def _published(workspace: Workspace, rollout: Rollout) -> Move:
    """Have services follow the champion that the version has become, and return what is to be recorded."""
    from tastemaker.registry import champion

    trials.end_promoted(workspace, rollout)
    workspace.registry.publish(rollout.problem)
    workspace.publish_experiments()
    return Move("promoted", champion.log(workspace.engine, rollout.problem)[-1].reason)
