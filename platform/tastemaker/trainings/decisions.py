"""The table `retraining_decisions`: the automation's newest decision about each model, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, RowMapping, select

from tastemaker.storage.tables import retraining_decisions

TRAINS, WAITS, UP_TO_DATE = "trains", "waits", "up_to_date"


class EvaluatedCondition(NamedTuple):
    """A condition of the automation."""

    name: str
    is_met: bool
    detail: str


@dataclass(frozen=True)
class RetrainingDecision:
    """The newest decision about a model."""

    model: str
    decision: str
    """trains, waits or up_to_date."""
    conditions: tuple[EvaluatedCondition, ...]
    evaluated_at: datetime
    next_at: datetime | None
    """When the model is trained at the latest; None: on an event only."""

    @property
    def why(self) -> str:
        """The conditions that are met, in words; those that are not, where none is."""
        met = [one for one in self.conditions if one.is_met]
        return "; ".join(one.detail or one.name for one in met or self.conditions) or "no condition applies"


def read_decisions(engine: Engine, problem: str | None) -> dict[str, RetrainingDecision]:
    """Return the newest decision about each model, by its name; of models without one, none.

    Args:
        engine: The metadata database.
        problem: The problem's name; None: all problems.
    """
    mine = select(retraining_decisions).order_by(retraining_decisions.c.evaluated_at)
    if problem is not None:
        mine = mine.where(retraining_decisions.c.problem == problem)
    with engine.connect() as connection:
        return {row["model"]: _decision(row) for row in connection.execute(mine).mappings()}


def _decision(row: RowMapping) -> RetrainingDecision:
    conditions = tuple(EvaluatedCondition(**one) for one in row["conditions"])
    fields = ("model", "decision", "evaluated_at", "next_at")
    return RetrainingDecision(conditions=conditions, **{name: row[name] for name in fields})
