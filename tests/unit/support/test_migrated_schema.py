"""The schema that tests create at once is the one that the migrations make step by step."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.migrated_schema import MIGRATE
from tastemaker.storage import engine as module
from tastemaker.storage.engine import open_engine


def content(path: Path) -> list[str]:
    """Every statement that recreates the database, its rows included."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_databases_created_at_once_equal_migrated_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(f"sqlite:///{tmp_path / 'at once.db'}").dispose()
    monkeypatch.setattr(module, "_upgrade", MIGRATE)
    open_engine(f"sqlite:///{tmp_path / 'migrated.db'}").dispose()
    assert content(tmp_path / "at once.db") == content(tmp_path / "migrated.db")
