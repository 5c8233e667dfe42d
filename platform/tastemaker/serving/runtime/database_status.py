"""Whether the metadata database can be used: looked at by the server, and said to its workers in a file.

No answer needs it. Without it, nothing can be trained, promoted or rolled back, and a service that starts can
only go by the files beside the artifacts.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from tastemaker.errors import TastemakerError
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.poller import Poller

LOOK_SECONDS = 5.0
FILE_NAME = "database.trouble"

logger = logging.getLogger("tastemaker.serving")


class DatabaseWatch:
    """Looks every few seconds. For the server: the log says it once, however many workers there are."""

    def __init__(self, url: str, shared: Path, *, seconds: float = LOOK_SECONDS) -> None:
        """`url`: SQLAlchemy's; `shared`: the folder that the server shares with its workers."""
        self._url, self._path = url, shared / FILE_NAME
        self._works = True
        self._lookout = Poller(self.look, seconds=seconds, name="database")

    def close(self) -> None:
        """Look no more."""
        self._lookout.close()

    def look(self) -> None:
        """Say once that it can't be used, and once that it can again."""
        from tastemaker.storage.engine import check

        try:
            check(self._url)
        except TastemakerError as error:
            if self._works:
                logger.error("the metadata database can't be used; lists are answered without it: %s", error)
            self._works = False
            if self._path.parent.is_dir():  # the server has not ended
                with suppress(OSError), atomic_write(self._path) as partial:
                    partial.write_text("the metadata database can't be used; lists are answered without it")
            return
        if not self._works:
            logger.info("the metadata database can be used again")
        self._works = True
        self._path.unlink(missing_ok=True)


def trouble(shared: Path) -> str | None:
    """In words, that the database can't be used, as the server saw it last; None while all is well."""
    try:
        return (shared / FILE_NAME).read_text()
    except OSError:
        return None
