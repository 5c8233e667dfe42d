"""Threads that are restarted after an error, which is logged once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

AGAIN_SECONDS = 1.0
"""The pause between a failure and the next call, so that a work that fails at once does not spin."""

logger = logging.getLogger("tastemaker.serving")


class SupervisedThread:
    """A thread that runs `work` until it returns, and calls it again after a pause if it raises.

    After a failure, `trouble` is set until `work` calls `succeeded`.
    """

    def __init__(self, work: Callable[[], None], *, name: str) -> None:
        """Create a thread that is not started.

        Args:
            work: What the thread does.
            name: The purpose of the thread, in a word.
        """
        self._work, self.name = work, name
        self._ending = threading.Event()
        self.failures = 0
        """The number of failures."""
        self.trouble: str | None = None
        """The failure since which the work has not succeeded, in words; None if there is none."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, seconds: float | None = None) -> None:
        """Stop restarting the work, and wait until it has returned; at most `seconds` if given."""
        self._ending.set()
        self._thread.join(seconds)

    @property
    def ident(self) -> int | None:
        """The thread's identifier in `threading`."""
        return self._thread.ident

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def succeeded(self) -> None:
        """Report that the work succeeded, which clears `trouble`."""
        if self.trouble is not None:
            self.trouble = None
            logger.info("the %s thread works again", self.name)

    def _run(self) -> None:
        while True:
            try:
                self._work()
                return
            except BaseException as caught:  # of a plugin or a driver: SystemExit too would end the thread
                self._failed(caught)
            if self._ending.wait(AGAIN_SECONDS):
                return

    def _failed(self, caught: BaseException) -> None:
        self.failures += 1
        if self.trouble is None:
            logger.error("the %s thread failed; it begins again", self.name, exc_info=caught)
        self.trouble = f"the {self.name} thread failed: {type(caught).__name__}"
