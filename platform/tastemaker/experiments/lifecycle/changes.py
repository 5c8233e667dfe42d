"""The parts of one change: what it requires, and the rows that it writes. All within its transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, Engine, insert, update
from sqlalchemy.exc import IntegrityError

from tastemaker.errors import TastemakerError
from tastemaker.experiments.design import Design
from tastemaker.experiments.lifecycle import audit, claims
from tastemaker.experiments.lifecycle.audit import Change
from tastemaker.experiments.lifecycle.guards import CONFIRMED, Facts, objections
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.experiments.lifecycle.states import (
    Action,
    ActionRefused,
    Standing,
    State,
    after,
    is_automatic,
)
from tastemaker.registry.manifest import hash_json
from tastemaker.storage.tables import experiment_plans, experiments

_WITH_DESIGN: tuple[Action, ...] = ("revise", "new_epoch", "allocate")
_FIXED = ("name", "namespace", "claim", "kind", "control")
"""What a new epoch keeps: its units are those of the same claim, and are compared with the same variant."""
_MOST_ACTOR = 200
"""Characters that the database keeps."""
_WITHOUT_CLAIM: tuple[State, ...] = ("draft", "stopped", "decided", "archived")


@contextmanager
def making(engine: Engine, name: str) -> Iterator[Connection]:
    """Begin a transaction that makes something with a name of its own.

    Args:
        engine: Of the metadata database.
        name: What is made, for the error.

    Yields:
        The connection of the transaction, which is committed unless an error leaves the block.

    Raises:
        TastemakerError: Another process made something of this name at the same time.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except IntegrityError as error:
        raise TastemakerError(
            f"{name} or its namespace was made by another process at the same time", fix="do it again"
        ) from error


def require_person(name: str, actor: str) -> None:
    """Refuse a change of an experiment if it is not said who makes it.

    Args:
        name: The experiment's name, for the error.
        actor: Who changes it.

    Raises:
        ActionRefused: The actor is blank, or has more than 200 characters.
    """
    if not actor.strip():
        raise ActionRefused(f"it is not known who changes {name}", fix="pass --by NAME")
    if len(actor) > _MOST_ACTOR:
        raise ActionRefused(
            f"the name of who changes {name} has {len(actor)} characters, at most {_MOST_ACTOR} are kept",
            fix="pass a shorter --by NAME",
        )


def require_problem(experiment: Experiment, problem: str) -> None:
    """Refuse an experiment of another problem, whose champion its plan would lose.

    Args:
        experiment: The experiment that is to be changed.
        problem: The name of the problem in use.

    Raises:
        ActionRefused: The experiment is of another problem.
    """
    if experiment.problem != problem:
        raise ActionRefused(
            f"{experiment.name} is of the problem {experiment.problem!r}, in use is {problem!r}",
            fix="set TASTEMAKER_PROBLEM to its problem's file",
        )


def require_reason(name: str, actor: str, reason: str) -> None:
    """Refuse a change that has no actor or no reason.

    Args:
        name: The experiment's name, for the error.
        actor: Who changes it.
        reason: Why, in a few words.

    Raises:
        ActionRefused: The reason is blank, or as `require_person`.
    """
    require_person(name, actor)
    if not reason.strip():
        raise ActionRefused(
            f"a change of {name} needs a reason", fix="say why in a few words: --reason REASON"
        )


def require_current(experiment: Experiment, actor: str, expected_changes: int | None, last: Change) -> None:
    """Refuse a change if there were others that the actor has not seen.

    Args:
        experiment: The experiment as it is stored.
        actor: Who changes it.
        expected_changes: The number of changes that the actor has seen; None: the actor does not say.
        last: The newest change.

    Raises:
        ActionRefused: There were such changes, or the actor is automatic and does not say what it has seen.
    """
    if expected_changes is None and is_automatic(actor):
        raise ActionRefused(
            f"{actor} has to say which changes of {experiment.name} it has seen, so that it undoes none",
            fix="pass expected_changes",
        )
    if expected_changes not in (None, experiment.changes):
        raise _conflict(experiment.name, last)


def require_design(experiment: Experiment, action: Action, design: Design | None) -> None:
    """Refuse a new design that is missing, does not belong to the action, or changes too much.

    Args:
        experiment: The experiment with its present design.
        action: What is done.
        design: The new design; None: it stays.

    Raises:
        ActionRefused: A revision has no design, the action takes none, or a field would change that is fixed.
    """
    name = experiment.name
    if action == "revise" and design is None:
        raise ActionRefused(f"{name} needs a new design to revise it", fix="pass --from FILE.yaml")
    if design is None:
        return
    if action not in _WITH_DESIGN:
        raise ActionRefused(f"{action} of {name} takes no design", fix="revise it, or begin a new epoch")
    fixed = ("name",) if action == "revise" else _FIXED
    for key in fixed:
        old, new = getattr(experiment.design, key), getattr(design, key)
        if old != new:
            raise ActionRefused(
                f"the {key} of {name} is {old!r} and can't become {new!r}",
                fix="make another experiment: tastemaker experiment new",
            )


def require_unobjected(
    experiment: Experiment,
    action: Action,
    facts: Facts,
    actor: str,
    variant: str | None,
    confirmed: Collection[str],
) -> None:
    """Refuse an action to which guards object, unless the actor has confirmed what may be confirmed.

    Args:
        experiment: The experiment as it is stored.
        action: What is to be done.
        facts: What guards depend on.
        actor: Who wants it.
        variant: The variant to ship; None where the action ships none.
        confirmed: Names of the guards that the actor passes by.

    Raises:
        ActionRefused: A guard objects, the action has no such guard, or an automatic actor confirms one.
    """
    known = CONFIRMED.get(action, ())
    unknown = sorted(set(confirmed) - set(known))
    if unknown:
        raise ActionRefused(
            f"{action} of {experiment.name} has no guard {', '.join(map(repr, unknown))} to be confirmed",
            fix=f"confirm {' or '.join(known)}, or leave it out" if known else "leave --confirm out",
        )
    if confirmed and is_automatic(actor):
        raise ActionRefused(f"{actor} may confirm no guard", fix="a person has to do it")
    found = [
        one
        for one in objections(experiment, action, facts, datetime.now(UTC), variant)
        if not (one.can_confirm and one.guard in confirmed)
    ]
    if found:
        what = "\n    ".join(one.problem for one in found)
        raise ActionRefused(
            f"{experiment.name} can't {action} now:\n    {what}",
            fix="\n       ".join(one.fix for one in found),
        )


def apply(
    connection: Connection,
    experiment: Experiment,
    action: Action,
    *,
    actor: str,
    reason: str,
    evidence: Mapping[str, object],
    design: Design | None = None,
) -> Change:
    """Write a change that was checked: the experiment, its claim, its design and the audit trail.

    Args:
        connection: Within the transaction of the change.
        experiment: The experiment before it. A row with another number of changes is a conflict.
        action: What is done.
        actor: Who does it.
        reason: Why.
        evidence: Figures that it rests on, by name.
        design: The new design; None: it stays.

    Returns:
        The change as it is stored, with its digests.

    Raises:
        ActionRefused: Another change came first.
    """
    now = datetime.now(UTC)
    standing = after(experiment.standing, action, design or experiment.design, is_revised=design is not None)
    _write_standing(connection, experiment, standing, design)
    if design is not None:
        evidence = {**evidence, "design": store_design(connection, design, standing, actor, now)}
    if action == "ready":
        claims.claim(connection, experiment.namespace, experiment.name, experiment.design.claim, now)
    elif standing.state in _WITHOUT_CLAIM:
        claims.release(connection, experiment.name, now, cool_down=standing.enrolment > 0)
    return record(
        connection, experiment.name, standing, action, experiment.state, actor, reason, evidence, now
    )


def record(
    connection: Connection,
    name: str,
    standing: Standing,
    action: Action,
    from_state: State | None,
    actor: str,
    reason: str,
    evidence: Mapping[str, object],
    now: datetime,
) -> Change:
    """Append a change to the audit trail.

    Args:
        connection: Within the transaction of the change.
        name: The experiment's name.
        standing: Where it stands after the change.
        action: What was done.
        from_state: The state before; None: the experiment was created.
        actor: Who did it.
        reason: Why. Blanks around it are removed.
        evidence: Figures that it rests on, by name.
        now: When.

    Returns:
        The change as it is stored, with its digests.
    """
    return audit.append(
        connection,
        Change(
            experiment=name,
            number=standing.changes,
            at=now,
            actor=actor,
            action=action,
            from_state=from_state,
            to_state=standing.state,
            epoch=standing.epoch,
            enrolment=standing.enrolment,
            revision=standing.revision,
            reason=reason.strip(),
            evidence=evidence,
            previous_digest="",
        ),
    )


def store_design(
    connection: Connection, design: Design, standing: Standing, author: str, now: datetime
) -> str:
    """Store a design as a revision, and return its digest.

    Args:
        connection: Within the transaction of the change.
        design: The design, which names the experiment.
        standing: Where the experiment stands with it.
        author: Who wrote it.
        now: When.
    """
    content = msgspec.to_builtins(design)
    digest = hash_json(content)
    row = {
        "experiment": design.name,
        "revision": standing.revision,
        "epoch": standing.epoch,
        "digest": digest,
        "design": content,
        "author": author,
        "created_at": now,
    }
    connection.execute(insert(experiment_plans).values(row))
    return digest


def _write_standing(
    connection: Connection, experiment: Experiment, standing: Standing, design: Design | None
) -> None:
    values: dict[str, object] = standing._asdict()
    if design is not None:
        values |= {"namespace": design.namespace, "kind": design.kind, "owner": design.owner}
    mine = experiments.c.name == experiment.name, experiments.c.changes == experiment.changes
    if not connection.execute(update(experiments).where(*mine).values(values)).rowcount:
        raise _conflict(experiment.name, audit.read(connection, experiment.name)[-1])


def _conflict(name: str, last: Change) -> ActionRefused:
    return ActionRefused(
        f"{name} was changed in the meantime: {last.action} by {last.actor} at {last.at:%Y-%m-%d %H:%M:%S} "
        f"UTC ({last.reason})",
        fix=f"look at it, then decide again: tastemaker experiment show {name}",
    )
