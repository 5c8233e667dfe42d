"""The message about an incident."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tastemaker.alerting.grafana.board_link import board_link
from tastemaker.notifications.notification import Event, Link, Notification
from tastemaker.settings import Settings
from tastemaker.watch.records import IncidentRecord
from tastemaker.watch.signed_links import SignedLinks

MOST_RELATED = 5
"""How many related alerts a message names."""


def compose(
    incident: IncidentRecord,
    event: Event,
    *,
    delivery_id: str,
    occurred_at: datetime,
    value: float | None,
    related: Sequence[str] = (),
    settings: Settings,
    links: SignedLinks,
) -> Notification:
    """Return the message about an event of an incident.

    Args:
        incident: The incident as the database has it now.
        event: What the message reports, such as trigger or resolve.
        delivery_id: Identity of the message, the same in each attempt.
        occurred_at: When the event happened.
        value: The newest value of the condition; None if it is not known.
        related: What else happened in the incident, such as alerts of the same cause.
        settings: For the addresses of runbooks and boards.
        links: Makes links with which a person without a login can acknowledge and silence.
    """
    runbook = f"{settings.alerts.runbooks}/{incident.rule}.md"
    found = [Link("Incident", links.page(incident.number))]
    if runbook.startswith(("http://", "https://")):
        found.append(Link("Runbook", runbook))
    if settings.watch.grafana_url is not None:
        base = str(settings.watch.grafana_url)
        found.append(
            Link("Board", board_link(base, incident.rule, incident.cause, incident.opened_at, settings))
        )
    commands = [f"tastemaker alerts show {incident.number}"]
    if run_id := incident.labels.get("run_id"):
        commands.append(f"tastemaker runs show {run_id}")
    if event in ("trigger", "reminder"):
        found += [
            Link("Acknowledge", links.action(incident.number, "acknowledge")),
            Link("Silence", links.action(incident.number, "silence")),
        ]
        commands.append(f"tastemaker alerts ack {incident.number}")
    return Notification(
        key=incident.key,
        delivery_id=delivery_id,
        event=event,
        incident=incident.number,
        rule=incident.rule,
        severity=incident.severity,
        labels=incident.labels,
        summary=incident.summary,
        condition=incident.condition,
        value=incident.value if value is None else value,
        started_at=incident.opened_at,
        occurred_at=occurred_at,
        details=tuple(f"Related: {text}" for text in related[:MOST_RELATED]),
        links=tuple(found),
        commands=tuple(commands),
    )
