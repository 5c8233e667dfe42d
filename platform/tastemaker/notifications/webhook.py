"""A webhook of the reader's own: the notification as JSON, signed, with a key that makes repeats harmless."""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from typing import Any

from pydantic import SecretStr

from tastemaker.channel_settings import WebhookChannelSettings
from tastemaker.notifications.bulletin import Bulletin
from tastemaker.notifications.http_call import HttpTarget, any_answer, header_value, json_body
from tastemaker.notifications.message_text import plain_text
from tastemaker.notifications.notification import Delivery, Notification
from tastemaker.notifications.secret_values import read_secret, read_secret_url, secrets_of_url

VERSION = "tastemaker.notification.v1"
BULLETIN_VERSION = "tastemaker.bulletin.v1"


class WebhookChannel:
    """A program that is called with each notification."""

    def __init__(self, name: str, settings: WebhookChannelSettings) -> None:
        """Read the secrets.

        Args:
            name: The channel's name.
            settings: The URL or its variable, the variable of the secret that signs, and the deadline.

        Raises:
            TastemakerError: If a secret is missing or malformed.
        """
        self.name = name
        self._secret = read_secret(name, settings.secret_variable) if settings.secret_variable else None
        hidden = [self._secret.get_secret_value()] if self._secret else []
        url = settings.url
        if settings.url_variable is not None:
            url = read_secret_url(name, settings.url_variable, is_key=False).get_secret_value()
            hidden += secrets_of_url(url)
        self._target = HttpTarget(url or "", settings.timeout_seconds, tuple(hidden))

    def send(self, notification: Notification) -> Delivery:
        """Call the program once; any 2xx means that it has the notification."""
        document = {"version": VERSION, "text": plain_text(notification), **notification.to_json()}
        return self._call(document, notification.delivery_id)

    def send_bulletin(self, bulletin: Bulletin) -> Delivery:
        """Call the program once with a bulletin."""
        document = {
            "version": BULLETIN_VERSION,
            "kind": bulletin.kind,
            "delivery_id": bulletin.delivery_id,
            "subject": bulletin.subject,
            "text": bulletin.text,
            "html": bulletin.html,
            "created_at": bulletin.created_at.isoformat(),
        }
        return self._call(document, bulletin.delivery_id)

    def _call(self, document: dict[str, Any], delivery_id: str) -> Delivery:
        body, at = json_body(document), int(time.time())
        headers = {"Idempotency-Key": header_value(delivery_id)}
        if self._secret is not None:
            headers["X-Tastemaker-Timestamp"] = str(at)
            headers["X-Tastemaker-Signature"] = f"v1={signature(self._secret, at, body)}"
        return self._target.send(body, headers, any_answer)


def signature(secret: SecretStr, timestamp: int, body: bytes) -> str:
    """Return the hexadecimal HMAC-SHA256 of TIMESTAMP.BODY.

    Args:
        secret: The key that sender and receiver share.
        timestamp: Seconds since 1970 UTC; a receiver refuses old ones, so that no call can be replayed.
        body: The bytes that are sent.
    """
    signed = f"{timestamp}.".encode() + body
    return hmac.new(secret.get_secret_value().encode(), signed, sha256).hexdigest()
