"""Exposures of units to variants, reported in the background: no caller waits for them."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from tastemaker.api.schemas import MAX_CHANGES, ExposureReport
from tastemaker.client.client import Client
from tastemaker.client.transport import ServiceError
from tastemaker.util.poller import Poller

CAPACITY = 10_000
"""Exposures that wait at most: more are dropped and counted."""
REMEMBERED = 100_000
"""Units whose first exposure is remembered, so that it is not reported again."""
FLUSH_SECONDS = 1.0


class ExposureQueue:
    """Reports each unit's first exposure. Thread-safe.

    What a service refuses is dropped; while none can be reached, exposures wait.
    """

    def __init__(
        self, client: Client, *, capacity: int = CAPACITY, flush_seconds: float = FLUSH_SECONDS
    ) -> None:
        """Start the thread that reports.

        Args:
            client: Of the controller or of a service.
            capacity: How many wait at most.
            flush_seconds: Between two reports.
        """
        self._client, self._capacity = client, capacity
        self._waiting: deque[ExposureReport] = deque()
        self._seen: OrderedDict[tuple[str, int, str, str], None] = OrderedDict()
        self._lock = threading.Lock()
        self.reported = 0
        """Exposures that are in the log."""
        self.dropped = 0
        """Exposures that are lost: there were too many, or the service refused them."""
        self._poller = Poller(self._flush, seconds=flush_seconds, name="exposures")

    @property
    def trouble(self) -> str | None:
        """In words, that exposures can't be reported; None while they can."""
        return self._poller.trouble

    def add(self, exposure: ExposureReport) -> None:
        """Report an exposure, unless the unit's first one of this epoch and variant was."""
        key = (exposure.experiment, exposure.epoch, exposure.variant, exposure.unit)
        with self._lock:
            if key in self._seen:
                return
            if len(self._waiting) >= self._capacity:
                self.dropped += 1
                return
            self._seen[key] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            self._waiting.append(exposure)

    def close(self) -> None:
        """Report what waits, once, and stop. What can't be reported is dropped."""
        self._poller.close()
        try:
            self._flush()
        except ServiceError:
            self.dropped += len(self._waiting)
            self._waiting.clear()

    def _flush(self) -> None:
        """Report what waits. Raises ServiceError."""
        while batch := self._next_batch():
            try:
                self._client.expose(batch)
            except ServiceError as error:
                if not error.passing:
                    self._remove(len(batch))
                    self.dropped += len(batch)
                raise
            self._remove(len(batch))
            self.reported += len(batch)

    def _next_batch(self) -> list[ExposureReport]:
        with self._lock:
            return [self._waiting[place] for place in range(min(MAX_CHANGES, len(self._waiting)))]

    def _remove(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                self._waiting.popleft()
