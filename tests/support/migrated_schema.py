"""New SQLite databases get the schema that the migrations made once: they take longer than many a test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from support.worker_sharing import made_once
from tastemaker.storage import engine as module

UPGRADE = module._upgrade
MIGRATE = module._migrate
"""The platform's own functions."""


@cache
def _schema() -> tuple[tuple[str, ...], str]:
    """Return the statements that create the migrated tables and indices, and the last step."""
    with create_engine("sqlite://").connect() as connection:
        UPGRADE(connection, None)
        found = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"))
        statements = tuple(found.scalars())
        return statements, connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()


def _create(connection: Connection, revision: str | None) -> None:
    """Create the tables of a new SQLite database at once, and migrate every other one step by step."""
    if revision is not None or connection.dialect.name != "sqlite":
        UPGRADE(connection, revision)
        return
    statements, step = _schema()
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.execute(text("INSERT INTO alembic_version VALUES (:step)"), {"step": step})


def _write_template(folder: Path) -> None:
    """Write a migrated database without rows into a new folder."""
    folder.mkdir()
    engine = module._connect_sqlite(module.parse(f"sqlite:///{folder / 'meta.db'}"))
    MIGRATE(engine)
    engine.dispose()  # its last connection removes the write-ahead log


def _place(template: Path, path: Path) -> None:
    """Copy the template to a path where no file is.

    The file appears with all of its tables: no process that opens the path meanwhile sees a part of it.
    """
    copy = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        shutil.copyfile(template, copy)
        os.link(copy, path)
    except OSError:
        pass  # another process was faster, or the folder can't be written, which `open_engine` reports
    finally:
        copy.unlink(missing_ok=True)


@pytest.fixture(scope="session", autouse=True)
def migrated_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let `open_engine` copy new SQLite files, and create the schema of databases without a file at once."""

    @cache
    def template() -> Path:
        return made_once(tmp_path_factory, "migrated", _write_template) / "meta.db"

    def migrate(engine: Engine) -> None:
        url = engine.url
        if engine.dialect.name == "sqlite" and url.database not in (None, "", ":memory:") and not url.query:
            path = Path(str(url.database))
            if not path.exists():
                _place(template(), path)
        MIGRATE(engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_upgrade", _create)
        patch.setattr(module, "_migrate", migrate)
        yield


@pytest.fixture
def step_by_step(migrated_schema: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `open_engine` migrate new databases as it does for users: for tests of the migrations."""
    monkeypatch.setattr(module, "_upgrade", UPGRADE)
    monkeypatch.setattr(module, "_migrate", MIGRATE)
