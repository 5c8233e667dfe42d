"""Processes that open a new SQLite file at the same time wait for each other."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tastemaker.util.sqlite_wal import use_wal


def refusals(path: Path, switch: Callable[[sqlite3.Connection], object]) -> list[sqlite3.OperationalError]:
    """What connections were refused that switch a new file all at once, and write."""
    start, found = threading.Barrier(8), list[sqlite3.OperationalError]()

    def write(number: int) -> None:
        start.wait()
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            try:
                switch(connection)
                connection.execute("CREATE TABLE IF NOT EXISTS written (number INTEGER)")
                with connection:
                    connection.execute("INSERT INTO written VALUES (?)", (number,))
            except sqlite3.OperationalError as error:
                found.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.slow
def test_all_that_open_a_new_file_at_once_can_write(tmp_path: Path) -> None:
    for number in range(40):
        path = tmp_path / f"{number}.db"
        assert refusals(path, lambda connection: use_wal(connection, 10)) == []
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM written").fetchone() == (8,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_stays_locked_is_refused_in_time(tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    with closing(sqlite3.connect(path)) as holder, closing(sqlite3.connect(path, timeout=0)) as other:
        holder.execute("CREATE TABLE one (n INTEGER)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_wal(other, 0.05)


def test_another_error_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    path.write_bytes(b"no database" * 1_000)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError):
        use_wal(connection, 60)
