"""What the pipeline depends on and others change: the form of the source's tables, versions of packages.

Each state is compared with the one before and stored if it differs: the table `dependency_changes`.
Reference: E. Breck et al., "The ML Test Score", IEEE Big Data 2017, test Monitor 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import distributions
from typing import Any, Literal

from sqlalchemy import Engine, insert, select

from tastemaker.data.sources import Reading
from tastemaker.storage.tables import dependency_changes

Kind = Literal["source", "packages"]
State = Mapping[str, str]
"""Property -> value, such as `events columns user_id` -> `customer_id`, or `numpy` -> `2.3.1`."""
VARYING = ("unpacked",)
"""Facts of a reading that differ from delivery to delivery: the name of a file in an archive."""


def source_state(readings: Iterable[Reading]) -> dict[str, str]:
    """Return the form of a source's tables: encodings, delimiters, columns, and how values are written.

    >>> source_state([Reading("events", "a.csv", {"delimiter": ";", "columns": {"user_id": "customer"}})])
    {'events delimiter': ';', 'events columns user_id': 'customer'}
    """
    found: dict[str, str] = {}
    for reading in readings:
        for label, value in reading.facts.items():
            if label in VARYING:
                continue
            parts = value if isinstance(value, Mapping) else {"": value}
            found |= {f"{reading.table} {label} {part}".strip(): _text(one) for part, one in parts.items()}
    return found


def installed_packages() -> dict[str, str]:
    """Return the version of each installed distribution, by its name in lower case."""
    return dict(sorted((one.name.lower(), one.version) for one in distributions()))


def record(engine: Engine, kind: Kind, name: str, state: State) -> tuple[str, ...]:
    """Compare a state with the newest stored one, and store it if it differs.

    Args:
        engine: The metadata database.
        kind: The kind of dependency.
        name: Its name, such as the source's.
        state: Its state now.

    Returns:
        The changes in words; none for a state that is stored first.
    """
    columns = dependency_changes.c
    newest = (
        select(columns.state)
        .where(columns.kind == kind, columns.name == name)
        .order_by(columns.id.desc())
        .limit(1)
    )
    with engine.begin() as connection:
        before = connection.execute(newest).scalar()
        if before == dict(state):
            return ()
        changes = () if before is None else differences(before, state)
        connection.execute(
            insert(dependency_changes).values(
                kind=kind, name=name, state=dict(state), changes=list(changes), observed_at=datetime.now(UTC)
            )
        )
    return changes


def differences(before: State, after: State) -> tuple[str, ...]:
    """Return what changed from one state to another, in words, in the order of the properties' names.

    Args:
        before: The older state.
        after: The newer state.

    >>> differences({"numpy": "2.2", "feast": "0.5"}, {"numpy": "2.3", "onnx": "1.19"})
    ('feast 0.5 is gone', 'numpy is 2.3, was 2.2', 'onnx 1.19 is new')
    """
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None:
            found.append(f"{name} {new} is new")
        elif new is None:
            found.append(f"{name} {old} is gone")
        elif old != new:
            found.append(f"{name} is {new}, was {old}")
    return tuple(found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
