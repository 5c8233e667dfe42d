"""How often each key may ask, counted over all processes that share the home folder.

The generic cell rate algorithm (ITU-T I.371; a leaky bucket as a meter) keeps one number a key, the
theoretical arrival time t of the next request if all came evenly. With the rate r, a request at `now` is
allowed if t - now <= (b - 1) / r, and then t = max(t, now) + 1 / r; b = max(1, r) requests may come at once.
The numbers lie in a memory-mapped file. Two processes that count at the same instant may count one request
for two, which a limit can bear and a lock on the hot path could not.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

from tastemaker.serving.keys import SLOTS

_ROUNDING_SECONDS = 1e-6


class Meters:
    """The meters of all keys."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. The clock behind it starts anew with the machine."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(handle, SLOTS * 8)
            self._next = memoryview(mmap.mmap(handle, SLOTS * 8)).cast("d")
        finally:
            os.close(handle)

    def wait(self, slot: int, per_second: float) -> float:
        """Seconds until this request is allowed; 0 if it is, and then it is counted."""
        now = time.monotonic()
        pause = 1.0 / per_second
        slack = max(0.0, 1.0 - pause)
        due = self._next[slot]
        if due > now + slack + pause + _ROUNDING_SECONDS:  # from before the machine started
            due = now
        if due - now > slack + _ROUNDING_SECONDS:
            return due - now - slack
        self._next[slot] = max(due, now) + pause
        return 0.0
