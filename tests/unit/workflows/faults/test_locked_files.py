"""Locked SQLite files: no other connection writes them, and the lock ends with its holder."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from support.repository import ROOT
from tastemaker.errors import TastemakerError
from tastemaker.event_log.spool_file import FILE_NAME
from tastemaker.settings import Settings
from tastemaker.workflows.faults.locked_stores import log_locked, metadata_locked

Lock = Callable[[Settings], AbstractContextManager[None]]
FILES = (("log_locked", log_locked), ("metadata_locked", metadata_locked))
WAITS_SECONDS, UNLOCK_SECONDS = 0.3, 30.0


def path_of(name: str, settings: Settings) -> Path:
    if name == "log_locked":
        return settings.spool / FILE_NAME
    return Path(str(make_url(settings.metadata_url).database))


def made(path: Path, journal: str = "wal") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.executescript("CREATE TABLE rows (number INTEGER); INSERT INTO rows VALUES (1)")


def rows(connection: sqlite3.Connection) -> list[tuple[int]]:
    return connection.execute("SELECT number FROM rows").fetchall()


def insert(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=UNLOCK_SECONDS)) as connection:
        connection.execute("INSERT INTO rows VALUES (2)")
        connection.commit()


def begun(call: Callable[[], object]) -> Future[object]:
    """A call that waits in a thread of its own."""
    started = ThreadPoolExecutor(1).submit(call)
    with pytest.raises(TimeoutError):
        started.result(WAITS_SECONDS)
    return started


@pytest.mark.parametrize(("name", "lock"), FILES)
def test_writers_wait_until_the_end(name: str, lock: Lock, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    made(path := path_of(name, settings))
    with closing(sqlite3.connect(path, timeout=UNLOCK_SECONDS, check_same_thread=False)) as old:
        assert rows(old) == [(1,)]
        with lock(settings):
            writing = begun(lambda: insert(path))
        writing.result(UNLOCK_SECONDS)
        assert rows(old) == [(1,), (2,)]


def test_of_the_metadata_readers_wait_too_and_those_of_the_log_do_not(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    for name, _ in FILES:
        made(path_of(name, settings))
    paths = [path_of(name, settings) for name, _ in FILES]
    with (
        closing(sqlite3.connect(paths[0])) as log,
        closing(sqlite3.connect(paths[1], timeout=UNLOCK_SECONDS, check_same_thread=False)) as metadata,
    ):
        with log_locked(settings), metadata_locked(settings):
            assert rows(log) == [(1,)]
            reading = begun(lambda: rows(metadata))
        assert reading.result(UNLOCK_SECONDS) == [(1,)]


@pytest.mark.processes
def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    made(path := path_of("log_locked", settings))
    code = (
        "import time\nfrom tastemaker.settings import Settings\n"
        "from tastemaker.workflows.faults.locked_stores import log_locked\n"
        f"with log_locked(Settings(home='{tmp_path}')): print(flush=True), time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        writing = begun(lambda: insert(path))
        holder.kill()
    writing.result(UNLOCK_SECONDS)


@pytest.mark.parametrize(("name", "lock"), FILES)
def test_a_missing_file_is_named(name: str, lock: Lock, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(TastemakerError, match="does not exist"), lock(settings):
        pass
    made(path_of(name, settings), journal="delete")
    with pytest.raises(TastemakerError, match="not in write-ahead mode"), lock(settings):
        pass
