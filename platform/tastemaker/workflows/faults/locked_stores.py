"""Databases that can't be used: locked by a connection, which ends with the simulator, however it ends."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import make_url

from tastemaker.errors import TastemakerError
from tastemaker.event_log.spool_file import FILE_NAME
from tastemaker.features.online import PROJECT, USER_VIEW, feast_config
from tastemaker.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

WAIT_SECONDS = 30.0
"""How long the lock of a file is waited for."""
RETRY_SECONDS = 0.002
ALL_LOCKS, WRITE_LOCK = (120, 8), (120, 1)
"""The first byte of the locks in SQLite's shared-memory file and their number, and those of writers."""
PAUSE_SECONDS = 2.0
"""How long Redis pauses after a command; it is paused again at once."""
METADATA_TABLES: Final = ("alert_states", "alert_outbox", "watch_leases")


@contextmanager
def log_locked(settings: Settings) -> Iterator[None]:
    """Let no process write the durable log's file within a block, so that records wait in memory."""
    with _file_locked(settings.spool / FILE_NAME, WRITE_LOCK):
        yield


@contextmanager
def metadata_locked(settings: Settings) -> Iterator[None]:
    """Lock what `tastemaker watch` keeps in the metadata database within a block."""
    url = make_url(settings.metadata_url)
    if url.get_backend_name() == "sqlite":
        with _file_locked(Path(url.database or "")):
            yield
    else:
        with _tables_locked(settings.metadata_url, METADATA_TABLES):
            yield


@contextmanager
def features_locked(settings: Settings) -> Iterator[None]:
    """Lock the online feature store within a block, so that reads of features wait."""
    kind, store = settings.online_store.type, feast_config(settings)["online_store"]
    if kind == "sqlite":
        with _file_locked(Path(store["path"])):
            yield
    elif kind == "postgres":
        assert settings.online_store.url is not None  # `feast_config` has checked it
        with _tables_locked(settings.online_store.url, [f"{PROJECT}_{USER_VIEW}"]):
            yield
    else:
        import redis

        assert settings.online_store.url is not None
        with closing(redis.Redis.from_url(settings.online_store.url)) as client, _paused(client):
            yield


@contextmanager
def _file_locked(path: Path, locks: tuple[int, int] = ALL_LOCKS) -> Iterator[None]:
    """Let no other connection write a SQLite file in write-ahead mode, nor read it if all locks are taken.

    Reference: https://www.sqlite.org/walformat.html, section 2.3: readers and writers lock bytes of the
    shared-memory file. `BEGIN EXCLUSIVE` would not stop readers.

    Args:
        path: The file.
        locks: The first byte to lock, and how many.

    Raises:
        TastemakerError: The file is not there, is not in write-ahead mode, or is in use for too long.
    """
    if not path.exists():
        raise TastemakerError(f"{path} can't be locked: it does not exist", fix="run the service first")
    with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")  # makes the shared-memory file
        shared = path.with_name(f"{path.name}-shm")
        if not shared.exists():
            raise TastemakerError(
                f"{path} can't be locked: it is not in write-ahead mode", fix="use another file"
            )
        with shared.open("r+b") as file:
            _lock_bytes(file.fileno(), locks, path)
            yield


def _lock_bytes(file: int, locks: tuple[int, int], path: Path) -> None:
    """Lock the bytes until the file is closed. Raises TastemakerError if that takes too long."""
    wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, *locks, 0)
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            # of this open file alone: closing another connection of this process does not end it
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
            return
        except OSError as error:
            if time.monotonic() > give_up:
                raise TastemakerError(f"{path} can't be locked: {error.strerror}", fix="try again") from error
        time.sleep(RETRY_SECONDS)


@contextmanager
def _tables_locked(url: str, tables: Sequence[str]) -> Iterator[None]:
    """Lock tables of a Postgres. `open_engine` would make the metadata tables in a feature store, too."""
    import psycopg2
    from psycopg2 import sql

    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    names = sql.SQL(", ").join(map(sql.Identifier, tables))
    try:
        with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
            yield
    except psycopg2.Error as error:
        raise TastemakerError(
            f"{', '.join(tables)} can't be locked: {str(error).strip()}",
            fix="start the database and fill it first",
        ) from None  # the cause may quote the address with its password


@contextmanager
def _paused(client: Redis) -> Iterator[None]:
    """Pause a Redis again and again; a pause ends by itself."""
    ended, milliseconds = threading.Event(), int(PAUSE_SECONDS * 1_000)
    client.client_pause(milliseconds)

    def pause_again() -> None:
        while not ended.is_set():
            client.client_pause(milliseconds)  # it waits for the end of the pause before

    pausing = threading.Thread(target=pause_again, daemon=True)
    pausing.start()
    try:
        yield
    finally:
        ended.set()
        pausing.join()
