"""Counts the requests of one iteration of the event loop together.

Counting a request writes to memory that all workers share, three times. Under load an iteration answers a
whole batch, whose requests have the same endpoint and status.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable


class RequestTally:
    """The requests that were answered or refused in the present iteration of the event loop."""

    def __init__(self, write: Callable[..., None]) -> None:
        """`write` is called with an endpoint, a status, and the seconds of each such request."""
        self._write = write
        self._seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)

    def add(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request in the next iteration, so before a caller can ask for what was counted.

        Args:
            endpoint: The template of its path, or another name with few values; never a path.
            status: The status of its answer.
            seconds: How long the answer took.
        """
        if not self._seconds:
            asyncio.get_running_loop().call_soon(self.write)
        self._seconds[endpoint, status].append(seconds)

    def write(self) -> None:
        """Count now what was added."""
        added, self._seconds = self._seconds, defaultdict(list)
        for (endpoint, status), seconds in added.items():
            self._write(endpoint, status, *seconds)
