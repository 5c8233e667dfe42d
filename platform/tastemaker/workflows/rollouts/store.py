"""Rollouts as they are stored: a change of the state and its row in `rollout_changes` are one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine, RowMapping, insert, select, update

from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import rollout_changes, rollouts

RolloutPath = Literal["rollout", "experiment", "offline"]
"""How a version enters production."""
RolloutState = Literal[
    "approval", "shadow", "canary", "ramp", "held", "promoted", "rolled_back", "declined", "failed"
]
ENDED: frozenset[RolloutState] = frozenset({"promoted", "rolled_back", "declined", "failed"})
"""States that a rollout does not leave."""
REFUSED: frozenset[RolloutState] = frozenset({"rolled_back", "declined"})
"""Ends that say something about the version: automation does not try it again. One that failed was ended by
something else."""
SCHEDULE = "schedule"
"""The actor of what needs no person."""


class Proposal(NamedTuple):
    """A version that is to enter production, and how."""

    problem: str
    version_id: str
    champion_id: str | None
    """The champion that it is to replace; None: there is none."""
    path: RolloutPath
    why: str
    """Why this path is taken, in words."""
    advice: Mapping[str, Any]
    """The planner's figures; empty where it was not asked."""


@dataclass(frozen=True)
class Rollout:
    """A version on its way into production, or at the end of it."""

    id: int
    problem: str
    version_id: str
    champion_id: str | None
    """The champion at the start; None: there was none."""
    path: RolloutPath
    state: RolloutState
    why: str
    """Why this path was taken, in words."""
    advice: Mapping[str, Any]
    """The planner's figures; empty where it was not asked."""
    experiment: str | None
    """The experiment that takes the steps; None: none does."""
    started_at: datetime
    ended_at: datetime | None
    """None: it is open."""

    @property
    def is_open(self) -> bool:
        """Whether it has not come to an end."""
        return self.ended_at is None


class RolloutChange(NamedTuple):
    """An entry in the history of a rollout."""

    at: datetime
    actor: str
    """A person, or `schedule`, or `guardrail:NAME`."""
    state: RolloutState
    """The state from then on."""
    reason: str
    evidence: Mapping[str, Any]
    """The figures that it rests on."""


class Move(NamedTuple):
    """What is to be recorded of a rollout next."""

    state: RolloutState
    reason: str
    actor: str = SCHEDULE
    evidence: Mapping[str, Any] = {}
    experiment: str | None = None
    """The experiment that takes the steps from now on; None: as before."""


def open_rollouts(engine: Engine, problem: str) -> list[Rollout]:
    """Return the rollouts of a problem that have not come to an end, oldest first: at most one.

    Args:
        engine: The metadata database.
        problem: The problem's name.
    """
    mine = rollouts.c.problem == problem, rollouts.c.ended_at.is_(None)
    with engine.connect() as connection:
        rows = connection.execute(select(rollouts).where(*mine).order_by(rollouts.c.id)).mappings()
        return [_from_row(row) for row in rows]


def list_rollouts(engine: Engine, problem: str | None = None) -> list[Rollout]:
    """Return rollouts, the newest first.

    Args:
        engine: The metadata database.
        problem: Only those of this problem; None: all.
    """
    query = select(rollouts).order_by(rollouts.c.id.desc())
    if problem is not None:
        query = query.where(rollouts.c.problem == problem)
    with engine.connect() as connection:
        return [_from_row(row) for row in connection.execute(query).mappings()]


def rollouts_of(engine: Engine, version_id: str) -> list[Rollout]:
    """Return the rollouts of a version, the newest first.

    Args:
        engine: The metadata database.
        version_id: The version.
    """
    query = select(rollouts).where(rollouts.c.version_id == version_id).order_by(rollouts.c.id.desc())
    with engine.connect() as connection:
        return [_from_row(row) for row in connection.execute(query).mappings()]


def refusal(engine: Engine, version_id: str) -> str | None:
    """Return why automation does not try a version again, in words; None if it may.

    Args:
        engine: The metadata database.
        version_id: The version.
    """
    refused = next((one for one in rollouts_of(engine, version_id) if one.state in REFUSED), None)
    if refused is None:
        return None
    last = read_changes(engine, refused.id)[-1]
    return f"{named(refused)} by {last.actor}: {last.reason}"


def named(rollout: Rollout) -> str:
    """Return a rollout with its state, in words."""
    return f"rollout {rollout.id} of version {rollout.version_id} is {rollout.state.replace('_', ' ')}"


def read_rollout(engine: Engine, rollout_id: int) -> Rollout:
    """Return a rollout by its id. Raises TastemakerError if there is none."""
    with engine.connect() as connection:
        return _read(connection, rollout_id)


def read_changes(engine: Engine, rollout_id: int) -> Sequence[RolloutChange]:
    """Return the changes of a rollout, oldest first.

    Args:
        engine: The metadata database.
        rollout_id: The rollout.
    """
    columns = [rollout_changes.c[name] for name in RolloutChange._fields]
    mine = rollout_changes.c.rollout_id == rollout_id
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(mine).order_by(rollout_changes.c.id)).all()
    return [RolloutChange(*row) for row in rows]


def add(engine: Engine, proposal: Proposal, move: Move, now: datetime) -> Rollout:
    """Store a new rollout, which waits for its approval.

    Args:
        engine: The metadata database.
        proposal: The version, and how it enters production.
        move: Who begins it, and why.
        now: The time.
    """
    row = proposal._asdict() | {"state": move.state, "started_at": now}
    with engine.begin() as connection:
        (rollout_id,) = connection.execute(insert(rollouts).values(row)).inserted_primary_key or (0,)
        _append(connection, rollout_id, move, now)
        return _read(connection, rollout_id)


def record(engine: Engine, rollout: Rollout, move: Move, now: datetime) -> Rollout:
    """Store a change of a rollout, and return the rollout after it.

    Args:
        engine: The metadata database.
        rollout: The rollout before it.
        move: The change.
        now: The time.

    Raises:
        TastemakerError: Another process changed it in the meantime.
    """
    after = replace(
        rollout,
        state=move.state,
        experiment=move.experiment or rollout.experiment,
        ended_at=now if move.state in ENDED else None,
    )
    values = {name: getattr(after, name) for name in ("state", "experiment", "ended_at")}
    before = rollouts.c.id == rollout.id, rollouts.c.state == rollout.state
    with engine.begin() as connection:
        if not connection.execute(update(rollouts).where(*before).values(values)).rowcount:
            state = _read(connection, rollout.id).state
            raise TastemakerError(
                f"rollout {rollout.id} was {rollout.state} and has become {state} in the meantime",
                fix=f"look at it, then decide again: tastemaker rollout show {rollout.id}",
            )
        _append(connection, rollout.id, move, now)
    return after


def _append(connection: Connection, rollout_id: int, move: Move, now: datetime) -> None:
    row = {
        "rollout_id": rollout_id,
        "at": now,
        "actor": move.actor,
        "state": move.state,
        "reason": move.reason,
        "evidence": dict(move.evidence),
    }
    connection.execute(insert(rollout_changes).values(row))


def _read(connection: Connection, rollout_id: int) -> Rollout:
    row = connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).mappings().first()
    if row is None:
        raise TastemakerError(f"there is no rollout {rollout_id}", fix="list them: tastemaker rollout list")
    return _from_row(row)


def _from_row(row: RowMapping) -> Rollout:
    return Rollout(**row)
