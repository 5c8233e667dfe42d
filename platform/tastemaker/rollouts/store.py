"""Rollouts as they are stored: a change of the state and its row in `rollout_changes` are one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, insert, select, update

from tastemaker.errors import TastemakerError
from tastemaker.rollouts.states import ENDED, REFUSED, SCHEDULE, RolloutPath, RolloutState
from tastemaker.storage.tables import rollout_changes, rollouts, versions

_WITH_MODEL = select(rollouts, versions.c.model).join(versions, versions.c.id == rollouts.c.version_id)


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
    model: str
    """The version's model."""
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


def open_rollouts(engine: Engine, problem: str | None = None) -> list[Rollout]:
    """Return the rollouts that have not come to an end, oldest first: at most one of each problem.

    Args:
        engine: The metadata database.
        problem: Only those of this problem; None: all.
    """
    of_problem = () if problem is None else (rollouts.c.problem == problem,)
    return _read_all(engine, *of_problem, rollouts.c.ended_at.is_(None))[::-1]


def list_rollouts(engine: Engine, problem: str | None = None, most: int | None = None) -> list[Rollout]:
    """Return rollouts, the newest first.

    Args:
        engine: The metadata database.
        problem: Only those of this problem; None: all.
        most: Only so many of the newest; None: all.
    """
    return _read_all(engine, *(() if problem is None else (rollouts.c.problem == problem,)), most=most)


def rollouts_of(engine: Engine, version_id: str) -> list[Rollout]:
    """Return the rollouts of a version, the newest first.

    Args:
        engine: The metadata database.
        version_id: The id of the version.
    """
    return _read_all(engine, rollouts.c.version_id == version_id)


def refusal(engine: Engine, version_id: str) -> str | None:
    """Return why automation does not try a version again, in words; None if it may.

    Args:
        engine: The metadata database.
        version_id: The id of the version.
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
    """Return a rollout by its id.

    Args:
        engine: The metadata database.
        rollout_id: The rollout's id.

    Raises:
        TastemakerError: There is no such rollout.
    """
    with engine.connect() as connection:
        return _read(connection, rollout_id)


def read_changes(engine: Engine, rollout_id: int) -> Sequence[RolloutChange]:
    """Return the changes of a rollout, oldest first.

    Args:
        engine: The metadata database.
        rollout_id: The rollout's id.
    """
    return changes_of(engine, [rollout_id])[rollout_id]


def changes_of(engine: Engine, rollout_ids: Sequence[int]) -> dict[int, list[RolloutChange]]:
    """Return each rollout's changes, oldest first.

    Args:
        engine: The metadata database.
        rollout_ids: The ids of the rollouts; one without a change has an empty list.
    """
    columns = [rollout_changes.c[name] for name in ("rollout_id", *RolloutChange._fields)]
    mine = rollout_changes.c.rollout_id.in_(rollout_ids)
    found: dict[int, list[RolloutChange]] = {one: [] for one in rollout_ids}
    with engine.connect() as connection:
        for rollout_id, *change in connection.execute(
            select(*columns).where(mine).order_by(rollout_changes.c.id)
        ):
            found[rollout_id].append(RolloutChange(*change))
    return found


def add(engine: Engine, proposal: Proposal, move: Move, now: datetime) -> Rollout:
    """Store a new rollout, which waits for its approval.

    Args:
        engine: The metadata database.
        proposal: The version, and how it enters production.
        move: Who begins it, and why.
        now: The current time, aware; it is recorded.

    Returns:
        The rollout with its new id.
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
        move: The new state, with who made it and why.
        now: The current time, aware; it is recorded.

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
    row = connection.execute(_WITH_MODEL.where(rollouts.c.id == rollout_id)).mappings().first()
    if row is None:
        raise TastemakerError(f"there is no rollout {rollout_id}", fix="list them: tastemaker rollout list")
    return Rollout(**row)


def _read_all(engine: Engine, *conditions: ColumnElement[bool], most: int | None = None) -> list[Rollout]:
    """Return rollouts, the newest first."""
    query = _WITH_MODEL.where(*conditions).order_by(rollouts.c.id.desc()).limit(most)
    with engine.connect() as connection:
        return [Rollout(**row) for row in connection.execute(query).mappings()]
