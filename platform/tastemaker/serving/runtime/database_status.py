"""Whether the metadata database can be used: polled by the server, and written to a file for its workers.

No answer needs the database. Without it, no version can be trained, promoted or rolled back, and a service
that starts reads only the files beside the artifacts.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from tastemaker.errors import TastemakerError
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.poller import Poller

DATABASE_POLL_SECONDS = 5.0
FILE_NAME = "database.trouble"
TROUBLE = "the metadata database can't be used; lists are answered without it"

logger = logging.getLogger("tastemaker.serving")


class DatabaseWatch:
    """Polls the database every few seconds. The server owns it, so that one process logs, not each worker."""

    def __init__(self, url: str, shared: Path, *, seconds: float = DATABASE_POLL_SECONDS) -> None:
        """Start polling.

        Args:
            url: SQLAlchemy's.
            shared: The folder that the server shares with its workers.
            seconds: Between two polls.
        """
        self._url, self._path = url, shared / FILE_NAME
        self._failures = FailureLog(logger, "the metadata database can be used again", level=logging.ERROR)
        self._poller = Poller(self.poll, seconds=seconds, name="database")

    def close(self) -> None:
        """Stop polling."""
        self._poller.close()

    def poll(self) -> None:
        """Log once that it can't be used, and once that it can again."""
        from tastemaker.storage.engine import check

        try:
            check(self._url)
        except TastemakerError as error:
            self._failures.failed(TROUBLE, detail=error)
            if self._path.parent.is_dir():  # the server has not ended
                with suppress(OSError), atomic_write(self._path) as partial:
                    partial.write_text(TROUBLE)
            return
        self._failures.succeeded()
        self._path.unlink(missing_ok=True)


def trouble(shared: Path) -> str | None:
    """Return that the database can't be used, in words, as the server saw it last; None while it can."""
    try:
        return (shared / FILE_NAME).read_text()
    except OSError:
        return None
