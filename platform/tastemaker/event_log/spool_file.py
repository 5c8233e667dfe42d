"""The spool's file: SQLite in WAL mode, one row per record, numbered in the order of arrival.

A record's kind and key have columns of their own: a record whose key exists is not stored again, and a
request is found by its id without reading the others.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import (
    Entry,
    ExposureRecord,
    FeedbackRecord,
    ItemRecord,
    Record,
    ShadowRecord,
    UserRecord,
)
from tastemaker.util.gc_paused import gc_paused
from tastemaker.util.os_errors import NO_ROOM
from tastemaker.util.sqlite_rows import insert_rows
from tastemaker.util.sqlite_wal import use_wal

FILE_NAME = "requests.db"
BUSY_SECONDS = 10.0
_PROBE_BYTES = 128 << 10
"""More bytes than SQLite needs to open a spool."""
_KEYS: dict[type[Entry], str | None] = {
    Record: "request_id",
    ShadowRecord: "request_id",
    ExposureRecord: "exposure_id",
    FeedbackRecord: "event_id",
    ItemRecord: None,
    UserRecord: None,
}
KINDS: dict[str, type[Entry]] = {
    "request": Record,
    "shadow": ShadowRecord,
    "exposure": ExposureRecord,
    "feedback": FeedbackRecord,
    "item": ItemRecord,
    "user": UserRecord,
}
NAMES: dict[type[Any], str] = {kind: name for name, kind in KINDS.items()}
_DECODERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    name: msgspec.msgpack.Decoder(kind) for name, kind in KINDS.items()
}
_CREATE = """
    CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS spool (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL);
    INSERT OR IGNORE INTO spool VALUES (1, lower(hex(randomblob(8))));
"""
_COLUMNS = {
    "kind": "TEXT NOT NULL DEFAULT 'request'",
    "key": "TEXT",
    "stored_at": "REAL NOT NULL DEFAULT 0",
}
_INDEXES = (
    "CREATE UNIQUE INDEX IF NOT EXISTS records_key ON records (kind, key)",
    "CREATE INDEX IF NOT EXISTS records_feedback ON records (kind, number) WHERE kind = 'feedback'",
)
"""The second one is for `recent`, which looks for new feedback every second among many more requests."""
_INSERT = "INSERT OR IGNORE INTO records (kind, key, stored_at, record)"
_BACKLOG = """
    SELECT first, last, (SELECT stored_at FROM records WHERE number = first), (pages - unused) * page_bytes
    FROM (SELECT (SELECT min(number) FROM records) AS first, (SELECT max(number) FROM records) AS last),
        (SELECT page_count AS pages FROM pragma_page_count),
        (SELECT freelist_count AS unused FROM pragma_freelist_count),
        (SELECT page_size AS page_bytes FROM pragma_page_size)
"""
"""A single statement, so that concurrent inserts and deletes do not show. The smallest and the largest number
are queried apart: for both in one query, SQLite reads the whole table."""
_OLDEST = "SELECT number, kind, record FROM records ORDER BY number LIMIT ?"
_NEWEST = """
    SELECT number, stored_at, record FROM records
    WHERE (? IS NULL OR number < ?) AND +kind = ? ORDER BY number DESC LIMIT ?
"""
_encode = msgspec.msgpack.Encoder().encode

Kind = TypeVar("Kind", bound=Entry)
Row = tuple[str, str | None, float, bytes]
"""A record as it is inserted: kind, key, time, encoded record."""


class SpoolError(TastemakerError):
    """The spool can't store a record."""


class NoRoom(SpoolError):
    """The disk has no room for the spool's file now. The file itself is not damaged."""


class Backlog(NamedTuple):
    """Size of the part of a spool that is not drained yet."""

    records: int
    bytes: int
    oldest_seconds: float
    """The age of the oldest record; 0 if there is none."""


class Pending(NamedTuple):
    """The oldest committed records of a spool."""

    spool: str
    """The spool's own id: a new file numbers from 1 again."""
    first: int
    last: int
    """The numbers of the first and the last record."""
    records: list[Entry]

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Return the records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection whose commits are on disk when they return."""
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        use_wal(connection, BUSY_SECONDS)
        connection.execute("PRAGMA synchronous=FULL")
        yield connection


@contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Hold a file open, if there is one: each time that its last connection closes, SQLite cleans up."""
    with ExitStack() as opened:
        if path.exists():
            with suppress(sqlite3.Error):  # who reads or writes the file says what is wrong with it
                opened.enter_context(connected(path))
        yield


def create(path: Path) -> None:
    """Create the file, or add the columns that a file of an earlier release lacks.

    Raises:
        NoRoom: The disk is full.
        SpoolError: The file can't be created or read.
    """
    try:
        _create(path)
    except (OSError, sqlite3.Error) as error:
        if _is_full(path, error):
            raise NoRoom(f"{path} can't be opened: the disk is full", fix="free the disk") from error
        fix = "correct its permissions, or move the file away if it is not a spool"
        raise SpoolError(f"{path} can't be opened: {error}", fix=fix) from error


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with connected(path) as connection:
        connection.executescript(f"BEGIN IMMEDIATE; {_CREATE}")  # other processes see all of it or nothing
        present = {row[1] for row in connection.execute("PRAGMA table_info(records)")}
        for name, kind in _COLUMNS.items():
            if name not in present:
                connection.execute(f"ALTER TABLE records ADD COLUMN {name} {kind}")
        for index in _INDEXES:
            connection.execute(index)
        connection.commit()


def _is_full(path: Path, error: OSError | sqlite3.Error) -> bool:
    """Return whether the file could not be opened only because the disk is full."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return code == sqlite3.SQLITE_FULL
    try:  # for these two codes SQLite does not give the reason
        if path.exists():
            path.open("r+b").close()
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as refusal:
        return refusal.errno in NO_ROOM
    return False


def rows_of(records: Iterable[Entry]) -> list[Row]:
    """Return rows to insert, with the current time."""
    now = time.time()
    return [(name_of(one), key_of(one), now, _encode(one)) for one in records]


def insert_each(connection: sqlite3.Connection, calls: Sequence[list[Row]]) -> list[int]:
    """Insert the rows of several calls in a new transaction, and return how many of each were new.

    They are inserted together, and call by call, to be counted, only if not all are new.

    Args:
        connection: Without a transaction; the caller commits.
        calls: The rows of each call.
    """
    rows = [*chain.from_iterable(calls)]
    if insert(connection, rows) == len(rows):
        return list(map(len, calls))
    connection.rollback()
    return [insert(connection, some) for some in calls]


def insert(connection: sqlite3.Connection, rows: list[Row]) -> int:
    """Insert rows in the connection's transaction, and return how many were new.

    Args:
        connection: Of the spool's file; the caller commits.
        rows: What `rows_of` returns. One whose kind and key the spool has is left out.
    """
    return insert_rows(connection, _INSERT, rows)


def touch(connection: sqlite3.Connection) -> None:
    """Write without a change, in the connection's transaction, to test whether the disk accepts writes."""
    connection.execute("UPDATE spool SET id = id")


def read(path: Path, limit: int) -> Pending | None:
    """Return the oldest committed records; None if there are none.

    Args:
        path: The spool's file; there may be none.
        limit: The most records to return.

    Raises:
        SpoolError: The file can't be opened.
    """
    if not path.exists():
        return None
    create(path)
    with connected(path) as connection, gc_paused():  # no garbage is made, the search for it takes half
        (spool,) = connection.execute("SELECT id FROM spool").fetchone()
        rows = connection.execute(_OLDEST, (limit,)).fetchall()
        records = [_DECODERS[kind].decode(record) for _, kind, record in rows]
    return Pending(spool, rows[0][0], rows[-1][0], records) if rows else None


def find_request(path: Path, request_id: str) -> Record | None:
    """Return the record of a request; None if it is not in the spool.

    Args:
        path: The spool's file; there may be none.
        request_id: Its id, known or not.

    Raises:
        SpoolError: The file can't be read.
    """
    if not path.exists():
        return None
    wanted = "SELECT record FROM records WHERE kind = 'request' AND key = ?"
    try:
        with connected(path) as connection:
            row = connection.execute(wanted, (request_id,)).fetchone()
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    return None if row is None else _DECODERS["request"].decode(row[0])


def newest(path: Path, kind: type[Kind], block: int = 1_000) -> Generator[tuple[float, Kind], None, None]:
    """Yield the records of one kind in a spool, the last stored first, each with the time of its storage.

    Args:
        path: The spool's file; there may be none.
        kind: The class of the records.
        block: Records that are read at once.

    Yields:
        Seconds since 1970 UTC at which the record was stored, and the record.

    Raises:
        SpoolError: The file can't be read.
    """
    if not path.exists():
        return
    before: int | None = None
    name = NAMES[kind]
    try:
        with connected(path) as connection:
            while rows := connection.execute(_NEWEST, (before, before, name, block)).fetchall():
                before = rows[-1][0]
                for _, stored_at, record in rows:
                    yield stored_at, _DECODERS[name].decode(record)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def keys(path: Path, kind: type[Entry]) -> list[str]:
    """Return the keys of the records of one kind in a spool; the records themselves are not read.

    Args:
        path: The spool's file; there may be none.
        kind: A class of records that have keys, such as requests.

    Raises:
        SpoolError: The file can't be read.
    """
    if not path.exists():
        return []
    wanted = "SELECT key FROM records WHERE kind = ? AND key IS NOT NULL"
    try:
        with connected(path) as connection:
            return [key for (key,) in connection.execute(wanted, (NAMES[kind],))]
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: sqlite3.Error) -> SpoolError:
    return SpoolError(f"{path} can't be read: {error}", fix="free the disk, or restore the file")


class About(NamedTuple):
    """A record about a user."""

    number: int
    request_id: str | None


def rows_about_user(path: Path, user_ids: Collection[str], request_ids: Collection[str] = ()) -> list[About]:
    """Return the records that name one of these users, also as a unit, or one of these requests.

    Args:
        path: Of the spool's file.
        user_ids: All ids of the user.
        request_ids: Requests of the user.
    """
    if not path.exists():
        return []
    create(path)
    with connected(path) as connection:
        rows = connection.execute("SELECT number, kind, record FROM records ORDER BY number").fetchall()
    found = []
    for number, kind, record in rows:
        decoded = _DECODERS[kind].decode(record)
        request_id = getattr(decoded, "request_id", None)
        unit = getattr(getattr(decoded, "assignment", None), "unit", None)
        theirs = getattr(decoded, "user_id", None) in user_ids or unit in user_ids
        if theirs or request_id in request_ids:
            found.append(About(number, request_id))
    return found


def forget(path: Path, last: int) -> None:
    """Delete the oldest records, such as those that were copied elsewhere.

    Args:
        path: The spool's file.
        last: The number of the last record that is deleted.
    """
    with connected(path) as connection, connection:
        connection.execute("DELETE FROM records WHERE number <= ?", (last,))


def measure(connection: sqlite3.Connection) -> Backlog:
    """Return the backlog. Numbers are consecutive and deleted from the front, so nothing is counted."""
    first, last, stored_at, size = connection.execute(_BACKLOG).fetchone()
    if first is None:
        return Backlog(0, size, 0.0)
    return Backlog(last - first + 1, size, max(0.0, time.time() - stored_at))


def name_of(record: Entry) -> str:
    """Return a record's kind, a key of KINDS."""
    return NAMES[type(record)]


def logged_at(record: Entry) -> float:
    """Return a record's time by our clock, seconds since 1970 UTC."""
    return record.occurred_at if isinstance(record, Record | ShadowRecord) else record.received_at


def key_of(record: Entry) -> str | None:
    """Return the key under which the record is stored once; None for kinds without one."""
    name = _KEYS[type(record)]
    return None if name is None else getattr(record, name)
