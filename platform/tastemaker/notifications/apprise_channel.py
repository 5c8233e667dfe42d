"""Apprise: the services that have no channel of their own here."""

from __future__ import annotations

import logging
from threading import Lock

from tastemaker.channel_settings import AppriseChannelSettings
from tastemaker.errors import TastemakerError
from tastemaker.notifications.bulletin import Bulletin
from tastemaker.notifications.deadline import call_within
from tastemaker.notifications.message_text import EVENT_WORDS, plain_text, subject
from tastemaker.notifications.notification import Delivery, Event, Notification
from tastemaker.notifications.secret_values import read_secret

TYPES: dict[Event, str] = {
    "trigger": "failure",
    "reminder": "warning",
    "acknowledge": "info",
    "resolve": "success",
}


class AppriseChannel:
    """One of Apprise's services. It has no keys: a message that is sent again appears twice."""

    def __init__(self, name: str, settings: AppriseChannelSettings) -> None:
        """Read the URL and find its service.

        Args:
            name: The channel's name.
            settings: The variable with the URL, and the deadline of an attempt.

        Raises:
            TastemakerError: If Apprise is not installed, or the URL is missing or unknown to it.
        """
        self.name, self._timeout_seconds = name, settings.timeout_seconds
        url = read_secret(name, settings.url_variable)
        try:
            from apprise import Apprise
        except ImportError:
            raise TastemakerError(
                f"the channel {name} needs Apprise, which is not installed",
                fix='install "tastemaker[apprise]"',
            ) from None
        # Below this level Apprise logs URLs, and with them secrets.
        logging.getLogger("apprise").setLevel(logging.ERROR)
        self._apprise = Apprise()
        if not self._apprise.add(url.get_secret_value()):
            raise TastemakerError(
                f"the environment variable {settings.url_variable} of the channel {name} is not a URL that "
                "Apprise knows",
                fix="look up the service's form of URL in Apprise's documentation",
            )
        self._busy = Lock()

    def send(self, notification: Notification) -> Delivery:
        """Send one message."""
        title = f"{EVENT_WORDS[notification.event]}: {subject(notification)}"
        return self._deliver(title, plain_text(notification), TYPES[notification.event])

    def send_bulletin(self, bulletin: Bulletin) -> Delivery:
        """Send a bulletin."""
        return self._deliver(bulletin.subject, bulletin.text, "info")

    def _deliver(self, title: str, body: str, kind: str) -> Delivery:
        if not self._busy.acquire(blocking=False):
            return Delivery("retry", "the attempt before has not ended yet")
        try:
            sent = call_within(self._timeout_seconds, lambda: self._sent(title, body, kind), lambda: None)
        except TimeoutError:
            return Delivery("retry", f"there was no answer within {self._timeout_seconds:g} s")
        except Exception as error:  # of a service's plugin
            return Delivery("retry", f"Apprise failed: {type(error).__name__}")
        return Delivery("sent", "sent") if sent else Delivery("retry", "Apprise could not send it")

    def _sent(self, title: str, body: str, kind: str) -> bool:
        from apprise import NotifyFormat, NotifyType

        try:
            return bool(
                self._apprise.notify(
                    title=title,
                    body=body,
                    notify_type=NotifyType(kind),
                    body_format=NotifyFormat.TEXT,
                )
            )
        finally:
            self._busy.release()
