"""Many rows by few statements: the same rows as one by one, and how many are new."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tastemaker.util.sqlite_rows import insert_rows


@pytest.mark.parametrize("n", [0, 1, 2, 3, 255, 256, 257, 1_000])
def test_rows_are_inserted_in_order_and_those_that_exist_are_ignored(n: int) -> None:
    rows = [(str(number), number / 7) for number in range(n)]
    with closing(sqlite3.connect(":memory:")) as connection:
        statements: list[str] = []
        connection.execute("CREATE TABLE t (key TEXT UNIQUE, value REAL)")
        connection.set_trace_callback(statements.append)
        assert insert_rows(connection, "INSERT OR IGNORE INTO t (key, value)", rows[::2]) == len(rows[::2])
        assert insert_rows(connection, "INSERT OR IGNORE INTO t (key, value)", iter(rows)) == len(rows[1::2])
        assert connection.execute("SELECT key, value FROM t ORDER BY rowid").fetchall() == [
            *rows[::2],
            *rows[1::2],
        ]
    assert len(statements) <= 2 + 2 * (n // 256 + 8)
