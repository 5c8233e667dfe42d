"""The durable request-response log of a serving process, before `drain` moves it into the lake.

SQLite in WAL mode with `synchronous=FULL`: what is committed survives kill -9 and a power cut. One thread
commits; whatever is offered while one commit runs goes into the next (group commit), so that a full disk
sync is shared by many requests. Several processes may append to one spool, and drains may run meanwhile.

Two promises to choose from:

- `append(record)` returns a future that is done when the record is on disk.
- `offer(record)` returns at once. An answer must not wait for a disk: kill -9 within the few milliseconds
  between the answer and the commit loses that record. When `capacity` records wait, the next is refused.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.logs.records import Record

FILE_NAME = "requests.db"
CAPACITY = 50_000
"""Records that may wait for the disk (about 1 kB each)."""
BUSY_SECONDS = 10.0
_GROUP = 5_000
_PAUSE_SECONDS = 0.005
"""Time for a group to gather: without it, a busy server would sync for each request."""
_CREATE = """
    CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS spool (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL);
    INSERT OR IGNORE INTO spool VALUES (1, lower(hex(randomblob(8))));
"""


_Waiting = tuple[Record, Future[None] | None]


class Counts(NamedTuple):
    """What became of the records of this process."""

    written: int
    refused: int
    """There was no room to wait in."""
    failed: int
    """The disk refused them."""


class SpoolError(TastemakerError):
    """The spool can't take a record."""


class Spool:
    """Appends records from any thread. `close` commits what still waits."""

    def __init__(self, folder: Path, *, capacity: int = CAPACITY) -> None:
        self.path = folder / FILE_NAME
        self.on_commit: Callable[[], None] | None = None
        """Called by the committing thread once a group is settled, for better or worse."""
        self._capacity = capacity
        self._waiting: deque[_Waiting] = deque()
        self._arrived = threading.Condition()
        self._closing = False
        self._written = self._refused = self._failed = 0
        folder.mkdir(parents=True, exist_ok=True)
        with connected(self.path) as connection:
            connection.executescript(_CREATE)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counts:
        """What became of the records so far."""
        return Counts(self._written, self._refused, self._failed)

    @property
    def waiting(self) -> int:
        """Records that are not on disk yet."""
        return len(self._waiting)

    def offer(self, record: Record) -> bool:
        """Have it written soon. False, and counted, if too many wait or the spool is closed."""
        return self._enqueue(record, None)

    def append(self, record: Record) -> Future[None]:
        """Done when the record is on disk; fails with SpoolError if it can't be put there."""
        done: Future[None] = Future()
        if not self._enqueue(record, done):
            done.set_exception(SpoolError(f"{self._capacity} records wait for the disk", fix="retry later"))
        return done

    def close(self) -> None:
        """Commit what waits, and stop."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        self._thread.join()

    def _enqueue(self, record: Record, done: Future[None] | None) -> bool:
        with self._arrived:
            if self._closing or len(self._waiting) >= self._capacity:
                self._refused += 1
                return False
            self._waiting.append((record, done))
            if len(self._waiting) == 1:
                self._arrived.notify()
            return True

    def _run(self) -> None:
        with connected(self.path) as connection:
            while group := self._next_group():
                self._commit(connection, group)

    def _next_group(self) -> list[_Waiting]:
        """What waits, oldest first; nothing once the spool is closed and empty."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._closing)
            closing = self._closing
        if not closing:
            time.sleep(_PAUSE_SECONDS)
        return [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]

    def _commit(self, connection: sqlite3.Connection, group: list[_Waiting]) -> None:
        error: SpoolError | None = None
        try:
            rows = [(msgspec.msgpack.encode(record),) for record, _ in group]
            with connection:
                connection.executemany("INSERT INTO records (record) VALUES (?)", rows)
            self._written += len(group)
        except Exception as caught:  # whatever it is, the thread must live
            error = SpoolError(
                f"{self.path} can't be written: {caught}", fix="free the disk or mend its permissions"
            )
            self._failed += len(group)
        if self.on_commit is not None:
            self.on_commit()
        for _, done in group:
            if done is not None:
                done.set_result(None) if error is None else done.set_exception(error)


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose commits are on disk when they return."""
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        yield connection


class Pending(NamedTuple):
    """The oldest committed records of a spool."""

    spool: str
    """The spool's own id: a new file numbers from 1 again."""
    first: int
    last: int
    """The numbers of the first and the last record."""
    records: list[Record]


def read(path: Path, limit: int) -> Pending | None:
    """The oldest committed records, at most `limit`; None if there are none."""
    if not path.exists():
        return None
    with connected(path) as connection:
        (spool,) = connection.execute("SELECT id FROM spool").fetchone()
        oldest = "SELECT number, record FROM records ORDER BY number LIMIT ?"
        rows = connection.execute(oldest, (limit,)).fetchall()
    if not rows:
        return None
    decode = msgspec.msgpack.Decoder(Record).decode
    return Pending(spool, rows[0][0], rows[-1][0], [decode(record) for _, record in rows])


def forget(path: Path, last: int) -> None:
    """Delete the records numbered up to and including `last`."""
    with connected(path) as connection, connection:
        connection.execute("DELETE FROM records WHERE number <= ?", (last,))
