"""Rates of requests and logins, counted over all processes that share the home folder.

The generic cell rate algorithm (ITU-T I.371; a leaky bucket as a meter) keeps one number per slot, the
theoretical arrival time t of the next request if all came evenly. With the rate r, a request at `now` is
allowed if t - now <= (b - 1) / r, and then t = max(t, now) + 1 / r; b requests may come at once.
The numbers lie in a memory-mapped file. Two processes that count at the same instant may count two
requests as one: a limit tolerates that, and the hot path needs no lock.
"""

from __future__ import annotations

import time
from pathlib import Path

from tastemaker.util.shared_memory import shared

_ROUNDING_SECONDS = 1e-6
_SLOT_BYTES = 8


class RateLimiter:
    """The rates of all slots."""

    def __init__(self, path: Path, slots: int) -> None:
        """Open the file, or create it. Its clock restarts with the machine.

        Args:
            path: The file, which the processes of this machine share.
            slots: How many rates it counts.
        """
        self._next = memoryview(shared(path, slots * _SLOT_BYTES)).cast("d")

    def wait(self, slot: int, per_second: float, *, burst: float | None = None) -> float:
        """Return the seconds until a request is allowed; 0 if it is now, and then it is counted.

        Args:
            slot: The number of the rate, from 0.
            per_second: The most requests per second, above 0.
            burst: Requests that may come at once; None for those of one second, at least one.
        """
        now = time.monotonic()
        pause = 1.0 / per_second
        slack = (max(1.0, per_second if burst is None else burst) - 1.0) * pause
        due = self._next[slot]
        if due > now + slack + pause + _ROUNDING_SECONDS:  # from before the machine started
            due = now
        if due - now > slack + _ROUNDING_SECONDS:
            return due - now - slack
        self._next[slot] = max(due, now) + pause
        return 0.0
