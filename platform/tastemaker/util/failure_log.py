"""One line in the log when a part begins to fail, and one when it works again."""

from __future__ import annotations

import logging
import threading


class FailureLog:
    """Whether a part works at present. Thread-safe.

    Only changes are logged: a part that fails on every request would fill the log.
    """

    def __init__(self, logger: logging.Logger, recovered: str, *, level: int = logging.WARNING) -> None:
        """Begin in the working state.

        Args:
            logger: Where both lines go.
            recovered: The line for when the part works again, at level INFO.
            level: Of the line for when it begins to fail.
        """
        self._logger, self._recovered, self._level = logger, recovered, level
        self._lock = threading.Lock()
        self.trouble: str | None = None
        """Why the part does not work, for people; None while it works."""

    def failed(self, trouble: str, *, detail: object = None, error: BaseException | None = None) -> None:
        """Record a failure, and log it if the part worked until now.

        Args:
            trouble: The new value of `trouble`. It is shown to callers: no personal data.
            detail: Written behind it in the log.
            error: Logged with its traceback.
        """
        with self._lock:
            began, self.trouble = self.trouble is None, trouble
        if began:
            line = trouble if detail is None else f"{trouble}: {detail}"
            self._logger.log(self._level, "%s", line, exc_info=error)

    def succeeded(self) -> None:
        """Record a success, and log it if the part failed until now."""
        if self.trouble is None:  # the common case needs no lock
            return
        with self._lock:
            ended, self.trouble = self.trouble is not None, None
        if ended:
            self._logger.info("%s", self._recovered)
