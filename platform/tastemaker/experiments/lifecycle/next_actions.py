"""What may be done with an experiment next, and what it would do: for the terminal and the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection

from tastemaker.experiments.lifecycle.guards import Facts, Objection, objections, read_facts
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.experiments.lifecycle.states import Action, possible_actions
from tastemaker.experiments.plan import percentage


class NextAction(NamedTuple):
    """An action that the state of an experiment allows."""

    action: Action
    command: str
    """The command that does it."""
    effect: str
    """What it would do, in words."""
    objections: Sequence[Objection]
    """Why it is not allowed now; empty if it is."""

    @property
    def is_allowed(self) -> bool:
        """Whether no guard objects."""
        return not self.objections


def read_next_actions(connection: Connection, experiment: Experiment) -> list[NextAction]:
    """Return what a person may do with an experiment now.

    Args:
        connection: Of the metadata database.
        experiment: The experiment, as it is stored.
    """
    return next_actions(experiment, read_facts(connection, experiment), datetime.now(UTC))


def next_actions(experiment: Experiment, facts: Facts, now: datetime) -> list[NextAction]:
    """Return what a person may do with an experiment, the usual first.

    Args:
        experiment: The experiment, as it is stored.
        facts: What its guards depend on.
        now: The time of the action.
    """
    last_step = experiment.enrolment >= experiment.design.steps[-1]
    return [
        NextAction(
            action,
            _command(experiment, action),
            _EFFECTS[action](experiment),
            objections(experiment, action, facts, now),
        )
        for action in _EFFECTS
        if action in possible_actions(experiment.state) and not (action == "step" and last_step)
    ]


def _command(experiment: Experiment, action: Action) -> str:
    ending = {"revise": " --from FILE.yaml", "ship": f" {_shipped(experiment)}"}.get(action, "")
    reason = " --reason REASON" if action in REASONED else ""
    return f"tastemaker experiment {action.replace('_', '-')} {experiment.name}{ending}{reason}"


REASONED: frozenset[Action] = frozenset(
    {"hold", "resume", "new_epoch", "roll_back", "kill", "stop", "ship", "drop"}
)
"""Actions that deviate from the plan or end it: a person says why."""


def _shipped(experiment: Experiment) -> str:
    others = [name for name in experiment.design.variants if name != experiment.design.control]
    return others[0] if len(others) == 1 else "VARIANT"


def _step(experiment: Experiment) -> str:
    later = min(one for one in experiment.design.steps if one > experiment.enrolment)
    return (
        f"raises the enrolment from {percentage(experiment.enrolment)} to {percentage(later)} of the units; "
        "no unit changes its variant"
    )


_EFFECTS: dict[Action, Callable[[Experiment], str]] = {
    "ready": lambda one: (
        f"checks the design and claims {percentage(one.design.claim)} of {one.namespace}; start does it, too"
    ),
    "start": lambda one: f"enrols {percentage(one.design.steps[0])} of the units",
    "step": _step,
    "ship": lambda one: "makes a variant's version the champion",
    "drop": lambda one: f"ends the experiment with {one.design.control}",
    "resume": lambda one: "enrols units again",
    "hold": lambda one: "enrols no more units; those in it keep their variants",
    "new_epoch": lambda one: (
        f"begins epoch {one.epoch + 1} at {percentage(one.design.steps[0])} of the units: all units are "
        f"assigned again, and the figures of epoch {one.epoch} stay apart"
    ),
    "roll_back": lambda one: "gives all units the default; only a new epoch leads back",
    "kill": lambda one: "gives all units the default within two seconds, also without the database",
    "stop": lambda one: "gives all units the default; the result is that of the looks taken",
    "revise": lambda one: "replaces the design",
    "archive": lambda one: "puts the experiment away",
}
"""What each action would do, those that the design foresees first."""
