"""The states of an experiment and the actions between them. Pure functions: an experiment's state is the fold
of its changes.

    draft -> ready -> running <-> holding -> stopped -> decided -> archived
                      running or holding -> rolled_back -> running (a new epoch only)

Automatic actors are named `guardrail:NAME`, `schedule` or `rollout:ID`. All others are persons. A rollout
may do with the experiments that it owns what a person may, except to confirm a guard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol, get_args

from tastemaker.errors import TastemakerError
from tastemaker.experiments.design import Design

State = Literal["draft", "ready", "running", "holding", "rolled_back", "stopped", "decided", "archived"]
Action = Literal[
    "create",
    "revise",
    "ready",
    "start",
    "step",
    "hold",
    "resume",
    "new_epoch",
    "allocate",
    "roll_back",
    "kill",
    "stop",
    "ship",
    "drop",
    "archive",
    "force",
]
AUTOMATIC_ACTIONS: frozenset[Action] = frozenset({"step", "hold", "allocate", "roll_back"})
"""What an automatic actor may do with any experiment. None of it ends one or undoes what a person did."""
OPENING_FURTHER: frozenset[Action] = frozenset({"step", "allocate"})
"""Actions that enrol the design's next step."""
ACTIVE: frozenset[State] = frozenset({"running", "holding"})
"""States in which units get variants."""
CLOSING: frozenset[Action] = frozenset({"roll_back", "kill", "stop", "ship", "drop"})
"""Actions after which no unit of the experiment gets a variant."""
ROLLOUT = "rollout:"
"""Start of the name by which a rollout acts, and owns experiments."""
_ACTORS = ("guardrail:", "schedule", ROLLOUT)


class Transition(NamedTuple):
    """What an action does to the state."""

    before: tuple[State, ...]
    after: State | None
    """None: it stays as it is."""
    is_new_epoch: bool = False


TRANSITIONS: dict[Action, Transition] = {
    "revise": Transition(("draft", "ready"), "draft"),
    "ready": Transition(("draft",), "ready"),
    "start": Transition(("ready",), "running"),
    "step": Transition(("running",), "running"),
    "hold": Transition(("running",), "holding"),
    "resume": Transition(("holding",), "running"),
    "new_epoch": Transition(("running", "holding", "rolled_back"), "running", is_new_epoch=True),
    "allocate": Transition(("running",), "running", is_new_epoch=True),
    "roll_back": Transition(("running", "holding"), "rolled_back"),
    "kill": Transition(("running", "holding"), "rolled_back"),
    "stop": Transition(("running", "holding"), "stopped"),
    "ship": Transition(("running", "holding", "stopped"), "decided"),
    "drop": Transition(("running", "holding", "rolled_back", "stopped"), "decided"),
    "archive": Transition(("draft", "ready", "decided"), "archived"),
    "force": Transition(get_args(State), None),
}


class Standing(NamedTuple):
    """Where an experiment stands."""

    state: State
    epoch: int
    """From 0; assignments of different epochs are independent."""
    enrolment: int
    """How many of the 1,000,000 enrolment buckets are in."""
    revision: int
    """The design in force, from 1."""
    changes: int
    """How many changes there were."""


class Changed(Protocol):
    """The part of a stored change that determines the standing."""

    @property
    def number(self) -> int: ...
    @property
    def action(self) -> str: ...
    @property
    def from_state(self) -> str | None: ...
    @property
    def to_state(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def enrolment(self) -> int: ...
    @property
    def revision(self) -> int: ...


CREATED = Standing("draft", 0, 0, 1, 1)
"""Where an experiment stands after its first change."""


class ActionRefused(TastemakerError):
    """Error of an action that the experiment's state, its actor or a guard does not allow."""


def is_automatic(actor: str) -> bool:
    """Return whether an actor is a guardrail, the schedule or a rollout, and not a person."""
    return actor.startswith(_ACTORS)


def possible_actions(state: str) -> tuple[Action, ...]:
    """Return what a person may try in a state; guards may still refuse it."""
    return tuple(action for action, one in TRANSITIONS.items() if state in one.before)


def after(standing: Standing, action: Action, design: Design, *, is_revised: bool = False) -> Standing:
    """Return where an experiment stands after an action that its state allows.

    Args:
        standing: Where it stands.
        action: What is done, such as start or step.
        design: The design in force after it.
        is_revised: Whether the design is new.
    """
    transition = TRANSITIONS[action]
    enrolment = standing.enrolment
    if action in OPENING_FURTHER:
        enrolment = min(one for one in design.steps if one > standing.enrolment)
    elif action in ("start", "new_epoch"):
        enrolment = design.steps[0]
    return Standing(
        transition.after or standing.state,
        standing.epoch + transition.is_new_epoch,
        enrolment,
        standing.revision + is_revised,
        standing.changes + 1,
    )


def require_allowed(name: str, standing: Standing, action: str, actor: str, design: Design) -> Action:
    """Return the action if the state and the actor allow it.

    Args:
        name: The experiment's name, for the error.
        standing: Where it stands.
        action: What is to be done.
        actor: Who does it.
        design: The design in force.

    Raises:
        ActionRefused: It is unknown, not allowed to this actor, not possible in this state, or a step beyond
            the last one.
    """
    found = next((one for one in TRANSITIONS if one == action), None)
    if found is None:
        raise ActionRefused(f"there is no action {action!r}", fix=f"use one of {', '.join(TRANSITIONS)}")
    if is_automatic(actor) and found not in AUTOMATIC_ACTIONS and not _is_its_rollout(actor, design):
        raise ActionRefused(
            f"{actor} may not {found} {name}: an automatic actor may only step, hold and roll back, "
            "and allocate a bandit's units",
            fix="a person has to do it",
        )
    if standing.state not in TRANSITIONS[found].before:
        may = ", ".join(possible_actions(standing.state)) or "nothing"
        raise ActionRefused(
            f"{name} is {standing.state}, so {found} is not possible; possible: {may}",
            fix=f"tastemaker experiment show {name}",
        )
    if found == "allocate" and design.kind != "bandit":
        raise ActionRefused(
            f"{name} is of kind {design.kind}, whose shares stay as they are",
            fix="begin a new epoch, or make an experiment of kind bandit",
        )
    if found in OPENING_FURTHER and standing.enrolment >= design.steps[-1]:
        raise ActionRefused(
            f"{name} is at its last step: {standing.enrolment:,} of 1,000,000 enrolment buckets",
            fix=f"take looks until it is decided: tastemaker experiment show {name}",
        )
    return found


def _is_its_rollout(actor: str, design: Design) -> bool:
    return actor.startswith(ROLLOUT) and actor == design.owner


def fold(changes: Iterable[Changed]) -> Standing:
    """Return the standing that a sequence of changes leads to.

    Args:
        changes: All changes of one experiment, oldest first.

    Raises:
        ValueError: There is none, a number is missing, or a change does not follow from the one before.
    """
    standing: Standing | None = None
    for number, change in enumerate(changes, start=1):
        if change.number != number:
            raise ValueError(f"change {number} is missing")
        standing = _followed(standing, change)
    if standing is None:
        raise ValueError("there is no change")
    return standing


def _followed(before: Standing | None, change: Changed) -> Standing:
    """Return the standing after a change. Raises ValueError if the change does not follow."""
    stored = (change.to_state, change.epoch, change.enrolment, change.revision, change.number)
    if before is None:
        if change.action != "create" or stored != CREATED or change.from_state is not None:
            raise ValueError("change 1 does not create the experiment")
        return CREATED
    transition = next((one for action, one in TRANSITIONS.items() if action == change.action), None)
    if (
        transition is None
        or change.from_state != before.state
        or before.state not in transition.before
        or change.to_state != (transition.after or before.state)
        or change.epoch != before.epoch + transition.is_new_epoch
        or change.revision not in (before.revision, before.revision + 1)
    ):
        raise ValueError(f"change {change.number} ({change.action}) does not follow from the one before")
    return Standing(transition.after or before.state, *stored[1:])
