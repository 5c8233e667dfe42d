"""The schema that tests create at once is the one that the migrations make step by step."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest
from sqlalchemy import text

from support.migrated_schema import MIGRATE, UPGRADE
from tastemaker.storage import engine as module
from tastemaker.storage.engine import open_engine


def content(path: Path) -> list[str]:
    """Every statement that recreates the database, its rows included, and the mode of its journal."""
    with closing(sqlite3.connect(path)) as connection:
        return [*connection.iterdump(), *connection.execute("PRAGMA journal_mode").fetchone()]


def test_databases_created_at_once_equal_migrated_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, created, migrated = (tmp_path / name for name in ("copied.db", "created.db", "migrated.db"))
    created.touch()  # only a path without a file gets a copy
    open_engine(f"sqlite:///{copied}").dispose()
    open_engine(f"sqlite:///{created}").dispose()
    monkeypatch.setattr(module, "_upgrade", UPGRADE)
    monkeypatch.setattr(module, "_migrate", MIGRATE)
    open_engine(f"sqlite:///{migrated}").dispose()
    assert content(copied) == content(created) == content(migrated)
    assert {path.name for path in tmp_path.iterdir()} == {"copied.db", "created.db", "migrated.db"}


def test_a_database_that_is_created_meanwhile_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'meta.db'}"

    def write(table: str) -> None:
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {table} (n)"))
        engine.dispose()

    def copy_while_another_writes(source: Path, target: Path) -> None:
        monkeypatch.undo()
        copyfile(source, target)
        write("faster")

    monkeypatch.setattr(shutil, "copyfile", copy_while_another_writes)
    write("slower")
    assert {"CREATE TABLE faster (n);", "CREATE TABLE slower (n);"} <= set(content(tmp_path / "meta.db"))
