"""Whether someone evaluates the alert rules: a service says so when its watch has stopped."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from tastemaker.util.beat_file import FILE_NAME, read_beat
from tastemaker.util.failure_log import FailureLog

MISSING_SECONDS = 120.0
"""How old the newest beat may be."""

logger = logging.getLogger("tastemaker.serving")


class WatchStatus:
    """The newest beat of `tastemaker watch` in a home folder. Where none ever ran, none is missing."""

    def __init__(self, home: Path, *, now: Callable[[], float] = time.time) -> None:
        """Begin to check.

        Args:
            home: The home folder.
            now: The clock, seconds since 1970 UTC.
        """
        self._home, self._now, self._lock = home, now, Lock()
        self._failures = FailureLog(logger, "the alert rules are evaluated again")

    def trouble(self) -> str | None:
        """Return since when no watch has evaluated the rules; None while one does, or if none ever ran."""
        with self._lock:  # else a thread that read an old beat reports it after another one's new beat
            self._look()
            return self._failures.trouble

    def _look(self) -> None:
        try:
            beat = read_beat(self._home)
        except OSError as error:
            self._failures.failed(f"{FILE_NAME} can't be read", detail=error)
            return
        if beat is None or (math.isfinite(beat) and self._now() - beat <= MISSING_SECONDS):
            self._failures.succeeded()
        else:
            self._failures.failed(f"no watch has evaluated the alert rules since {_timestamp(beat)}")


def _timestamp(beat: float) -> str:
    try:
        return f"{datetime.fromtimestamp(beat, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
