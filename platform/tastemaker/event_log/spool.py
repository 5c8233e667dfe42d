"""The durable log of a serving process, before `drain` moves it on.

SQLite in WAL mode with `synchronous=FULL`: what is committed survives kill -9 and a power cut. One thread
commits; whatever is offered while one commit runs goes into the next (group commit), so that a full disk
sync is shared by many requests. Several processes may append to one spool, and drains may run meanwhile.

Two promises to choose from:

- `append(records)` returns a future that is done when the records are on disk; `stored` is its like for an
  event loop, where a whole group is acknowledged with one wake-up.
- `offer(record)` returns at once. An answer must not wait for a disk: kill -9 within the few milliseconds
  between the answer and the commit loses that record. While the disk refuses, what was offered waits; so it
  does while there is no room for the file itself, which is tried again until there is, and while the thread
  that commits, ended by an error of any kind, begins again.

The spool is bounded in memory (`capacity`, records) and on disk (`max_bytes`). Nobody tells an answer
twice, so what is offered may use all of it; what is appended can be sent again, and gets DURABLE_SHARE.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence
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
    insert,
    measure,
    read,
    rows_of,
    touch,
)
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
"""Records that may wait for the disk (about 1 kB each)."""
MAX_BYTES = 1 << 30
"""What may lie on the disk before it is drained: about a million requests."""
DURABLE_SHARE = 0.8
RETRY_SECONDS = 1.0
"""Between two attempts on a disk that refuses, and between two looks at a full spool."""
DRAIN_SECONDS = 10.0
"""When to come back to a spool whose file is full: it is a drain that makes room."""
_GROUP = 5_000
_PAUSE_SECONDS = 0.005
"""Time for a group to gather: without it, a busy server would sync for each request."""

logger = logging.getLogger("tastemaker.event_log")


class Counts(NamedTuple):
    """What became of the records of this process."""

    written: int
    refused: int
    """There was no room to wait in."""
    failed: int
    """The disk refused them."""


class Lost(NamedTuple):
    """Records that were offered and will never be on disk. Whoever appends is told, and can send again."""

    full: int
    """There was no room to wait in."""
    failed: int
    """They can't be encoded, or the disk refused until the spool was closed."""


class Stored(NamedTuple):
    """What is on disk now."""

    accepted: int
    duplicates: int
    """Records that the spool knew by their keys."""


class SpoolFull(SpoolError):
    """The spool has no room for a record now."""

    def __init__(self, problem: str, *, retry_seconds: float) -> None:
        super().__init__(problem, fix="retry later")
        self.retry_seconds = retry_seconds


_Done = Future[Stored] | asyncio.Future[Stored]


class _Waiting(NamedTuple):
    records: Sequence[Entry]
    done: _Done | None
    """None: it was only offered."""


class _Settled(NamedTuple):
    done: _Done
    outcome: Stored | SpoolError


class Spool:
    """Appends records from any thread. `close` commits what still waits."""

    def __init__(self, folder: Path, *, capacity: int = CAPACITY, max_bytes: int = MAX_BYTES) -> None:
        """Raises SpoolError if the file can't be opened, but not while there is only no room for it."""
        self.path = folder / FILE_NAME
        self.capacity, self.max_bytes = capacity, max_bytes
        self._waiting: deque[_Waiting] = deque()
        self._group: list[_Waiting] = []
        """What the thread took of these and has not settled yet."""
        self._arrived = threading.Condition()
        self._closing = self._suffers = False
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
        """What became of the records so far."""
        return Counts(self._written, self._refused, self._failed)

    @property
    def lost(self) -> Lost:
        """Those of `counts` that nobody can send again."""
        return Lost(self._lost_full, self._lost_failed)

    @property
    def waiting(self) -> int:
        """Records that are not on disk yet."""
        return self._n_waiting

    @property
    def trouble(self) -> str | None:
        """In words, why it takes no feedback now; None while all is well."""
        if self._suffers:
            return "the log can't be written"
        if self._thread.trouble is not None:
            return self._thread.trouble
        return "the log is full" if self._is_full else None

    @property
    def _is_full(self) -> bool:
        """For what is appended."""
        return self._backlog.bytes >= DURABLE_SHARE * self.max_bytes

    def backlog(self) -> Backlog:
        """What lies in the file now, of all processes that share it; as last seen if it can't be read."""
        with suppress(sqlite3.Error), connected(self.path) as connection:
            self._look(connection)
        return self._backlog

    def offer(self, record: Entry) -> bool:
        """Have it written soon. False, and counted, if there is no room or the spool is closed."""
        return self._enqueue(_Waiting((record,), None)) is None

    def append(self, *records: Entry) -> Future[Stored]:
        """Done when the records are on disk; fails with SpoolError if they can't be put there."""
        done: Future[Stored] = Future()
        if (refusal := self._enqueue(_Waiting(records, done))) is not None:
            done.set_exception(refusal)
        return done

    async def stored(self, records: Sequence[Entry]) -> Stored:
        """Returns when the records are on disk. Raises SpoolFull, or SpoolError if the disk refuses."""
        done = asyncio.get_running_loop().create_future()
        if (refusal := self._enqueue(_Waiting(records, done))) is not None:
            raise refusal
        outcome: Stored = await done
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit what waits, and stop."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        self._thread.join()

    def _enqueue(self, entry: _Waiting) -> SpoolError | None:
        with self._arrived:
            refusal = self._refusal(entry)
            if refusal is not None:
                self._refused += len(entry.records)
                self._lost_full += len(entry.records) if entry.done is None else 0
                return refusal
            self._waiting.append(entry)
            self._n_waiting += len(entry.records)
            if len(self._waiting) == 1:
                self._arrived.notify()
            return None

    def _refusal(self, entry: _Waiting) -> SpoolError | None:
        share = 1.0 if entry.done is None else DURABLE_SHARE
        if self._closing:
            return SpoolError("the log is closed", fix="ask another process")
        if self._n_waiting + len(entry.records) > max(1, share * self.capacity):
            problem = f"{self._n_waiting} records wait for the disk, at most {self.capacity} may"
            return SpoolFull(problem, retry_seconds=RETRY_SECONDS)
        if self._backlog.bytes >= share * self.max_bytes:
            problem = f"the log holds {self._backlog.bytes} bytes, at most {self.max_bytes} are allowed"
            return SpoolFull(problem, retry_seconds=DRAIN_SECONDS)
        return None

    def _work(self) -> None:
        """What the thread does. Whatever stops it, nobody is left waiting, and what was offered stays."""
        try:
            self._run()
        except BaseException as caught:
            error = SpoolError(f"the log failed: {type(caught).__name__}", fix="send it again")
            group, self._group = self._group, []
            _settle(self._put_back(group, error))
            raise

    def _run(self) -> None:
        with ExitStack() as opened:
            while (connection := self._open(opened)) is None:
                if self._closing and not self._n_waiting:
                    return
                self._rest()
            while True:
                closing, group = self._next_group()
                if (group or self._suffers) and not self._commit(connection, group):
                    self._rest()
                if closing and not group:
                    return
                if not group:
                    self._look(connection)
                self._thread.succeeded()

    def _open(self, opened: ExitStack) -> sqlite3.Connection | None:
        """None if the file can't be opened now; then whoever waits for it was told."""
        try:
            create(self.path)
            return opened.enter_context(connected(self.path))
        except (SpoolError, sqlite3.Error) as caught:
            _settle(self._put_back([], self._refusing(caught)))
            return None

    def _rest(self) -> None:
        """Before another attempt on a disk that refuses."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._closing, timeout=RETRY_SECONDS)

    def _next_group(self) -> tuple[bool, list[_Waiting]]:
        """What waits, oldest first. Nothing, once the spool is closed and empty or to look for room."""
        timeout = None if self.trouble is None else RETRY_SECONDS
        with self._arrived:
            self._arrived.wait_for(lambda: self._waiting or self._closing, timeout=timeout)
            closing, some = self._closing, bool(self._waiting)
        if some and not closing:
            time.sleep(_PAUSE_SECONDS)
        group = self._group = []
        size = 0
        while self._waiting and size < _GROUP:
            group.append(self._waiting.popleft())
            size += len(group[-1].records)
        return closing, group

    def _commit(self, connection: sqlite3.Connection, group: list[_Waiting]) -> bool:
        """Put a group on disk and tell whoever waits for it. False: the disk refuses."""
        settled: list[_Settled] = []
        encoded = [(entry, rows) for entry in group if (rows := self._encoded(entry, settled)) is not None]
        works = True
        try:
            with connection:
                new = [insert(connection, rows) for _, rows in encoded]
                if self._suffers:
                    touch(connection)
        except BaseException as caught:  # whatever it is, whoever waits is told
            settled += self._put_back([entry for entry, _ in encoded], self._refusing(caught))
            works = False
        else:
            self._note(None)
            self._written += sum(new)
            self._leave(sum(len(rows) for _, rows in encoded))
            settled += [
                _Settled(entry.done, Stored(n, len(rows) - n))
                for (entry, rows), n in zip(encoded, new, strict=True)
                if entry.done is not None
            ]
        self._group = []
        try:
            self._look(connection)  # before anybody is told, and sends more
        finally:
            _settle(settled)
        return works

    def _look(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            was_full, self._backlog = self._is_full, measure(connection)
            if self._is_full and not was_full:
                logger.warning("%s is full: feedback is refused until it is shipped", self.path)
            elif was_full and not self._is_full:
                logger.info("%s has room again", self.path)

    def _encoded(self, entry: _Waiting, settled: list[_Settled]) -> list[Row] | None:
        """The entry's rows. What can't be encoded must not keep the others waiting: it fails on its own."""
        try:
            return rows_of(entry.records)
        except Exception as caught:
            self._fail(entry, SpoolError(f"a record can't be encoded: {caught}"), settled)
            return None

    def _refusing(self, caught: BaseException) -> SpoolError:
        """The disk refuses: noted, and said in words to those who wait."""
        if not isinstance(caught, SpoolError):
            fix = "free the disk or mend its permissions"
            caught = SpoolError(f"{self.path} can't be written: {caught}", fix=fix)
        self._note(caught)
        return caught

    def _put_back(self, group: Sequence[_Waiting], error: SpoolError) -> list[_Settled]:
        """What was offered is tried again; whoever waits is told, behind the group too."""
        with self._arrived:
            waiting, closing = [*group, *self._waiting], self._closing
            self._waiting = deque(entry for entry in waiting if entry.done is None and not closing)
        settled: list[_Settled] = []
        for entry in waiting:
            if entry.done is not None or closing:
                self._fail(entry, error, settled)
        return settled

    def _note(self, error: SpoolError | None) -> None:
        """Remember that the disk refuses, or no longer does, and tell of the change."""
        if error is not None and not self._suffers:
            logger.warning("%s", error.problem)
        elif error is None and self._suffers:
            logger.info("%s is written again", self.path)
        self._suffers = error is not None

    def _fail(self, entry: _Waiting, error: SpoolError, settled: list[_Settled]) -> None:
        self._failed += len(entry.records)
        self._leave(len(entry.records))
        if entry.done is None:
            self._lost_failed += len(entry.records)
        else:
            settled.append(_Settled(entry.done, error))

    def _leave(self, n: int) -> None:
        with self._arrived:
            self._n_waiting -= n


def _settle(settled: list[_Settled]) -> None:
    """Tell whoever waits: each event loop is woken once, however many of its futures are done."""
    loops: dict[asyncio.AbstractEventLoop, list[_Settled]] = defaultdict(list)
    for each in settled:
        if isinstance(each.done, asyncio.Future):
            loops[each.done.get_loop()].append(each)
        else:
            _resolve([each])
    for loop, waiting in loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(settled: list[_Settled]) -> None:
    for done, outcome in settled:
        if done.done():  # whoever waited has gone
            continue
        if isinstance(outcome, SpoolError):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)
