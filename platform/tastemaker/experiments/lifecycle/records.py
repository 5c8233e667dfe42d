"""Experiments as they are stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, select

from tastemaker.errors import UnknownNameError
from tastemaker.experiments.design import Design
from tastemaker.experiments.lifecycle.states import ACTIVE, Standing, State
from tastemaker.experiments.plan import Kind
from tastemaker.storage.tables import experiment_plans, experiments
from tastemaker.util.spelling import did_you_mean


@dataclass(frozen=True)
class Experiment:
    """An experiment with the design in force."""

    name: str
    problem: str
    namespace: str
    kind: Kind
    salt: str
    owner: str
    created_at: datetime
    state: State
    epoch: int
    """From 0; assignments of different epochs are independent."""
    enrolment: int
    """How many of the 1,000,000 enrolment buckets are in."""
    revision: int
    """The revision of the design, from 1."""
    changes: int
    """How many changes there were: what `expected_changes` is compared with."""
    design: Design

    @property
    def standing(self) -> Standing:
        """Where it stands."""
        return Standing(self.state, self.epoch, self.enrolment, self.revision, self.changes)

    @property
    def is_active(self) -> bool:
        """Whether units get variants."""
        return self.state in ACTIVE

    @property
    def is_routed(self) -> bool:
        """Whether its variants choose the service that answers. A shadow only copies requests."""
        variants = self.design.variants.values()
        return self.kind != "shadow" and any(one.model is not None for one in variants)


def read_experiments(connection: Connection, states: Collection[str] | None = None) -> list[Experiment]:
    """Return experiments, the newest first.

    Args:
        connection: Of the metadata database.
        states: Only those in these states; None: all.
    """
    query = _joined().order_by(experiments.c.created_at.desc(), experiments.c.name)
    if states is not None:
        query = query.where(experiments.c.state.in_(states))
    return [_from_row(row) for row in connection.execute(query).mappings()]


def read_experiment(connection: Connection, name: str) -> Experiment:
    """Return an experiment by its name, with its present design.

    Args:
        connection: Of the metadata database.
        name: The experiment's name.

    Raises:
        UnknownNameError: There is none of this name.
    """
    row = connection.execute(_joined().where(experiments.c.name == name)).mappings().first()
    if row is not None:
        return _from_row(row)
    known: Sequence[str] = connection.execute(select(experiments.c.name)).scalars().all()
    otherwise = "tastemaker experiment list" if known else "make it: tastemaker experiment new NAME"
    raise UnknownNameError(f"there is no experiment {name!r}", fix=did_you_mean(name, known, otherwise))


def _joined() -> Any:
    in_force = and_(
        experiment_plans.c.experiment == experiments.c.name,
        experiment_plans.c.revision == experiments.c.revision,
    )
    return select(experiments, experiment_plans.c.design).join(experiment_plans, in_force)


def _from_row(row: Any) -> Experiment:
    return Experiment(**{**row, "design": msgspec.convert(row["design"], Design)})
