"""The features of the users of a batch: from memory if they were read lately, else in one read of the store.

A request never waits longer than the deadline: a thread of its own reads, and what comes late is remembered
for the next time. While a read is late, nobody waits at all.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from tastemaker.plugins.arrays import Float32
from tastemaker.supervised import Supervised

if TYPE_CHECKING:
    from tastemaker.features.online import OnlineReader

Outcome = Literal["cached", "read", "late", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("cached", "read", "late", "failed")

SPREAD = 0.2
"""The part of the time that features stay fresh by which users differ: not all are read again at once."""

LATE_SECONDS = 1.0
"""How long reads have to be late before the store counts as one that does not answer."""

logger = logging.getLogger("tastemaker.serving")


class _Job:
    """One read of the store."""

    __slots__ = ("done", "user_ids", "values")

    def __init__(self, user_ids: list[str]) -> None:
        self.user_ids = user_ids
        self.done = threading.Event()
        self.values: Float32 | None = None


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
    ) -> None:
        """Wait for the store for at most `seconds`; remember `size` users, each for `fresh_seconds`.

        `count` is told what became of how many users' features.
        """
        self.names = names
        self._reader, self._count = reader, count
        self._seconds, self._fresh, self._size = seconds, fresh_seconds, size
        self._known: dict[str, tuple[float, Float32]] = {}
        """User id -> (until when it is fresh, float32[len(names)]), the oldest first."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._running: _Job | None = None
        self._works = True
        self._late_since: float | None = None
        """When a read was first too late, of those since the last one that was not."""
        self._hangs = False
        """Whether they have been too late for LATE_SECONDS."""
        self._thread = Supervised(self._run, name="user features")
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """In words, that the store fails or does not answer in time; None while all is well.

        As far as it is known: nobody reads while there are no requests.
        """
        if not self._works:
            return "the online feature store fails; lists are answered without it"
        if self._hangs:
            return f"the online feature store does not answer within {self._seconds:g} s"
        return self._thread.trouble

    def users(self, user_ids: Sequence[str]) -> Float32:
        """float32[n, len(names)]; NaN for unknown users, missing values and what came too late."""
        values = np.full((len(user_ids), len(self.names)), np.nan, np.float32)
        now = time.monotonic()
        missing = []
        for row, user_id in enumerate(user_ids):
            known = self._known.get(user_id)
            if known is not None and known[0] > now:
                values[row] = known[1]
            else:
                missing.append(row)
        if len(missing) < len(user_ids):
            self._count("cached", len(user_ids) - len(missing))
        if missing:
            outcome, found = self._read([user_ids[row] for row in missing])
            self._count(outcome, len(missing))
            if found is not None:
                values[missing] = found
        return values

    def close(self) -> None:
        """Let the thread end."""
        self._jobs.put(None)

    def _read(self, user_ids: list[str]) -> tuple[Outcome, Float32 | None]:
        running = self._running
        if running is not None and not running.done.is_set():
            return self._late(), None
        job = self._running = _Job(user_ids)
        self._jobs.put(job)
        if not job.done.wait(self._seconds):
            return self._late(), None
        self._in_time()
        return ("failed" if job.values is None else "read"), job.values

    def _late(self) -> Outcome:
        now = time.monotonic()
        if self._late_since is None:
            self._late_since = now
        elif not self._hangs and now - self._late_since > LATE_SECONDS:
            self._hangs = True
            logger.warning("the online feature store does not answer in time; answering without it")
        return "late"

    def _in_time(self) -> None:
        if self._hangs:
            logger.info("the online feature store answers in time again")
        self._late_since, self._hangs = None, False

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                values = self._reader.users(job.user_ids, self.names)
                self._remember(job.user_ids, values)
                job.values = values
                self._told(True)
            except Exception:  # whatever driver the store uses
                self._told(False)
            finally:
                job.done.set()
            self._thread.succeeded()

    def _remember(self, user_ids: list[str], values: Float32) -> None:
        now = time.monotonic()
        for user_id, row in zip(user_ids, values, strict=True):
            self._known.pop(user_id, None)  # to the end: the oldest stay first
            self._known[user_id] = (now + self._fresh * random.uniform(1 - SPREAD, 1), row)
        while len(self._known) > self._size:
            del self._known[next(iter(self._known))]

    def _told(self, works: bool) -> None:
        """Say once that the store fails and once that it works again, not once a request."""
        if works and not self._works:
            logger.info("the online feature store works again")
        elif self._works and not works:
            logger.warning("the online feature store fails; answering without it", exc_info=True)
        self._works = works
