"""A test alert through the channels, and its end."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from tastemaker.notifications.notification import Channel, Delivery, Event, Notification, alert_key

RULE = "test"


def send_test_messages(
    channels: Mapping[str, Channel], environment: str
) -> list[tuple[str, Event, Delivery]]:
    """Send a trigger and a resolve through each channel, and return channel, event and outcome of each.

    Args:
        channels: Name -> channel.
        environment: The environment's name.
    """
    sent: list[tuple[str, Event, Delivery]] = []
    identity, started_at = uuid.uuid4().hex, datetime.now(UTC)
    for name, channel in channels.items():
        for event in ("trigger", "resolve"):
            notification = Notification(
                key=alert_key(environment, RULE, {"test": identity}),
                delivery_id=f"{identity}-{event}-0-{name}",
                event=event,
                incident=0,
                rule=RULE,
                severity="ticket",
                labels={},
                summary="This is a test: nothing is wrong.",
                condition="Sent by tastemaker alerts test.",
                value=None,
                started_at=started_at,
                occurred_at=datetime.now(UTC),
            )
            sent.append((name, event, channel.send(notification)))
    return sent
