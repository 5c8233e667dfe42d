"""A new experiment: its row, its design, its namespace if there is none yet, and its first change."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from tastemaker.experiments.design import Design
from tastemaker.experiments.design_checks import require_free, require_name
from tastemaker.experiments.lifecycle import changes, namespaces
from tastemaker.experiments.lifecycle.records import Experiment, read_experiment
from tastemaker.experiments.lifecycle.states import CREATED
from tastemaker.experiments.plan import Unit
from tastemaker.storage.tables import experiments
from tastemaker.util.durations import DAY_SECONDS


def store_draft(
    connection: Connection, design: Design, author: str, *, problem: str, new_unit: Unit | None
) -> Experiment:
    """Store a draft, and return it.

    Args:
        connection: Of a transaction.
        design: What is to be tried.
        author: Who writes it.
        problem: The problem's name.
        new_unit: The unit of its namespace, which is made with it; None: there is one.

    Raises:
        TastemakerError: There is an experiment of this name, its name has other signs than names have, the
            author or the owner is missing, or there is no such namespace.
    """
    require_name("experiment", design.name)
    changes.require_person(design.name, author)
    changes.require_person(design.name, design.owner)
    now = datetime.now(UTC)
    if new_unit is not None:
        seconds = round(design.window_days * DAY_SECONDS)
        namespaces.add_namespace(connection, design.namespace, new_unit, seconds, now)
    namespaces.require_namespace(connection, design.namespace)
    _require_new(connection, design.name)
    row = {
        "name": design.name,
        "problem": problem,
        "namespace": design.namespace,
        "kind": design.kind,
        "salt": namespaces.new_salt(design.name),
        "owner": design.owner,
        "created_at": now,
        **CREATED._asdict(),
    }
    connection.execute(insert(experiments).values(row))
    evidence: dict[str, object] = {"design": changes.store_design(connection, design, CREATED, author, now)}
    changes.record(connection, design.name, CREATED, "create", None, author, design.hypothesis, evidence, now)
    return read_experiment(connection, design.name)


def _require_new(connection: Connection, name: str) -> None:
    """Raise TastemakerError if there is an experiment of this name."""
    require_free(
        "an experiment",
        name,
        connection.execute(select(experiments.c.name).order_by(experiments.c.name)).scalars(),
        f"give it another name; or change it: tastemaker experiment revise {name} --from FILE.yaml",
    )
