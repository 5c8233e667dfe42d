"""Of each model: its last training, what the automation decides about it now, and when it is trained next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, FromClause, and_, select

from tastemaker.storage.distinct_values import distinct_values
from tastemaker.storage.tables import trainings
from tastemaker.trainings.decisions import (
    TRAINS,
    WAITS,
    EvaluatedCondition,
    RetrainingDecision,
    read_decisions,
)
from tastemaker.trainings.records import UNCHANGED, Training, to_training
from tastemaker.util.byte_sizes import byte_size


@dataclass(frozen=True)
class TrainingStatus:
    """A model's last training, and the newest decision about its next one."""

    model: str
    last: Training | None
    """The newest training that did something; None: there is none."""
    decision: RetrainingDecision | None
    """None: the automation has not evaluated the model."""

    @property
    def last_in_words(self) -> str:
        """How and when the last training ended, and what it cost."""
        if self.last is None:
            return "never trained"
        cost = [] if self.last.seconds is None else [f"{self.last.seconds:,.1f} s"]
        cost += [] if self.last.peak_bytes is None else [f"{byte_size(self.last.peak_bytes)} of memory"]
        return ", ".join([f"{self.last.outcome} {self.last.started_at:%Y-%m-%d %H:%M} UTC", *cost])

    @property
    def reasons_in_words(self) -> str:
        """Why the last training ran."""
        reasons = () if self.last is None else self.last.reasons
        return "; ".join(f"{one.reason}: {one.detail}" if one.detail else one.reason for one in reasons)

    @property
    def decision_in_words(self) -> str:
        """Whether the model is trained now, and why or why not."""
        if self.decision is None:
            return "not evaluated: the automation is off, or dagster dev or the daemon does not run"
        verdict = {TRAINS: "is trained", WAITS: "waits"}.get(self.decision.decision, "up to date")
        return f"{verdict}: {self.decision.why}"

    @property
    def next_in_words(self) -> str:
        """When the model is trained next."""
        if self.decision is None:
            return "on request, or by a schedule"
        if self.decision.decision == TRAINS:
            return "now"
        if self.decision.next_at is None:
            return "when a condition is met"
        return f"{self.decision.next_at:%Y-%m-%d %H:%M} UTC at the latest"

    @property
    def conditions(self) -> tuple[EvaluatedCondition, ...]:
        """The conditions of the newest decision."""
        return () if self.decision is None else self.decision.conditions


def read_statuses(
    engine: Engine, problem: str | None, models: Collection[str] | None = None
) -> list[TrainingStatus]:
    """Return the status of models, by name.

    Args:
        engine: The metadata database.
        problem: The problem's name; None: all problems, of which the one trained last counts.
        models: Names of the models; None: all that were trained or evaluated.
    """
    mine = _done(problem)
    names_of_models = distinct_values(trainings.c.model)
    its = trainings.alias()
    newest = (
        select(its.c.started_at)
        .where(its.c.model == names_of_models.c.name, *_done(problem, its))
        .order_by(its.c.started_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    is_newest = and_(trainings.c.model == names_of_models.c.name, trainings.c.started_at == newest)
    query = select(trainings).join(names_of_models, is_newest).where(*mine)
    with engine.connect() as connection:
        last = {row["model"]: to_training(row) for row in connection.execute(query).mappings()}
    decisions = read_decisions(engine, problem)
    names = sorted(last.keys() | decisions.keys() if models is None else models)
    return [TrainingStatus(name, last.get(name), decisions.get(name)) for name in names]


def read_history(engine: Engine, problem: str | None, limit: int) -> list[Training]:
    """Return the newest trainings of all models, newest first, without those that found nothing to do.

    Args:
        engine: The metadata database.
        problem: The problem's name; None: all problems.
        limit: How many at the most.
    """
    newest_first = trainings.c.started_at.desc(), trainings.c.model
    query = select(trainings).where(*_done(problem)).order_by(*newest_first).limit(limit)
    with engine.connect() as connection:
        return [to_training(row) for row in connection.execute(query).mappings()]


def _done(problem: str | None, rows: FromClause = trainings) -> list[ColumnElement[bool]]:
    of_problem = [] if problem is None else [rows.c.problem == problem]
    return [rows.c.outcome != UNCHANGED, *of_problem]
