"""Threads that must not end by an error, whatever it is: each is said once, and the work begins again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

AGAIN_SECONDS = 1.0
"""Between a failure and the next beginning: what fails at once must not take the processor."""

logger = logging.getLogger("tastemaker.serving")


class SupervisedThread:
    """Runs `work` in a thread of its own until it returns. If it raises, it is called again after a pause.

    `work` calls `succeeded` whenever it got something done: until then, after a failure, there is `trouble`.
    """

    def __init__(self, work: Callable[[], None], *, name: str) -> None:
        """`name`: what the thread is for, in a word."""
        self._work, self.name = work, name
        self._ending = threading.Event()
        self.failures = 0
        """How often the work failed."""
        self.trouble: str | None = None
        """In words, that the work failed and has not succeeded since; None while all is well."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float | None = None) -> None:
        """Begin no more, and wait until the work, which has to be asked to return, has ended."""
        self._ending.set()
        self._thread.join(seconds)

    @property
    def ident(self) -> int | None:
        """The thread's, as `threading` has it."""
        return self._thread.ident

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def succeeded(self) -> None:
        """Say that the work does what it is for."""
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
