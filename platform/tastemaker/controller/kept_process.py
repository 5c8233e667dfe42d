"""A child process that is started again when it dies: at once if it ran soundly, else ever more slowly."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable

from tastemaker.errors import TastemakerError
from tastemaker.util.failure_log import FailureLog

STOP_SECONDS = 10.0
"""How long a process may take to end before it is killed."""
SOUND_SECONDS = 30.0
"""A process that ran so long is started again at once when it dies."""
MAX_RESTART_SECONDS = 30.0
"""Between the starts of a process that dies sooner: doubled from one to the next, up to this."""

logger = logging.getLogger("tastemaker.controller")
Start = Callable[[], "subprocess.Popen[bytes]"]


class KeptProcess:
    """A process that is started again when it dies."""

    def __init__(self, name: str, start: Start) -> None:
        """Prepare to start it.

        Args:
            name: For the log.
            start: Starts it.
        """
        self._name, self._start = name, start
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at, self._deaths = 0.0, 0
        self._asked_at: float | None = None
        """When it was asked to end."""
        self.unwanted_since: float | None = None
        self._failures = FailureLog(logger, f"{name} can be started again")

    def keep(self, now: float) -> None:
        """Start it if it does not run, but not too often."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._died(now)
        if now >= self._start_at:
            self._begin(now)

    def leave(self, now: float) -> bool:
        """Ask it to end, and kill it if it takes too long; return whether it has ended."""
        if self._process is None or self._process.poll() is not None:
            return True
        if self._asked_at is None:
            self._asked_at = now
            self._process.terminate()
        elif now - self._asked_at > STOP_SECONDS:
            self._process.kill()
        return False

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """Return once it has ended; kill it if it takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _begin(self, now: float) -> None:
        try:
            self._process = self._start()
        except (TastemakerError, OSError) as error:
            self._failures.failed(f"{self._name} can't be started", detail=error)
            self._delay(now)
            return
        self._failures.succeeded()
        self._started_at, self._asked_at = now, None
        logger.info("%s (process %d) starts", self._name, self._process.pid)

    def _died(self, now: float) -> None:
        logger.error("%s ended; it is started again", self._name)  # BentoML's arbiter may have its status
        self._process = None
        if now - self._started_at > SOUND_SECONDS:
            self._deaths = 0
            self._start_at = now
        else:
            self._delay(now)

    def _delay(self, now: float) -> None:
        self._deaths += 1
        self._start_at = now + min(2**self._deaths / 8, MAX_RESTART_SECONDS)
