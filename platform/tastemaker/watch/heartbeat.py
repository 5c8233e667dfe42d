"""The heartbeat: a dead man's switch is called while the watch works, and notifies people when it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable

import urllib3

from tastemaker.util.failure_log import FailureLog
from tastemaker.util.poller import Poller

HEARTBEAT_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0

logger = logging.getLogger("tastemaker.watch")


class Heartbeat:
    """Calls an address every minute, as long as there is no trouble."""

    def __init__(
        self, url: str | None, trouble: Callable[[], str | None], *, seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        """Create a heartbeat that is not started.

        Args:
            url: The address; None: no call is made.
            trouble: Returns why no call is to be made; None if one is.
            seconds: How often.
        """
        self._url, self._trouble, self._seconds = url, trouble, seconds
        self._http = urllib3.PoolManager(retries=False)
        self._log = FailureLog(logger, "the heartbeat is sent again")
        self._poller: Poller | None = None

    def start(self) -> None:
        """Start the calls."""
        if self._url is not None:
            self._poller = Poller(self.beat, seconds=self._seconds, name="heartbeat")

    def close(self) -> None:
        """End the calls."""
        if self._poller is not None:
            self._poller.close()

    def beat(self) -> None:
        """Call the address once, unless there is trouble."""
        if self._url is None:
            return
        if (trouble := self._trouble()) is not None:
            self._log.failed("no heartbeat is sent", detail=trouble)
            return
        try:
            answer = self._http.request("POST", self._url, timeout=TIMEOUT_SECONDS, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._log.failed("the heartbeat can't be sent", detail=type(error).__name__)
            return
        if answer.status >= 300:
            self._log.failed("the heartbeat was refused", detail=f"status {answer.status}")
            return
        self._log.succeeded()
