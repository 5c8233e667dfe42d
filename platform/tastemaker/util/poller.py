"""A thread that calls a function at a fixed interval."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tastemaker.util.supervised_thread import SupervisedThread


class Poller:
    """Calls `look` every so many seconds, in a thread of its own, until it is closed.

    A look that raises is said once in the log, and is `trouble` until one does not.
    """

    def __init__(self, look: Callable[[], None], *, seconds: float, name: str) -> None:
        """Start the thread that calls `look`; the first call is after `seconds`.

        Args:
            look: Called in that thread, and not again before it has returned.
            seconds: The pause between two calls.
            name: The thread's, for logs.
        """
        self._look, self._seconds = look, seconds
        self._stopping = threading.Event()
        self._thread = SupervisedThread(self._run, name=name)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """In words, that looking fails; None while all is well."""
        return self._thread.trouble

    def close(self) -> None:
        """Look no more; returns when the last look is over."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._look()
            self._thread.succeeded()
