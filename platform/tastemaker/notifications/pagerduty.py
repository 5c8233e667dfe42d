"""PagerDuty's Events API v2: trigger, acknowledge and resolve of the alert with one `dedup_key`."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from tastemaker.channel_settings import PagerDutyChannelSettings
from tastemaker.errors import TastemakerError
from tastemaker.notifications.http_call import HttpTarget, ReceiverReply, json_body
from tastemaker.notifications.message_text import one_line, shortened, web_links
from tastemaker.notifications.notification import Delivery, Event, Notification
from tastemaker.notifications.secret_values import read_secret

KEY_LENGTH = 32
SUMMARY_CHARACTERS = 1_024
EVENT_BYTES = 512_000
ACTIONS: dict[Event, str] = {
    "trigger": "trigger",
    "reminder": "trigger",
    "acknowledge": "acknowledge",
    "resolve": "resolve",
}
"""A trigger of an open alert adds an entry to its log and calls no person again once it is acknowledged."""
SEVERITIES = {"page": "critical", "ticket": "warning", "none": "info"}


class PagerDutyChannel:
    """A PagerDuty integration."""

    def __init__(self, name: str, settings: PagerDutyChannelSettings) -> None:
        """Read the routing key.

        Args:
            name: The channel's name.
            settings: The variable with the key, the address and the deadline of an attempt.

        Raises:
            TastemakerError: If the key is missing or malformed.
        """
        self.name = name
        self._key = _routing_key(name, settings.key_variable)
        secrets = (self._key.get_secret_value(),)
        self._target = HttpTarget(settings.url, settings.timeout_seconds, secrets)

    def send(self, notification: Notification) -> Delivery:
        """Send one event. PagerDuty applies it once, however often it arrives."""
        event = pagerduty_event(notification, self._key.get_secret_value())
        return self._target.send(json_body(event), {}, _refusal, _words)


def pagerduty_event(notification: Notification, key: str) -> dict[str, Any]:
    """Return the event within PagerDuty's limits.

    (Events API v2, "Send an alert event".)

    Args:
        notification: What is reported; its key joins the events of an alert.
        key: The routing key, which is part of the event.
    """
    action = ACTIONS[notification.event]
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": action,
        "dedup_key": notification.key,
    }
    if action != "trigger":
        return event
    labels = notification.labels
    event["payload"] = {
        "summary": shortened(one_line(notification.summary) or notification.rule, SUMMARY_CHARACTERS),
        "source": shortened(labels.get("instance") or labels.get("job") or "tastemaker", SUMMARY_CHARACTERS),
        "severity": SEVERITIES.get(notification.severity, "error"),
        "timestamp": notification.occurred_at.isoformat(),
        "class": shortened(notification.rule, SUMMARY_CHARACTERS),
        "custom_details": _details(notification),
    }
    if model := labels.get("model"):
        event["payload"]["component"] = shortened(model, SUMMARY_CHARACTERS)
    event["client"] = "Tastemaker"
    if links := web_links(notification):
        event["client_url"] = links[0].url
        event["links"] = [
            {"href": link.url, "text": shortened(one_line(link.title), SUMMARY_CHARACTERS)} for link in links
        ]
    return _within_limit(event)


def _details(notification: Notification) -> dict[str, Any]:
    details = {
        "incident": notification.incident,
        "condition": notification.condition,
        "value": notification.to_json()["value"],
        "since": notification.started_at.isoformat(),
        "labels": dict(notification.labels),
        "details": list(notification.details),
        "requests": list(notification.examples),
        "commands": list(notification.commands),
    }
    return {name: value for name, value in details.items() if value not in (None, [], {}, "")}


def _within_limit(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event; one that is too large loses the details that matter least."""
    details = event["payload"]["custom_details"]
    for name in ("details", "labels", "requests", "condition", "commands"):
        if len(json_body(event)) <= EVENT_BYTES:
            return event
        details.pop(name, None)
        details["removed"] = f"what made the event larger than {EVENT_BYTES} bytes"
    if len(json_body(event)) > EVENT_BYTES:
        event.pop("links", None)
        event.pop("client_url", None)
    return event


def _routing_key(name: str, variable: str) -> SecretStr:
    key = read_secret(name, variable)
    text = key.get_secret_value()
    if len(text) != KEY_LENGTH or not text.isalnum():
        raise TastemakerError(
            f"the environment variable {variable} of the channel {name} has {len(text)} characters; a "
            f"routing key has {KEY_LENGTH} letters and digits",
            fix="copy the integration key of an Events API v2 integration of your PagerDuty service",
        )
    return key


def _refusal(reply: ReceiverReply) -> str | None:
    """PagerDuty itself answers 202 and says success; a proxy's page does not."""
    said = reply.json()
    if isinstance(said, dict) and said.get("status") == "success":
        return None
    return "the answer is not PagerDuty's"


def _words(reply: ReceiverReply) -> str:
    said = reply.json()
    if not isinstance(said, dict):
        return reply.text
    errors = said.get("errors")
    listed = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
    return ": ".join(part for part in (str(said.get("message", "")), listed) if part)
