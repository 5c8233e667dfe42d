"""The heartbeat: a dead man's switch is called while the watch works, and notifies people when it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tastemaker.notifications.http_call import HttpTarget, any_answer, json_body
from tastemaker.notifications.secret_values import secrets_of_url
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.poller import Poller

HEARTBEAT_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0

logger = logging.getLogger("tastemaker.watch")


class Heartbeat:
    """Calls an address every minute, as long as there is no trouble."""

    def __init__(
        self,
        url: str | None,
        trouble: Callable[[], str | None],
        *,
        fail_url: str | None = None,
        failure: Callable[[], str | None] = lambda: None,
        seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Create a heartbeat that is not started.

        Args:
            url: The address; None: no call is made.
            trouble: Returns why no call is to be made; None if one is.
            fail_url: The address that is called when there is a failure; None: no call is made then.
            failure: Returns why the watch does not work; None while it does, or while another one works.
            seconds: How often.
        """
        self._target, self._fail_target = _target(url), _target(fail_url)
        self._trouble, self._failure, self._seconds = trouble, failure, seconds
        self._log = FailureLog(logger, "the heartbeat is sent again")
        self._poller: Poller | None = None

    def start(self) -> None:
        """Start the calls."""
        if self._target is not None:
            self._poller = Poller(self.beat, seconds=self._seconds, name="heartbeat")

    def close(self) -> None:
        """End the calls."""
        if self._poller is not None:
            self._poller.close()

    def beat(self) -> None:
        """Call the address once, unless there is trouble: then the other one, if the watch does not work."""
        if self._target is None:
            return
        if (trouble := self._trouble()) is not None:
            self._log.failed("no heartbeat is sent", detail=trouble)
            if self._fail_target is not None and (failure := self._failure()) is not None:
                self._fail_target.send(json_body({"failure": failure}), {}, any_answer)
            return
        delivery = self._target.send(b"", {}, any_answer)
        if delivery.outcome == "sent":
            self._log.succeeded()
        else:
            self._log.failed("the heartbeat can't be sent", detail=delivery.detail)


def _target(url: str | None) -> HttpTarget | None:
    """Return what is called; the address contains the switch's key."""
    return None if url is None else HttpTarget(url, TIMEOUT_SECONDS, tuple(secrets_of_url(url)))
