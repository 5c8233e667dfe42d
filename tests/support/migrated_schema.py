"""New SQLite databases get the schema that the migrations made once: they take longer than many a test."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from sqlalchemy import Connection, create_engine, text

from tastemaker.storage import engine as module

MIGRATE = module._upgrade
"""The platform's own function."""


@cache
def _schema() -> tuple[tuple[str, ...], str]:
    """Return the statements that create the migrated tables and indices, and the last step."""
    with create_engine("sqlite://").connect() as connection:
        MIGRATE(connection, None)
        found = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"))
        statements = tuple(found.scalars())
        return statements, connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()


def _create(connection: Connection, revision: str | None) -> None:
    """Create the tables of a new SQLite database at once, and migrate every other one step by step."""
    if revision is not None or connection.dialect.name != "sqlite":
        MIGRATE(connection, revision)
        return
    statements, step = _schema()
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.execute(text("INSERT INTO alembic_version VALUES (:step)"), {"step": step})


@pytest.fixture(scope="session", autouse=True)
def migrated_schema() -> Iterator[None]:
    """Let `open_engine` create the schema of new SQLite databases at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_upgrade", _create)
        yield


@pytest.fixture
def step_by_step(migrated_schema: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `open_engine` migrate new databases as it does for users: for tests of the migrations."""
    monkeypatch.setattr(module, "_upgrade", MIGRATE)
