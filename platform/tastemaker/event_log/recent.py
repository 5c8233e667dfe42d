"""Feedback that left the spool, kept on this machine until a version that was trained on it serves.

A service rules out what a user had or disliked from the moment of the feedback: see
`serving.ranking.recent_feedback`. While the feedback lies in the spool, it is read there; a drain copies it
into `recent.db` before it deletes it. The file also keeps who asked each drained request, for feedback that
names only its request. Both tables are bounded, and what is oldest leaves first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from tastemaker.event_log import spool_file
from tastemaker.event_log.records import IMPRESSION, FeedbackRecord, Record
from tastemaker.event_log.spool_file import Pending

FILE_NAME = "recent.db"
MAX_EVENTS = 1_000_000
"""Events that are kept, about 120 bytes each."""
MAX_REQUESTS = 1_000_000
"""Requests whose user is kept, about 120 bytes each."""
BUSY_SECONDS = 10.0
_CREATE = """
    BEGIN;
    CREATE TABLE IF NOT EXISTS events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, spool TEXT NOT NULL, place INTEGER NOT NULL,
        event_id TEXT NOT NULL, user_id TEXT NOT NULL, item_id TEXT NOT NULL, event_type TEXT NOT NULL,
        value REAL NOT NULL, occurred_at REAL NOT NULL, received_at REAL NOT NULL
    );
    CREATE TABLE IF NOT EXISTS requests (
        number INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL,
        occurred_at REAL NOT NULL
    );
    COMMIT;
"""
_PUT_EVENT = """
    INSERT INTO events (spool, place, event_id, user_id, item_id, event_type, value, occurred_at, received_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PUT_REQUEST = "INSERT OR IGNORE INTO requests (request_id, user_id, occurred_at) VALUES (?, ?, ?)"
_BOUND = "DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?"
_KEPT = """
    SELECT number, event_id, user_id, item_id, event_type, value, occurred_at, received_at FROM events
    WHERE number > ? AND NOT (spool = ? AND place <= ?) ORDER BY number LIMIT ?
"""
_WAITING = (
    "SELECT number, record FROM records WHERE number > ? AND +kind = 'feedback' ORDER BY number LIMIT ?"
)
_ASKED = "SELECT record FROM records WHERE kind = 'request' AND key = ?"
_SPOOL = "SELECT id FROM spool"
_ANY_TABLE = "SELECT 1 FROM sqlite_master LIMIT 1"
"""A full disk may have had room for a file but none for its tables."""


class RecentEvent(msgspec.Struct, frozen=True, gc=False):
    """What a user did with an item; decoded from a spool's feedback record, too."""

    event_id: str
    item_id: str
    event_type: str
    value: float
    occurred_at: float
    """Seconds since 1970 UTC, by the caller's clock."""
    received_at: float
    """Seconds since 1970 UTC, by our clock."""
    user_id: str | None = None
    request_id: str | None = None


class _Asker(msgspec.Struct, frozen=True, gc=False):
    user_id: str


class Place(msgspec.Struct, frozen=True):
    """How far a reader has read."""

    spool: str = ""
    """The spool's own id: a new file numbers from 1 again."""
    waiting: int = 0
    """The last record of the spool that was read."""
    kept: int = 0
    """The last row of `recent.db` that was read."""


_decode_event = msgspec.msgpack.Decoder(RecentEvent).decode
_decode_asker = msgspec.msgpack.Decoder(_Asker).decode


def keep(folder: Path, pending: Pending) -> None:
    """Keep what is about to leave the spool in `folder`, durably when it returns; again does no harm."""
    requests, feedback = pending.of(Record), pending.of(FeedbackRecord)
    if not requests and not feedback:
        return
    with _opened(folder / FILE_NAME) as connection:
        asked = [(one.request_id, one.user_id, one.occurred_at) for one in requests]
        connection.executemany(_PUT_REQUEST, asked)
        rows = _rows(connection, pending, feedback)
        connection.executemany(_PUT_EVENT, rows)
        for table, most in (("events", MAX_EVENTS), ("requests", MAX_REQUESTS)):
            connection.execute(_BOUND.format(table=table), (most,))


def askers(folder: Path, request_ids: Sequence[str]) -> dict[str, str]:
    """The users of those requests that this machine knows: in the spool, or drained from it.

    Raises sqlite3.Error while a file can't be read.
    """
    found: dict[str, str] = {}
    for name, look_up in ((spool_file.FILE_NAME, _asker_in_spool), (FILE_NAME, _asker_kept)):
        if len(found) < len(request_ids) and (folder / name).exists():
            with closing(sqlite3.connect(folder / name, timeout=BUSY_SECONDS)) as connection:
                for request_id in request_ids:
                    if request_id not in found and (user_id := look_up(connection, request_id)):
                        found[request_id] = user_id
    return found


def expire(folder: Path, before: float) -> int:
    """Delete what came before a time (seconds since 1970 UTC); returns how many rows."""
    if not (folder / FILE_NAME).exists():
        return 0
    with _opened(folder / FILE_NAME) as connection:
        gone = connection.execute("DELETE FROM events WHERE received_at < ?", (before,)).rowcount
        return gone + connection.execute("DELETE FROM requests WHERE occurred_at < ?", (before,)).rowcount


class Reader:
    """Reads each event once, from the spool in a folder and from what left it. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._spool, self._kept = folder / spool_file.FILE_NAME, folder / FILE_NAME
        self._place = Place()
        self._connections: dict[Path, tuple[int, sqlite3.Connection]] = {}

    def read(self, limit: int) -> Iterator[list[RecentEvent]]:
        """What is new since the last call, at most `limit` events at once; an event may come twice.

        Raises sqlite3.Error while a file can't be read; what was given by then is not given again.
        """
        before = self._place
        yield from self._read_spool(limit)
        # After the spool: what a drain deletes from there, it has put here before.
        connection, number = self._open(self._kept), before.kept
        while connection is not None:
            rows = connection.execute(_KEPT, (number, before.spool, before.waiting, limit)).fetchall()
            if not rows:
                return
            number = rows[-1][0]
            self._place = msgspec.structs.replace(self._place, kept=number)
            yield [_event_of(*row[1:]) for row in rows]

    def rewind(self) -> None:
        """Begin again with the oldest event."""
        self._place = Place()

    def close(self) -> None:
        """Let go of the files."""
        for _, connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _read_spool(self, limit: int) -> Iterator[list[RecentEvent]]:
        connection = self._open(self._spool)
        if connection is None:
            return
        (spool,) = connection.execute(_SPOOL).fetchone()
        if spool != self._place.spool:
            self._place = msgspec.structs.replace(self._place, spool=spool, waiting=0)
        while rows := connection.execute(_WAITING, (self._place.waiting, limit)).fetchall():
            self._place = msgspec.structs.replace(self._place, waiting=rows[-1][0])
            yield [_decode_event(record) for _, record in rows]

    def _open(self, path: Path) -> sqlite3.Connection | None:
        """None while there is no such file, or no table in it. A file that was replaced is opened anew."""
        try:
            inode = path.stat().st_ino
        except OSError:
            return None
        opened, connection = self._connections.get(path, (None, None))
        if connection is None or opened != inode:
            if connection is not None:
                connection.close()
                del self._connections[path]
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
            if connection.execute(_ANY_TABLE).fetchone() is None:
                connection.close()
                return None
            self._connections[path] = inode, connection
        return connection


def _event_of(
    event_id: str, user_id: str, item_id: str, event_type: str, value: float, occurred: float, received: float
) -> RecentEvent:
    return RecentEvent(event_id, item_id, event_type, value, occurred, received, user_id)


def _rows(
    connection: sqlite3.Connection, pending: Pending, feedback: Sequence[FeedbackRecord]
) -> list[tuple[object, ...]]:
    """The rows of events whose user is known."""
    rows: list[tuple[object, ...]] = []
    for one in feedback:
        user_id = one.user_id
        if user_id is None and one.request_id is not None:
            user_id = _asker_kept(connection, one.request_id)
        if user_id and one.event_type != IMPRESSION:  # seen once, it may be shown again
            what = (one.event_id, user_id, one.item_id, one.event_type, one.value)
            rows.append((pending.spool, pending.last, *what, one.occurred_at, one.received_at))
    return rows


def _asker_in_spool(connection: sqlite3.Connection, request_id: str) -> str | None:
    row = connection.execute(_ASKED, (request_id,)).fetchone()
    return None if row is None else _decode_asker(row[0]).user_id


def _asker_kept(connection: sqlite3.Connection, request_id: str) -> str | None:
    row = connection.execute("SELECT user_id FROM requests WHERE request_id = ?", (request_id,)).fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, on disk when the block ends. Deleted rows leave nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_CREATE)
        with connection:
            yield connection
