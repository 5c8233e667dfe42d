"""A copied home has what its databases held, also while they are open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from support.home_copies import copy_home


def test_a_copy_has_what_an_open_database_keeps_beside_itself(tmp_path: Path) -> None:
    home, copied = tmp_path / "home", tmp_path / "copy"
    (home / "deep").mkdir(parents=True)
    (home / "notes.txt").write_text("of no database")
    with closing(sqlite3.connect(home / "deep" / "any.name")) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        with writer:
            writer.execute("CREATE TABLE kept (n)")
            writer.execute("INSERT INTO kept VALUES (7)")
        assert (home / "deep" / "any.name-wal").stat().st_size > 0
        assert copy_home(home, copied) == copied
    assert sorted(path.name for path in copied.rglob("*")) == ["any.name", "deep", "notes.txt"]
    with closing(sqlite3.connect(copied / "deep" / "any.name")) as reader:
        assert reader.execute("SELECT n FROM kept").fetchall() == [(7,)]
