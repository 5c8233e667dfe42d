"""The features of the users of a batch: from memory if they were read lately, else in one read of the store.

A request never waits longer than the deadline: a thread of its own reads, and what comes late is remembered
for the next time. While a read is late, no request waits at all. Users who come back are read again before
their features expire, many at a time, while requests are answered from memory.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from tastemaker.plugins.arrays import Float32
from tastemaker.util.supervised_thread import SupervisedThread

if TYPE_CHECKING:
    from tastemaker.features.online import OnlineReader

Outcome = Literal["cached", "read", "late", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("cached", "read", "late", "failed")

SPREAD = 0.2
"""The part of the time that features stay fresh by which users differ: not all are read again at once."""

AHEAD = 0.2
"""The last part of the time that features stay fresh, in which they are read ahead for users who come."""
AHEAD_SECONDS = 0.05
"""Between two reads ahead. One read of ten users costs little more than that of one."""

LATE_SECONDS = 1.0
"""How long reads have to be late before the store counts as one that does not answer."""
PROBE_SECONDS = 1.0
"""Between two tries whether a store that fails or is late answers again, while no request reads from it."""

logger = logging.getLogger("tastemaker.serving")


class _Job:
    """One read of the store."""

    __slots__ = ("_running", "begun", "user_ids", "values")

    def __init__(self, user_ids: list[str]) -> None:
        self.user_ids, self.begun = user_ids, time.monotonic()
        self.values: Float32 | None = None
        self._running = threading.Lock()  # an Event takes several times as long to be waited for
        self._running.acquire()

    @property
    def done(self) -> bool:
        return not self._running.locked()

    def finish(self) -> None:
        """Wake the thread that waits. Called once."""
        self._running.release()

    def wait(self, seconds: float) -> bool:
        """Return whether the read is finished within so many seconds. For one thread."""
        finished = self._running.acquire(timeout=seconds)
        if finished:
            self._running.release()
        return finished


class UserFeatures:
    """A bounded memory of one model's user features before a store that may be slow or away."""

    def __init__(
        self,
        reader: OnlineReader,
        names: tuple[str, ...],
        *,
        seconds: float = 0.05,
        fresh_seconds: float = 30.0,
        size: int = 100_000,
        count: Callable[[Outcome, int], None] = lambda outcome, n: None,
        count_values: Callable[[Float32], None] = lambda values: None,
    ) -> None:
        """Start the thread that reads the store; no user is remembered yet.

        Args:
            reader: Reads the store, in that thread only.
            names: The user features that the model declares, in the order of the columns.
            seconds: The longest time that a request waits for the store.
            fresh_seconds: How long a user's features are answered from memory at most, and at least 1 -
                SPREAD of it.
            size: The most users that are remembered.
            count: Called with an outcome and the number of users whose features were read so.
            count_values: Called with float32[m, len(names)], the values of a batch that were in time for the
                model.
        """
        self.names = names
        self._reader, self._count, self._count_values = reader, count, count_values
        self._seconds, self._fresh, self._size = seconds, fresh_seconds, size
        self._known: dict[str, tuple[float, Float32]] = {}
        """User id -> (until when it is fresh, float32[len(names)]), the oldest first."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._running: _Job | None = None
        """The last read that requests waited for."""
        self._aging: dict[str, None] = {}
        """Users who are to be read ahead."""
        self._ahead: _Job | None = None
        self._ahead_at = 0.0
        """When the next read ahead may begin, `time.monotonic`."""
        self._fault: str | None = None
        """In words, that the store fails or is late, and has not answered in time since."""
        self._late_since: float | None = None
        """When a read was first too late, of those since the last one that was answered in time."""
        self._settling = threading.Lock()
        self._thread = SupervisedThread(self._run, name="user features")
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """In words, that the store fails or does not answer in time; None while all is well.

        Known from the first request that is affected.
        """
        return self._fault or self._thread.trouble

    def users(self, user_ids: Sequence[str]) -> Float32:
        """Return float32[n, len(names)]; NaN for unknown users, missing values and what came too late."""
        values = np.full((len(user_ids), len(self.names)), np.nan, np.float32)
        now = time.monotonic()
        soon = now + AHEAD * self._fresh
        missing = []
        for row, user_id in enumerate(user_ids):
            known = self._known.get(user_id)
            if known is not None and known[0] > now:
                values[row] = known[1]
                if known[0] < soon:
                    self._aging[user_id] = None
            else:
                missing.append(row)
        if len(missing) < len(user_ids):
            self._count("cached", len(user_ids) - len(missing))
        got = values
        if missing:
            outcome, found = self._read([user_ids[row] for row in missing])
            self._count(outcome, len(missing))
            if found is not None:
                values[missing] = found
            else:
                got = np.delete(values, missing, axis=0)
        if len(got):
            self._count_values(got)
        if self._aging:
            self._read_ahead(now, soon)
        return values

    def close(self) -> None:
        """Let the thread end."""
        self._jobs.put(None)

    def _read(self, user_ids: list[str]) -> tuple[Outcome, Float32 | None]:
        running = self._running
        if running is not None and not running.done:
            return self._late(), None
        job = self._running = _Job(user_ids)
        self._jobs.put(job)
        if not job.wait(self._seconds):
            return self._late(), None
        return ("failed" if job.values is None else "read"), job.values

    def _read_ahead(self, now: float, soon: float) -> None:
        """Read the users again whose features expire before `soon`; no request waits for it."""
        if now < self._ahead_at or not (self._ahead is None or self._ahead.done):
            return
        known, aging, self._aging = self._known, self._aging, {}
        self._ahead_at = now + AHEAD_SECONDS
        user_ids = [each for each in aging if (had := known.get(each)) is not None and had[0] < soon]
        if user_ids and self._fault is None:
            self._ahead = _Job(user_ids)
            self._jobs.put(self._ahead)

    def _late(self) -> Outcome:
        now = time.monotonic()
        if self._late_since is None:
            self._late_since = now
        elif self._fault is None and now - self._late_since > LATE_SECONDS:
            self._fails(f"the online feature store does not answer within {self._seconds:g} s")
        return "late"

    def _run(self) -> None:
        last = list[str]()
        while (job := self._next(last)) is not None:
            last = job.user_ids
            try:
                values = self._reader.users(job.user_ids, self.names)
                self._remember(job.user_ids, values)
                job.values = values
                if time.monotonic() - job.begun <= self._seconds:
                    self._works()
            except Exception:  # whatever driver the store uses
                self._fails("the online feature store fails")
            finally:
                job.finish()
            self._thread.succeeded()

    def _next(self, last: list[str]) -> _Job | None:
        """Return what is to be read; while the store fails and no request comes, a probe. None: the end."""
        while True:
            try:
                return self._jobs.get(timeout=PROBE_SECONDS)
            except Empty:
                if self._fault is not None:
                    return _Job(last)

    def _remember(self, user_ids: list[str], values: Float32) -> None:
        now = time.monotonic()
        for user_id, row in zip(user_ids, values, strict=True):
            self._known.pop(user_id, None)  # to the end: the oldest stay first
            self._known[user_id] = (now + self._fresh * random.uniform(1 - SPREAD, 1), row)
        while len(self._known) > self._size:
            del self._known[next(iter(self._known))]

    def _fails(self, words: str) -> None:
        """Log once that the store fails, with the first fault: not per request, nor per kind of fault."""
        with self._settling:
            began, self._fault = self._fault is None, f"{words}; lists are answered without it"
        if began:
            logger.warning("%s", self._fault, exc_info=sys.exc_info()[0] is not None)

    def _works(self) -> None:
        """Log once that the store answers in time again."""
        with self._settling:
            self._late_since = None
            ended, self._fault = self._fault is not None, None
        if ended:
            logger.info("the online feature store answers in time again")
