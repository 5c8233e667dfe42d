"""Databases that can't be used: locked by a connection, which ends with the simulator, however it ends."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import make_url, text

from tastemaker.errors import TastemakerError
from tastemaker.event_log.spool_file import FILE_NAME
from tastemaker.features.online import PROJECT, USER_VIEW, feast_config
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

if TYPE_CHECKING:
    from redis import Redis

WAIT_SECONDS = 30.0
"""How long the lock of a file is waited for."""
PAUSE_SECONDS = 5.0
"""How long Redis pauses after a command; it is paused again at once."""
METADATA_TABLES: Final = ("alert_states", "alert_outbox", "watch_leases")


@contextmanager
def log_locked(settings: Settings) -> Iterator[None]:
    """Lock the durable log's file within a block, so that records wait in memory."""
    with _file_locked(settings.spool / FILE_NAME):
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
def _file_locked(path: Path) -> Iterator[None]:
    """Let no other connection write a SQLite file, nor read it unless it is in write-ahead mode."""
    if not path.exists():
        raise TastemakerError(f"{path} can't be locked: it does not exist", fix="run the service first")
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
    except sqlite3.OperationalError as error:
        raise TastemakerError(f"{path} can't be locked: {error}", fix="try again") from error


@contextmanager
def _tables_locked(url: str, tables: Sequence[str]) -> Iterator[None]:
    engine = open_engine(url)
    try:
        with engine.connect() as connection, connection.begin():
            names = ", ".join(map(engine.dialect.identifier_preparer.quote, tables))
            connection.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))
            yield
    finally:
        engine.dispose()


@contextmanager
def _paused(client: Redis) -> Iterator[None]:
    """Pause a Redis again and again; a pause ends by itself."""
    ended = threading.Event()

    def pause() -> None:
        while not ended.is_set():  # the next command waits until the pause before has ended
            client.client_pause(int(PAUSE_SECONDS * 1_000))

    pausing = threading.Thread(target=pause, daemon=True)
    pausing.start()
    try:
        yield
    finally:
        ended.set()
        pausing.join()
