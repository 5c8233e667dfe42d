"""The durable log of a serving process, from which `drain` moves records to a sink.

SQLite in WAL mode with `synchronous=FULL`: committed records survive kill -9 and a power cut. One thread
commits; records that arrive during a commit go into the next one (group commit), so that many requests share
a disk sync. Several processes may append to one spool, also during a drain.

Two guarantees to choose from:

- `append(records)` returns a future that is done when the records are on disk; `stored` does the same for an
  event loop, where a whole group is acknowledged with one wake-up.
- `offer(records)` returns immediately, since an answer must not wait for a disk: kill -9 within the few
  milliseconds between the answer and the commit loses that record. Offered records wait while the disk fails,
  while the file can't be created for want of room, and while the committing thread restarts after an error.

The spool is bounded in memory (`capacity`, records) and on disk (`max_bytes`). Answers are not sent again, so
offered records may use all of it; appended records can be sent again, and may use DURABLE_SHARE of it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple, Self

from tastemaker.event_log.records import Entry
from tastemaker.event_log.spool_file import (
    FILE_NAME,
    Backlog,
    NoRoom,
    Row,
    SpoolError,
    connected,
    create,
    forget,
    insert_each,
    measure,
    read,
    rows_of,
    touch,
)
from tastemaker.event_log.spool_results import Counts, Done, Lost, Settled, SpoolFull, Stored, settle
from tastemaker.util.supervised_thread import SupervisedThread

__all__ = [
    "FILE_NAME",
    "Backlog",
    "Counts",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "connected",
    "forget",
    "read",
]

CAPACITY = 50_000
"""The most records that wait for the disk (about 1 kB each)."""
MAX_BYTES = 1 << 30
"""The largest file before records are refused: about a million requests."""
DURABLE_SHARE = 0.8
RETRY_SECONDS = 1.0
"""Between attempts on a disk that fails, and between checks of a full spool."""
DRAIN_SECONDS = 10.0
"""When a caller should retry if the file is full: a drain has to make room."""
_GROUP = 5_000
_PAUSE_SECONDS = 0.001
"""Time in which records of one commit are collected: without it, a busy server syncs per request."""
_OFFERED_SECONDS = 0.005
"""The same while no caller waits: fewer commits leave more of the processor for answers."""

logger = logging.getLogger("tastemaker.event_log")


class _Waiting(NamedTuple):
    records: Sequence[Entry]
    done: Done | None
    """None for an offered record."""


class Spool:
    """Durable queue of records for any thread. `close` commits the records that wait."""

    def __init__(self, folder: Path, *, capacity: int = CAPACITY, max_bytes: int = MAX_BYTES) -> None:
        """Open the spool in a folder.

        Args:
            folder: Where the file is, or will be.
            capacity: The most records that wait in memory.
            max_bytes: The largest file.

        Raises:
            SpoolError: The file can't be opened for another reason than a full disk.
        """
        self.path = folder / FILE_NAME
        self.capacity, self.max_bytes = capacity, max_bytes
        self._waiting: deque[_Waiting] = deque()
        self._group: list[_Waiting] = []
        """The part of them that the thread is committing."""
        self._arrived = threading.Condition()
        self._closing = self._suffers = self._has_caller = False
        self._n_waiting = self._written = self._refused = self._failed = 0
        self._lost_full = self._lost_failed = 0
        self._backlog = Backlog(0, 0, 0.0)
        try:
            create(self.path)
        except NoRoom as error:
            self._note(error)
        self.backlog()
        self._thread = SupervisedThread(self._work, name="log")
        self._thread.start()

    @property
    def counts(self) -> Counts:
        """Number of records so far, by outcome."""
        return Counts(self._written, self._refused, self._failed)

    @property
    def lost(self) -> Lost:
        """Number of lost records so far, by reason."""
        return Lost(self._lost_full, self._lost_failed)

    @property
    def waiting(self) -> int:
        """Number of records that are not on disk yet."""
        return self._n_waiting

    @property
    def trouble(self) -> str | None:
        """The reason why feedback is refused now, in words; None if it is accepted."""
        if self._suffers:
            return "the log can't be written"
        if self._thread.trouble is not None:
            return self._thread.trouble
        return "the log is full" if self._is_full else None

    @property
    def _is_full(self) -> bool:
        """Whether appended records are refused because of the file's size."""
        return self._backlog.bytes >= DURABLE_SHARE * self.max_bytes

    def backlog(self) -> Backlog:
        """Return the backlog of all processes that share the file; the last known one if it can't be read."""
        with suppress(sqlite3.Error), connected(self.path) as connection:
            self._measure(connection)
        return self._backlog

    def offer(self, *records: Entry) -> int:
        """Queue records, and return how many there was room for: the first ones.

        The others are counted, and so are all of them once the spool is closed.
        """
        with self._arrived:
            full = self._closing or self._backlog.bytes >= self.max_bytes
            room = 0 if full else max(1, self.capacity) - self._n_waiting
            queued = records[: max(0, room)]
            if queued:
                self._queue(_Waiting(queued, None))
            self._refused += len(records) - len(queued)
            self._lost_full += len(records) - len(queued)
        return len(queued)

    def append(self, *records: Entry) -> Future[Stored]:
        """Return a future that is done when the records are on disk, or fails with SpoolError."""
        done: Future[Stored] = Future()
        if (refusal := self._enqueue(records, done)) is not None:
            done.set_exception(refusal)
        return done

    async def stored(self, records: Sequence[Entry]) -> Stored:
        """Return when the records are on disk.

        Raises:
            SpoolFull: There is no room now.
            SpoolError: The disk fails.
        """
        done = asyncio.get_running_loop().create_future()
        if (refusal := self._enqueue(records, done)) is not None:
            raise refusal
        outcome: Stored = await done
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit the records that wait, and stop."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        self._thread.join()

    def _enqueue(self, records: Sequence[Entry], done: Done) -> SpoolError | None:
        """Queue records that a caller waits for, all or none. Return why none of them were."""
        with self._arrived:
            refusal = self._refusal(len(records))
            if refusal is None:
                self._queue(_Waiting(records, done))
            else:
                self._refused += len(records)
            return refusal

    def _queue(self, entry: _Waiting) -> None:
        """Add an entry, and wake the thread if it waits. Called with the lock."""
        self._waiting.append(entry)
        self._n_waiting += len(entry.records)
        is_first_caller = entry.done is not None and not self._has_caller
        self._has_caller |= is_first_caller
        if len(self._waiting) == 1 or is_first_caller:
            self._arrived.notify()

    def _refusal(self, n: int) -> SpoolError | None:
        """Return why n records that a caller waits for are refused; None if they are not."""
        if self._closing:
            return SpoolError("the log is closed", fix="ask another process")
        if self._n_waiting + n > max(1, DURABLE_SHARE * self.capacity):
            problem = f"{self._n_waiting} records wait for the disk, at most {self.capacity} may"
            return SpoolFull(problem, retry_seconds=RETRY_SECONDS)
        if self._is_full:
            problem = f"the log holds {self._backlog.bytes} bytes, at most {self.max_bytes} are allowed"
            return SpoolFull(problem, retry_seconds=DRAIN_SECONDS)
        return None

    def _work(self) -> None:
        """Run the thread. If an error ends it, waiting callers get that error, and offered records stay."""
        try:
            self._run()
        except BaseException as caught:
            error = SpoolError(f"the log failed: {type(caught).__name__}", fix="send it again")
            group, self._group = self._group, []
            settle(self._put_back(group, error))
            raise

    def _run(self) -> None:
        with ExitStack() as opened:
            while (connection := self._open(opened)) is None:
                if self._closing and not self._n_waiting:
                    return
                self._pause()
            while True:
                closing, group = self._next_group()
                if (group or self._suffers) and not self._commit(connection, group):
                    self._pause()
                if closing and not group:
                    return
                if not group:
                    self._measure(connection)
                self._thread.succeeded()

    def _open(self, opened: ExitStack) -> sqlite3.Connection | None:
        """Open the file; return None, after failing the waiting callers, if it can't be opened now."""
        try:
            create(self.path)
            return opened.enter_context(connected(self.path))
        except (SpoolError, sqlite3.Error) as caught:
            settle(self._put_back([], self._refusing(caught)))
            return None

    def _pause(self) -> None:
        """Wait before another attempt on a disk that fails."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._closing, timeout=RETRY_SECONDS)

    def _next_group(self) -> tuple[bool, list[_Waiting]]:
        """Return whether the spool is closing, and the oldest waiting records.

        The list is empty when the spool is closed and empty, and when it is time to check for room.
        """
        timeout = None if self.trouble is None else RETRY_SECONDS
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._closing, timeout=timeout)
            if self._waiting:
                self._arrived.wait_for(lambda: self._has_caller or self._closing, timeout=_OFFERED_SECONDS)
            closing, has_caller = self._closing, self._has_caller
        if has_caller and not closing:
            time.sleep(_PAUSE_SECONDS)
        self._has_caller = False
        group = self._group = []
        size = 0
        while self._waiting and size < _GROUP:
            group.append(self._waiting.popleft())
            size += len(group[-1].records)
        return closing, group

    def _commit(self, connection: sqlite3.Connection, group: list[_Waiting]) -> bool:
        """Commit a group and resolve its futures. Return False if the disk fails."""
        settled: list[Settled] = []
        encoded = [each for entry in group for each in self._encoded(entry, settled)]
        works = True
        try:
            with connection:
                new = insert_each(connection, [rows for _, rows in encoded])
                if self._suffers:
                    touch(connection)
        except BaseException as caught:  # of any kind: waiting callers must get an answer
            settled += self._put_back([entry for entry, _ in encoded], self._refusing(caught))
            works = False
        else:
            self._note(None)
            self._written += sum(new)
            self._leave(sum(len(rows) for _, rows in encoded))
            settled += [
                Settled(entry.done, Stored(n, len(rows) - n))
                for (entry, rows), n in zip(encoded, new, strict=True)
                if entry.done is not None
            ]
        self._group = []
        try:
            self._measure(connection)  # before callers are answered and send more
        finally:
            settle(settled)
        return works

    def _measure(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            was_full, self._backlog = self._is_full, measure(connection)
            if self._is_full and not was_full:
                logger.warning("%s is full: feedback is refused until it is shipped", self.path)
            elif was_full and not self._is_full:
                logger.info("%s has room again", self.path)

    def _encoded(self, entry: _Waiting, settled: list[Settled]) -> Iterator[tuple[_Waiting, list[Row]]]:
        """Yield the entry and its rows.

        What can't be encoded fails alone, and the rest is written: records that were offered together are
        independent of each other, and those of a call are stored all or none.
        """
        try:
            rows = rows_of(entry.records)
        except Exception as caught:
            if entry.done is None and len(entry.records) > 1:
                for one in entry.records:
                    yield from self._encoded(_Waiting((one,), None), settled)
            else:
                self._fail(entry, SpoolError(f"a record can't be encoded: {caught}"), settled)
        else:
            yield entry, rows

    def _refusing(self, caught: BaseException) -> SpoolError:
        """Record that the disk fails, and return the error for waiting callers."""
        if not isinstance(caught, SpoolError):
            fix = "free the disk or correct its permissions"
            caught = SpoolError(f"{self.path} can't be written: {caught}", fix=fix)
        self._note(caught)
        return caught

    def _put_back(self, group: Sequence[_Waiting], error: SpoolError) -> list[Settled]:
        """Requeue offered records; fail all waiting callers, including those queued later."""
        with self._arrived:
            waiting, closing = [*group, *self._waiting], self._closing
            self._waiting = deque(entry for entry in waiting if entry.done is None and not closing)
        settled: list[Settled] = []
        for entry in waiting:
            if entry.done is not None or closing:
                self._fail(entry, error, settled)
        return settled

    def _note(self, error: SpoolError | None) -> None:
        """Remember whether the disk fails, and log a change."""
        if error is not None and not self._suffers:
            logger.warning("%s", error.problem)
        elif error is None and self._suffers:
            logger.info("%s is written again", self.path)
        self._suffers = error is not None

    def _fail(self, entry: _Waiting, error: SpoolError, settled: list[Settled]) -> None:
        self._failed += len(entry.records)
        self._leave(len(entry.records))
        if entry.done is None:
            self._lost_failed += len(entry.records)
        else:
            settled.append(Settled(entry.done, error))

    def _leave(self, n: int) -> None:
        with self._arrived:
            self._n_waiting -= n
