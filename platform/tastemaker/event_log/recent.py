"""Recent feedback of this machine, kept after it was drained from the spool.

A service excludes items that a user had or disliked as soon as the feedback arrives: see
`serving.ranking.recent_feedback`. Feedback in the spool is read there; a drain copies it into `recent.db`
before it deletes it. The file also keeps the user of each drained request, for feedback that names only its
request. Both tables are bounded: the oldest rows are deleted first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from tastemaker.event_log import spool_file
from tastemaker.event_log.records import IMPRESSION, FeedbackRecord, Record
from tastemaker.event_log.spool_file import Pending, SpoolError
from tastemaker.util.sqlite_rows import insert_rows
from tastemaker.util.sqlite_wal import remove_logs_of_missing, use_wal

FILE_NAME = "recent.db"
MAX_EVENTS = 1_000_000
"""The most events that are kept; each takes about 120 bytes."""
MAX_REQUESTS = 1_000_000
"""The most requests whose user is kept; each takes about 120 bytes."""
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
_PUT_EVENTS = """
    INSERT INTO events (spool, place, event_id, user_id, item_id, event_type, value, occurred_at, received_at)
"""
_PUT_REQUESTS = "INSERT OR IGNORE INTO requests (request_id, user_id, occurred_at)"
_BOUND = "DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - ?"
_KEPT = """
    SELECT number, event_id, user_id, item_id, event_type, value, occurred_at, received_at FROM events
    WHERE number > ? AND number <= ? AND NOT (spool = ? AND place <= ?) ORDER BY number LIMIT ?
"""
_LAST_KEPT = "SELECT coalesce(max(number), 0) FROM events"
_WAITING = """
    SELECT max(number), count(*), group_concat(hex(record), '') FROM (
        SELECT number, record FROM records WHERE kind = 'feedback' AND number > ? ORDER BY number LIMIT ?
    )
"""
"""All in one row: sqlite3 gives up Python's lock for each row, and has to wait to get it back."""
_ASKED = "SELECT record FROM records WHERE kind = 'request' AND key = ?"
_SPOOL = "SELECT id FROM spool"
_ANY_TABLE = "SELECT 1 FROM sqlite_master LIMIT 1"
"""On a full disk a file may have been created without its tables."""


class RecentEvent(msgspec.Struct, frozen=True, gc=False):
    """An event of a user and an item, decoded from `recent.db` or from a spool's feedback record."""

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


class _RequestUser(msgspec.Struct, frozen=True, gc=False):
    user_id: str


class ReadPosition(msgspec.Struct, frozen=True):
    """Position of a reader."""

    spool: str = ""
    """The spool's own id: a new file numbers from 1 again."""
    waiting: int = 0
    """The last record of the spool that was read."""
    kept: int = 0
    """The last row of `recent.db` that was read."""


_ARRAY_32 = b"\xdd"
"""The first byte of a MessagePack array, before its length in four bytes and its elements."""
_decode_events = msgspec.msgpack.Decoder(list[RecentEvent]).decode
_decode_user = msgspec.msgpack.Decoder(_RequestUser).decode


def keep(folder: Path, pending: Pending) -> None:
    """Copy records into `recent.db`; they are on disk when it returns. Repeated copies have no effect.

    Args:
        folder: The folder that holds the spool.
        pending: The records that a drain is about to delete from the spool.

    Raises:
        SpoolError: The file can't be written.
    """
    requests, feedback = pending.of(Record), pending.of(FeedbackRecord)
    if not requests and not feedback:
        return
    path = folder / FILE_NAME
    try:
        with _opened(path) as connection:
            asked = ((one.request_id, one.user_id, one.occurred_at) for one in requests)
            insert_rows(connection, _PUT_REQUESTS, asked)
            insert_rows(connection, _PUT_EVENTS, _rows(connection, pending, feedback))
            for table, most in (("events", MAX_EVENTS), ("requests", MAX_REQUESTS)):
                connection.execute(_BOUND.format(table=table), (most,))
    except sqlite3.Error as error:
        fix = "free the disk, or move the file away: items that users had lately may then be shown again"
        raise SpoolError(f"{path} can't be written: {error}", fix=fix) from error


def users_of_requests(folder: Path, request_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each of those requests that is in this machine's spool or was drained from it, and its user.

    Args:
        folder: The folder that holds the spool.
        request_ids: Ids of requests, known or not.

    Yields:
        Request id and user id, those in the spool first.

    Raises:
        sqlite3.Error: A file can't be read now. What was yielded before is right.
    """
    wanted = set(request_ids)
    for name, look_up in ((spool_file.FILE_NAME, _user_in_spool), (FILE_NAME, _user_kept)):
        if wanted and (folder / name).exists():
            with closing(sqlite3.connect(folder / name, timeout=BUSY_SECONDS)) as connection:
                if connection.execute(_ANY_TABLE).fetchone() is None:
                    continue
                found = {one: user_id for one in wanted if (user_id := look_up(connection, one))}
            yield from found.items()
            wanted -= found.keys()


def expire(folder: Path, before: float) -> int:
    """Delete old rows of `recent.db`, and return their number.

    Args:
        folder: The folder that holds the spool; without the file, nothing is deleted.
        before: Seconds since 1970 UTC. Events that were received earlier and requests that were made earlier
            are deleted.
    """
    if not (folder / FILE_NAME).exists():
        return 0
    with _opened(folder / FILE_NAME) as connection:
        gone = connection.execute("DELETE FROM events WHERE received_at < ?", (before,)).rowcount
        return gone + connection.execute("DELETE FROM requests WHERE occurred_at < ?", (before,)).rowcount


class Reader:
    """Reader of the events in a folder's spool and of those drained from it, each once. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._spool, self._kept = folder / spool_file.FILE_NAME, folder / FILE_NAME
        self._place = ReadPosition()
        self._connections: dict[Path, tuple[int, sqlite3.Connection]] = {}

    def read(self, limit: int) -> Iterator[list[RecentEvent]]:
        """Yield the events that are new since the last call; an event may come twice.

        Args:
            limit: The most events per list.

        Raises:
            sqlite3.Error: A file can't be read now. Events yielded before are not repeated.
        """
        before = self._place
        yield from self._read_spool(limit)
        # After the spool: a drain copies events to here before it deletes them there.
        yield from self._read_kept(limit, before)

    def rewind(self) -> None:
        """Start again at the oldest event."""
        self._place = ReadPosition()

    def close(self) -> None:
        """Close the files."""
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
        while True:
            last, n, records = connection.execute(_WAITING, (self._place.waiting, limit)).fetchone()
            if not n:
                return
            self._place = msgspec.structs.replace(self._place, waiting=last)
            yield _decode_events(_ARRAY_32 + n.to_bytes(4, "big") + bytes.fromhex(records))

    def _read_kept(self, limit: int, before: ReadPosition) -> Iterator[list[RecentEvent]]:
        """Yield drained events, without those read in the spool `before`, and skip those from now on."""
        connection = self._open(self._kept)
        if connection is None:
            return
        (last,) = connection.execute(_LAST_KEPT).fetchone()
        number, read = self._place.kept, (before.spool, before.waiting)
        while rows := connection.execute(_KEPT, (number, last, *read, limit)).fetchall():
            number = rows[-1][0]
            self._place = msgspec.structs.replace(self._place, kept=number)
            yield [_event_of(*row[1:]) for row in rows]
        self._place = msgspec.structs.replace(self._place, kept=max(last, number))

    def _open(self, path: Path) -> sqlite3.Connection | None:
        """Return a connection; None while the file or its tables are missing. Reopen a replaced file."""
        try:
            inode = path.stat().st_ino
        except OSError:
            return None
        opened, connection = self._connections.get(path, (None, None))
        if connection is None or opened != inode:
            if connection is not None:
                connection.close()
                del self._connections[path]
                if path == self._kept:  # a new file numbers from 1 again; the spool's has an id of its own
                    self._place = msgspec.structs.replace(self._place, kept=0)
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
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of events whose user is known."""
    for one in feedback:
        user_id = one.user_id
        if user_id is None and one.request_id is not None:
            user_id = _user_kept(connection, one.request_id)
        if user_id and one.event_type != IMPRESSION:  # seen once, it may be shown again
            what = (one.event_id, user_id, one.item_id, one.event_type, one.value)
            yield (pending.spool, pending.last, *what, one.occurred_at, one.received_at)


def _user_in_spool(connection: sqlite3.Connection, request_id: str) -> str | None:
    row = connection.execute(_ASKED, (request_id,)).fetchone()
    return None if row is None else _decode_user(row[0]).user_id


def _user_kept(connection: sqlite3.Connection, request_id: str) -> str | None:
    row = connection.execute("SELECT user_id FROM requests WHERE request_id = ?", (request_id,)).fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a transaction that is on disk when the block ends. Deleted rows are overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_logs_of_missing(path)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        use_wal(connection, BUSY_SECONDS)
        for pragma in ("synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_CREATE)
        with connection:
            yield connection
