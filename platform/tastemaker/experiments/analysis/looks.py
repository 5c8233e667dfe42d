"""The looks of the experiments of a home: read from the lake, stored in `looks` and `look_effects`.

A look that may decide keeps its number. One between planned looks has the number of the next planned look,
and is replaced by the next look that is taken. The look that decides is the result: later ones return it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.interleaving import look_at_teams, read_preferences
from tastemaker.experiments.analysis.look import Look, look_at
from tastemaker.experiments.analysis.planner import TrafficPlan, plan_traffic
from tastemaker.experiments.analysis.unexplained import unexplained
from tastemaker.experiments.analysis.units import UnitQuery, read_units
from tastemaker.experiments.lifecycle.epochs import epochs_in_force, planned_looks
from tastemaker.experiments.lifecycle.records import Experiment, read_experiment, read_experiments
from tastemaker.experiments.plan import Unit
from tastemaker.problem import ProblemSpec
from tastemaker.storage.tables import experiment_changes, look_effects, looks, namespaces

LOOKED_AT = ("running", "holding", "stopped")
"""States in which looks are taken each day."""
NOT_STARTED = ("draft", "ready")
WITHOUT_LOOKS = ("shadow", "rollout")
"""Kinds of which no effect on users is analysed."""
FINAL = ("better", "worse", "equal")
"""Verdicts after which no look is taken."""


class TakenLooks(NamedTuple):
    """Looks that were taken together."""

    looks: list[Look]
    failures: list[str]
    """The experiments of which none could be taken, each with the reason."""


@dataclass(frozen=True)
class ExperimentLooks:
    """The looks of one problem's experiments."""

    engine: Engine
    """The metadata database."""
    lake: Lake
    problem: ProblemSpec
    folder: Path
    """Where the plans are that were in force."""

    def take_due(self, now: datetime | None = None) -> TakenLooks:
        """Take a look at every experiment that runs, is held, or is stopped without a result.

        Args:
            now: The time; None: the current one.

        Returns:
            The looks, and why others could not be taken.
        """
        with self.engine.connect() as connection:
            found = read_experiments(connection, LOOKED_AT)
        mine = [one for one in found if one.problem == self.problem.name and one.kind not in WITHOUT_LOOKS]
        taken: list[Look] = []
        failures: list[str] = []
        for one in mine:
            try:
                taken.append(self.take(one.name, now))
            except TastemakerError as error:
                failures.append(f"{one.name}: {error}")
        return TakenLooks(taken, failures)

    def take(self, name: str, now: datetime | None = None) -> Look:
        """Take a look, store it, and return it.

        If that one decided, or the log has nothing new since and no unit waits for a type of event, the last
        planned look is returned.

        Args:
            name: The experiment's name.
            now: The time; None: the current one. What is dated later is not data yet.

        Raises:
            TastemakerError: There is no such experiment, it has not started, its kind has no looks, or a
                metric of its design can't be computed.
        """
        timestamp = now or datetime.now(UTC)
        with self.engine.connect() as connection:
            experiment = read_experiment(connection, name)
            _check(experiment, self.problem)
            past = planned_looks(connection, experiment)
            if past and past[-1].verdict in FINAL:
                return _stored(connection, past[-1])
            look = self._look(connection, experiment, [one.information for one in past], timestamp)
            is_new = look.details["waiting"] or not past or past[-1].log_until != look.log_until
            if not is_new:
                return _stored(connection, past[-1])
        store(self.engine, look)
        return look

    def plan(self, name: str, now: datetime | None = None) -> TrafficPlan:
        """Return how many users an experiment needs, by the last weeks of the log.

        Args:
            name: The experiment, in any state.
            now: The time; None: the current one.

        Raises:
            TastemakerError: There is no such experiment, it is of another problem, its units are not users,
                or as `plan_traffic`.
        """
        with self.engine.connect() as connection:
            experiment = read_experiment(connection, name)
            unit = _unit(connection, experiment)
        _check_problem(experiment, self.problem)
        if unit != "user":
            raise TastemakerError(
                f"{name} assigns each {unit}, and a plan replays users",
                fix="take the users' plan as an estimate: make a draft in a namespace of users",
            )
        return plan_traffic(self.lake, self.problem, experiment.design, now)

    def _look(
        self, connection: Connection, experiment: Experiment, past: Sequence[float], now: datetime
    ) -> Look:
        design, epoch = experiment.design, experiment.epoch
        epochs = epochs_in_force(connection, experiment)
        unit, started_at = _unit(connection, experiment), _started_at(connection, experiment.name, epochs)
        query = UnitQuery.of(design, epochs, unit, self.problem, started_at=started_at)
        with self.lake.connect() as lake:
            if design.kind == "interleaving":
                teams = read_preferences(lake, query, self.problem, now)
                look = look_at_teams(teams, design, epoch=epoch, past=past, at=now)
            else:
                units = read_units(lake, query, self.problem, now)
                look = look_at(units, design, query.metrics, epoch=epoch, past=past, at=now)
        with self.lake.connect() as lake:
            wrong = unexplained(lake, experiment.name, started_at, self.folder)
        if wrong is None:
            return look
        return replace(look, details=look.details | {"warnings": [*look.details.get("warnings", ()), wrong]})


def store(engine: Engine, look: Look) -> None:
    """Store a look in one transaction; it replaces the one of its epoch and number.

    Args:
        engine: Of the metadata database.
        look: The look with its effects. The stored one of its experiment, epoch and number is deleted.
    """
    key = {"experiment": look.experiment, "epoch": look.epoch, "number": look.number}
    columns = {field.name: getattr(look, field.name) for field in fields(look) if field.name != "effects"}
    with engine.begin() as connection:
        for table in (look_effects, looks):
            connection.execute(delete(table).where(*(table.c[name] == value for name, value in key.items())))
        connection.execute(insert(looks), columns)
        if look.effects:
            connection.execute(insert(look_effects), [key | one._asdict() for one in look.effects])


def _unit(connection: Connection, experiment: Experiment) -> Unit:
    """Return what the experiment's namespace assigns."""
    found: Unit = connection.execute(
        select(namespaces.c.unit).where(namespaces.c.name == experiment.namespace)
    ).scalar_one()
    return found


def _check_problem(experiment: Experiment, problem: ProblemSpec) -> None:
    if experiment.problem != problem.name:
        raise TastemakerError(
            f"{experiment.name} belongs to the problem {experiment.problem!r}, in use is {problem.name!r}",
            fix="set TASTEMAKER_PROBLEM to the file of its problem",
        )


def _check(experiment: Experiment, problem: ProblemSpec) -> None:
    _check_problem(experiment, problem)
    if experiment.state in NOT_STARTED:
        raise TastemakerError(
            f"{experiment.name} is {experiment.state}: it has no units yet",
            fix=f"start it: tastemaker experiment start {experiment.name}",
        )
    if experiment.kind == "rollout":
        raise TastemakerError(
            f"{experiment.name} is a rollout: its guardrails decide, and its effect is not analysed",
            fix="compare the versions by an experiment: set promotion.path to experiment",
        )
    if experiment.kind == "shadow":
        raise TastemakerError(
            f"{experiment.name} is a shadow: no user saw its answers, so there is no effect on users",
            fix="compare its lists with those that were served: lists and shadow_answers are in the lake",
        )


def _started_at(connection: Connection, name: str, epochs: range) -> float:
    """Return when the epochs in force began to assign units, in seconds since 1970 UTC."""
    c = experiment_changes.c
    running = c.experiment == name, c.to_state == "running", c.epoch >= epochs.start
    first = select(c.at).where(*running).order_by(c.number)
    found = connection.execute(first.limit(1)).scalar_one_or_none()
    return 0.0 if found is None else float(found.timestamp())


def _stored(connection: Connection, row: Row[Any]) -> Look:
    key = [look_effects.c[name] == getattr(row, name) for name in ("experiment", "epoch", "number")]
    columns = [look_effects.c[name] for name in LookEffect._fields]
    rows = connection.execute(select(*columns).where(*key)).all()
    effects = sorted((LookEffect(*one) for one in rows), key=lambda one: one.order)
    return Look(**row._mapping, effects=tuple(effects))
