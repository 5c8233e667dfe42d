"""The audit trail: every change of an experiment, numbered, with a digest of itself and of the one before.

    digestₙ = SHA-256 of the JSON of [digestₙ₋₁, change n]

`verify` finds a change that was edited, added or removed, a design that was edited, and a state that does not
follow from the changes. Whoever can write the database could compute all digests again: to prove that this
did not happen, keep a digest elsewhere, such as in a ticket.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, insert, select

from tastemaker.experiments.lifecycle.states import Standing, fold
from tastemaker.registry.manifest import hash_json
from tastemaker.storage.tables import experiment_changes, experiment_plans, experiments
from tastemaker.util import strict_json


class Change(NamedTuple):
    """A change of an experiment, as it is stored."""

    experiment: str
    number: int
    """From 1, without gaps."""
    at: datetime
    actor: str
    """A person, or `guardrail:NAME`, or `schedule`."""
    action: str
    from_state: str | None
    to_state: str
    epoch: int
    enrolment: int
    revision: int
    reason: str
    evidence: Mapping[str, Any]
    """Figures that the change rests on."""
    previous_digest: str
    """Empty for the first change."""
    digest: str = ""

    def computed_digest(self) -> str:
        """Return the digest that an unedited change has."""
        content = self._asdict() | {"at": self.at.isoformat(), "evidence": dict(self.evidence)}
        del content["digest"], content["previous_digest"]
        return hash_json([self.previous_digest, content])


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as the database returns it, so that its digest is the same before and after."""
    found: dict[str, Any] = json.loads(strict_json.dumps(value, default=str))
    return found


def append(connection: Connection, change: Change) -> Change:
    """Store a change at the end of its experiment's trail, with its digest.

    Args:
        connection: Within the transaction of the change.
        change: The change; its digests are filled in.

    Returns:
        The change as it is stored, with both digests.
    """
    query = (
        select(experiment_changes.c.digest)
        .where(experiment_changes.c.experiment == change.experiment)
        .order_by(experiment_changes.c.number.desc())
        .limit(1)
    )
    previous = connection.execute(query).scalar_one_or_none() or ""
    linked = change._replace(previous_digest=previous, evidence=plain(change.evidence))
    stored = linked._replace(digest=linked.computed_digest())
    connection.execute(insert(experiment_changes).values(stored._asdict()))
    return stored


def read(connection: Connection, name: str) -> list[Change]:
    """Return the changes of an experiment, oldest first.

    Args:
        connection: Of the metadata database.
        name: The experiment's name; one that does not exist has no changes.
    """
    query = (
        select(*(experiment_changes.c[field] for field in Change._fields))
        .where(experiment_changes.c.experiment == name)
        .order_by(experiment_changes.c.number)
    )
    return [Change(**row) for row in connection.execute(query).mappings()]


def verify(connection: Connection, name: str) -> list[str]:
    """Return what is wrong with an experiment's trail, in words; empty if nothing is.

    Args:
        connection: Of the metadata database.
        name: The name of an experiment that exists.
    """
    row = connection.execute(select(experiments).where(experiments.c.name == name)).mappings().one()
    plans = connection.execute(
        select(experiment_plans.c.revision, experiment_plans.c.digest, experiment_plans.c.design)
        .where(experiment_plans.c.experiment == name)
        .order_by(experiment_plans.c.revision)
    ).all()
    changes = read(connection, name)
    found = [*_broken_links(changes), *_broken_designs(changes, [(one[0], one[1], one[2]) for one in plans])]
    return found or _broken_state(changes, row)


def _broken_links(changes: Sequence[Change]) -> Iterable[str]:
    previous = ""
    for number, change in enumerate(changes, start=1):
        if change.number != number:
            yield f"change {number} is missing"
            return
        if change.previous_digest != previous:
            yield f"change {change.number} does not follow the change before it: one was replaced"
        if change.digest != change.computed_digest():
            yield f"change {change.number} ({change.action}, {change.actor}) was edited"
        previous = change.digest


def _broken_designs(changes: Sequence[Change], plans: Sequence[tuple[int, str, Any]]) -> Iterable[str]:
    recorded = {
        change.revision: change.evidence["design"] for change in changes if "design" in change.evidence
    }
    for revision, digest, design in plans:
        if not recorded.pop(revision, None) == digest == hash_json(design):
            yield f"the design of revision {revision} was edited"
    yield from (f"the design of revision {revision} is missing" for revision in recorded)


def _broken_state(changes: Sequence[Change], row: RowMapping) -> list[str]:
    try:
        standing = fold(changes)
    except ValueError as error:
        return [str(error)]
    stored = Standing(row["state"], row["epoch"], row["enrolment"], row["revision"], row["changes"])
    if stored.changes > standing.changes:
        return [f"the last changes are missing: there were {stored.changes}, {standing.changes} are left"]
    return [] if stored == standing else [f"the state is {stored}, the changes lead to {standing}"]
