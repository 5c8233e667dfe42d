"""Delivery: one thread per channel sends what the outbox has for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tastemaker.errors import TastemakerError
from tastemaker.notifications.notification import Channel, Delivery, Notification
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.supervised_thread import SupervisedThread
from tastemaker.watch import outbox, records
from tastemaker.watch.outbox import Claim

CLAIM_SECONDS = 75.0
"""For how long a message belongs to the process that sends it: longer than any channel's deadline."""
LOOK_SECONDS = 1.0
"""How often a channel's thread looks for messages of other processes, such as an acknowledgement."""

logger = logging.getLogger("tastemaker.watch")

Compose = Callable[[records.IncidentRecord, Claim], Notification]


@dataclass(frozen=True)
class _Unwritten:
    """What came of an attempt that the database does not know of."""

    claim: Claim
    delivery: Delivery


class ChannelDelivery:
    """The messages of one channel, in a thread of its own: a channel that hangs delays no other."""

    def __init__(
        self,
        engine: Engine,
        channel: Channel,
        *,
        channels: tuple[str, ...],
        compose: Compose,
        counted: Callable[[str, str], None],
        claim_seconds: float = CLAIM_SECONDS,
    ) -> None:
        """Create a thread that is not started.

        Args:
            engine: The metadata database.
            channel: Where this thread sends messages.
            channels: The names of all channels, to which a trigger goes that this one refuses.
            compose: Makes the message about an incident.
            counted: Called with the channel's name and the outcome of each attempt.
            claim_seconds: For how long a message belongs to this process while it sends it.
        """
        self._engine, self._channel, self._channels = engine, channel, channels
        self._compose, self._counted, self._claim_seconds = compose, counted, claim_seconds
        self._unwritten: _Unwritten | None = None
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._log = FailureLog(logger, f"the outbox of {channel.name} can be read again")
        self._thread = SupervisedThread(self._run, name=f"deliver-{channel.name}")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look for messages now."""
        self._wake.set()

    def close(self, seconds: float) -> None:
        """Send no further message, and wait for the one that is being sent, at most so many seconds."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(seconds)

    def deliver_all(self) -> int:
        """Send everything that is due now, and return the number of attempts."""
        count = 0
        while self._deliver_one():
            count += 1
        return count

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                is_busy = self._deliver_one()
                self._log.succeeded()
                self._thread.succeeded()
            except (SQLAlchemyError, OSError, TastemakerError) as error:
                self._log.failed("the outbox can't be read or written", detail=_first_line(error))
                is_busy = False
            if not is_busy:
                self._wake.wait(LOOK_SECONDS)
                self._wake.clear()

    def _deliver_one(self) -> bool:
        """Send one message, and return whether there was one."""
        if self._unwritten is not None:  # was sent while the database was away: not sent again
            self._finish(self._unwritten.claim, self._unwritten.delivery)
        if self._stopping.is_set():
            return False
        claimed = outbox.claim(self._engine, self._channel.name, self._claim_seconds)
        if claimed is None:
            return False
        began = time.monotonic()
        notification = self._message(claimed)
        if time.monotonic() - began > self._claim_seconds / 2:
            return True  # too late to be sure that no other process sends it; it is claimed again
        delivery = self._send(notification)
        self._counted(self._channel.name, delivery.outcome)
        self._finish(claimed, delivery)
        return True

    def _message(self, claimed: Claim) -> Notification:
        if claimed.payload is not None:
            return Notification.from_json(claimed.payload)
        notification = self._compose(records.incident(self._engine, claimed.incident), claimed)
        outbox.keep_payload(self._engine, claimed, notification.to_json())
        return notification

    def _send(self, notification: Notification) -> Delivery:
        try:
            return self._channel.send(notification)
        except Exception as error:  # a channel of a plugin: one that raises is tried again
            logger.exception("the channel %s raised", self._channel.name)
            return Delivery("retry", f"the channel raised {type(error).__name__}")

    def _finish(self, claimed: Claim, delivery: Delivery) -> None:
        self._unwritten = _Unwritten(claimed, delivery)
        outcome = outbox.finish(self._engine, claimed, delivery, self._channels)
        self._unwritten = None
        if outcome in ("rejected", "expired"):
            logger.error(
                "%s of incident %d to %s: %s (%s)",
                claimed.event, claimed.incident, claimed.channel, outcome, delivery.detail,
            )  # fmt: skip


class Deliveries:
    """The threads of all channels."""

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Channel],
        *,
        compose: Compose,
        counted: Callable[[str, str], None],
        timeouts: Mapping[str, float],
    ) -> None:
        """Create the threads.

        Args:
            engine: The metadata database.
            channels: Name -> channel.
            compose: Makes the message about an incident.
            counted: Called with a channel's name and the outcome of each attempt.
            timeouts: Name -> the channel's deadline of one attempt in seconds.
        """
        names = tuple(channels)
        self._threads = [
            ChannelDelivery(
                engine,
                channel,
                channels=names,
                compose=compose,
                counted=counted,
                claim_seconds=timeouts[name] + 15 if name in timeouts else CLAIM_SECONDS,
            )
            for name, channel in channels.items()
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look for messages now."""
        for thread in self._threads:
            thread.wake()

    def close(self, seconds: float = 10.0) -> None:
        """Stop the threads; messages that are being sent have so many seconds to end."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.close(max(0.0, until - time.monotonic()))

    def deliver_all(self) -> int:
        """Send everything that is due now without the threads, and return the number of attempts."""
        return sum(thread.deliver_all() for thread in self._threads)


def occurred_at(claimed: Claim) -> datetime:
    """Return when the event of a message happened."""
    return datetime.fromtimestamp(claimed.at, UTC)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
