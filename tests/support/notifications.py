"""A notification with everything in it, and the same incident's later ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tastemaker.notifications.notification import Event, Link, Notification, alert_key

BEGAN = datetime(2026, 11, 29, 14, 2, 10, tzinfo=UTC)
LABELS = {"job": "tastemaker", "model": "ease"}
REQUESTS = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736")


def notification(event: Event = "trigger", *, after_seconds: float = 0.0, **other: Any) -> Notification:
    """Return a notification about incident 12.

    Args:
        event: Its event.
        after_seconds: How long after the beginning of the incident it occurred.
        other: Fields with another value.
    """
    fields: dict[str, Any] = {
        "key": alert_key("production", "fallback_share", LABELS),
        "delivery_id": f"12/{event}/{after_seconds:g}",
        "event": event,
        "incident": 12,
        "rule": "fallback_share",
        "severity": "page",
        "labels": LABELS,
        "summary": "ease: 12.5% of lists are not the model's",
        "condition": "More than 5 % of the lists of the last minute are not the model's.",
        "value": 0.125,
        "started_at": BEGAN,
        "occurred_at": BEGAN + timedelta(seconds=after_seconds),
        "details": (
            "It began 9 min 10 s after ease 20261129-135300-e828 was promoted.",
            "Of about 1,204 lists in 1 min: model_invalid 12.5%, popular in place of the model.",
        ),
        "examples": REQUESTS,
        "links": (
            Link("Incident 12", "http://127.0.0.1:3080/alerts/12"),
            Link("Runbook", "https://docs.shop.example/runbooks/fallback_share.md"),
        ),
        "commands": (
            "tastemaker alerts ack 12",
            "tastemaker models rollback --reason 'fallback_share, incident 12'",
            "tastemaker log search model:ease fallback:model_invalid since:2026-11-29T14:00Z",
        ),
    }
    return Notification(**(fields | other))
