"""Reads of the metadata database, and what was last read while it is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Executable, Row
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, TimeoutError

from tastemaker.dashboard.content import PageContent

if TYPE_CHECKING:
    from tastemaker.settings import Settings

KEPT = 100
"""Most contents that are kept: those of pages with a thousand versions are large."""
FRESH_SECONDS = 10.0
"""For so long a content is shown again without another read."""
AWAY = (OperationalError, InterfaceError, InternalError, TimeoutError)
"""Errors of a database that does not answer; others are faults of the program."""
RETRY_SECONDS = 5.0
"""A database that did not answer is asked again after so long."""


def utc_now() -> datetime:
    """Return the present time, UTC."""
    return datetime.now(UTC)


class DashboardReader:
    """Access of pages to the metadata database, and what else they depend on.

    Args:
        engine: The metadata database.
        settings: All settings: the shop's time zone, and the folders of reports and of experiments.
        clock: Returns the present time, UTC; tests give another one.
    """

    def __init__(self, engine: Engine, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self.engine, self.settings, self._clock = engine, settings, clock

    @property
    def now(self) -> datetime:
        """The present time, UTC."""
        return self._clock()

    @property
    def timezone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.settings.shop_timezone)

    def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """Return all rows of a statement."""
        with self.engine.connect() as connection:
            return connection.execute(statement).all()


class KnownContent(NamedTuple):
    """A page's content and when it was read."""

    content: PageContent
    read_at: float
    """Seconds since 1970 UTC."""
    is_old: bool
    """Whether the database did not answer since then."""


class NothingKnown(Exception):
    """The database does not answer, and nothing was read before."""


class LastKnown:
    """The last contents of the pages: fresh ones save reads, old ones are shown while the database is away.

    At most `KEPT` are kept, the least recently used ones go first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[PageContent, float, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._failed_at: float | None = None

    def get(
        self, key: Hashable, load: Callable[[], PageContent], *, fresh: float = FRESH_SECONDS
    ) -> KnownContent:
        """Return a content: a fresh one if there is one, else that of `load`, else an old one.

        Args:
            key: What the content depends on.
            load: Reads it.
            fresh: For so many seconds a kept content is not read again.

        Raises:
            NothingKnown: The database does not answer, and nothing was read before.
        """
        now = self._clock()
        kept = self._find(key)
        if kept is not None and now - kept[2] < fresh and self._failed_at is None:
            return KnownContent(kept[0], kept[1], is_old=False)
        if self.is_away():
            return _old(kept)
        if self._failed_at is not None:
            self.failed()  # while this read finds out whether the database is back, others do not wait for it
        try:
            content = load()
        except AWAY as error:
            self.failed()
            return _old(kept, error)
        self._failed_at = None
        return self._keep(key, content)

    def failed(self) -> None:
        """Note that the database did not answer."""
        self._failed_at = self._clock()

    def is_away(self) -> bool:
        """Return whether the database did not answer shortly before."""
        return self._failed_at is not None and self._clock() - self._failed_at < RETRY_SECONDS

    def clear(self) -> None:
        """Forget that contents are fresh, because something was changed; old ones are still known."""
        with self._lock:
            for key, (content, read_at, _) in self._kept.items():
                self._kept[key] = (content, read_at, float("-inf"))

    def _find(self, key: Hashable) -> tuple[PageContent, float, float] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Hashable, content: PageContent) -> KnownContent:
        read_at = time.time()
        with self._lock:
            self._kept[key] = (content, read_at, self._clock())
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return KnownContent(content, read_at, is_old=False)


def _old(kept: tuple[PageContent, float, float] | None, error: Exception | None = None) -> KnownContent:
    if kept is None:
        raise NothingKnown from error
    return KnownContent(kept[0], kept[1], is_old=True)
