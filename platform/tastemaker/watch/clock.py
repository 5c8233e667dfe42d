"""A clock for samples."""

from __future__ import annotations

import time

MOST_BEHIND_SECONDS = 2.0


class AscendingClock:
    """Seconds since 1970 UTC that never go back, also if a person sets the machine's clock back."""

    def __init__(self) -> None:
        """Begin at the machine's time."""
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the time; it follows the machine's clock forward, as after it slept."""
        at = time.monotonic() + self._offset
        if time.time() - at > MOST_BEHIND_SECONDS:
            self._offset = time.time() - time.monotonic()
            return time.monotonic() + self._offset
        return at
