"""A notification, what a channel is, and what came of one attempt to send."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, Protocol

Event = Literal["trigger", "reminder", "acknowledge", "resolve"]
KEY_CHARACTERS = 255
"""The most characters of a key; PagerDuty's limit of a `dedup_key`."""


@dataclass(frozen=True)
class Link:
    """A page that helps with an incident."""

    title: str
    url: str


@dataclass(frozen=True)
class Notification:
    """What a channel sends about an incident."""

    key: str
    """Identity of the alert for the receiver, from its trigger to its resolve; see `alert_key`."""
    delivery_id: str
    """Identity of this message: the same in every attempt to send it."""
    event: Event
    incident: int
    """Number of the incident, as in `tastemaker alerts list`."""
    rule: str
    severity: str
    """page, ticket or none, as the rule has it."""
    labels: Mapping[str, str]
    summary: str
    """One sentence with the number."""
    condition: str
    """The condition in words, with the threshold."""
    value: float | None
    """Value of the condition; None if there was none."""
    started_at: datetime
    """When the incident began."""
    occurred_at: datetime
    """When this event of the incident occurred."""
    details: tuple[str, ...] = ()
    """Sentences: how long after which deployment, top reasons, related alerts."""
    examples: tuple[str, ...] = ()
    """Up to three request ids."""
    links: tuple[Link, ...] = ()
    commands: tuple[str, ...] = ()
    """Commands that are ready to paste."""

    def to_json(self) -> dict[str, Any]:
        """Return the notification as strict JSON; a value that is not finite is text, such as "inf"."""
        value = self.value
        finite = value is None or math.isfinite(value)
        return asdict(self) | {
            "labels": dict(self.labels),
            "value": value if finite else str(value),
            "started_at": self.started_at.isoformat(),
            "occurred_at": self.occurred_at.isoformat(),
            "details": list(self.details),
            "examples": list(self.examples),
            "links": [asdict(link) for link in self.links],
            "commands": list(self.commands),
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Notification:
        """Return the notification that `to_json` wrote."""
        value = written["value"]
        return cls(
            **{
                **written,
                "value": None if value is None else float(value),
                "started_at": datetime.fromisoformat(written["started_at"]),
                "occurred_at": datetime.fromisoformat(written["occurred_at"]),
                "details": tuple(written["details"]),
                "examples": tuple(written["examples"]),
                "links": tuple(Link(**link) for link in written["links"]),
                "commands": tuple(written["commands"]),
            }
        )


@dataclass(frozen=True)
class Delivery:
    """What came of one attempt to send a notification."""

    outcome: Literal["sent", "retry", "rejected"]
    """Sent, to be tried again, or not to be tried again because the receiver refuses it."""
    detail: str
    """One line for people: the status and the receiver's words. It contains no secret."""
    retry_after_seconds: float | None = None
    """How long the receiver asks to wait before the next attempt; None if it did not ask."""


class Channel(Protocol):
    """A way to people or their tools."""

    name: str
    """The channel's name in `[watch.channels.NAME]`."""

    def send(self, notification: Notification) -> Delivery:
        """Send a notification once and return what came of it.

        It never raises for what the network or the receiver does, and returns within the channel's deadline.
        """
        ...


def alert_key(environment: str, rule: str, labels: Mapping[str, str]) -> str:
    """Return the identity of an alert for receivers: tastemaker/ENVIRONMENT/RULE/HASH.

    It does not depend on the order of the labels. What is longer than a key may be ends in a hash.

    Args:
        environment: The environment, such as production.
        rule: Name of the alert's rule.
        labels: The labels that distinguish the rule's alerts.
    """
    text = json.dumps(sorted(labels.items()), ensure_ascii=False, separators=(",", ":"))
    key = f"tastemaker/{environment}/{rule}/{_hash(text)}"
    return key if len(key) <= KEY_CHARACTERS else f"{key[: KEY_CHARACTERS - 17]}/{_hash(key)}"


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
