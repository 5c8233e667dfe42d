"""A channel that keeps what it is sent, as a receiver with keys sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tastemaker.notifications.notification import Delivery, Notification

SENT = Delivery("sent", "202 Accepted")


class RecordingChannel:
    """A channel that answers as it is asked to, and keeps every attempt."""

    def __init__(self, name: str, answer: Callable[[Notification], Delivery] = lambda _: SENT) -> None:
        self.name, self.answer = name, answer
        self.attempts: list[Notification] = []
        self._lock = threading.Lock()

    def send(self, notification: Notification) -> Delivery:
        """Keep the notification and answer."""
        with self._lock:
            self.attempts.append(notification)
        return self.answer(notification)

    def received(self) -> list[tuple[str, int]]:
        """Event and incident of each message, repeated attempts counted once."""
        seen = dict.fromkeys((one.delivery_id, one.event, one.incident) for one in self.attempts)
        return [(event, incident) for _, event, incident in seen]
