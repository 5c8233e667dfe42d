"""Notification of incidents that the watch does not find: Alertmanager and the orchestrator report them.

Who reports an incident writes it without messages. Each watch looks for such incidents again and again, so
that one that a silence kept back is notified when the silence ends, also after a restart.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, update

from tastemaker.storage.tables import alert_incidents, alert_silences
from tastemaker.watch.incident import Incident, Message
from tastemaker.watch.routing import Routing
from tastemaker.watch.rows import database_now, enqueue, read_incident, read_silence


def notify_reported(engine: Engine, routing: Routing) -> int:
    """Enqueue the triggers of reported incidents that are open and that no silence keeps back.

    Each incident is notified once, however many processes do this at the same time. As with the watch's own
    incidents, one that a person has acknowledged is not notified any more.

    Args:
        engine: The metadata database.
        routing: The channels. An incident of a severity without channels stays as it is.

    Returns:
        The number of incidents that were notified now.
    """
    waits = _waits([severity for severity, channels in routing.channels.items() if channels])
    with engine.connect() as connection:
        found = connection.execute(select(alert_incidents).where(waits).order_by(alert_incidents.c.id)).all()
        if not found:
            return 0
        now = database_now(connection)
        rows = connection.execute(select(alert_silences).where(alert_silences.c.ends_at > now))
        silences, at = [read_silence(row) for row in rows], now.timestamp()
    due = [
        one
        for one in map(read_incident, found)
        if not any(silence.matches(one.rule, one.labels, at) for silence in silences)
    ]
    if not due:
        return 0
    with engine.begin() as connection:
        return sum(_notify(connection, one, routing.channels[one.severity], waits) for one in due)


def _waits(severities: list[str]) -> ColumnElement[bool]:
    """Return the condition that an incident is to be notified unless a silence matches it."""
    return and_(
        alert_incidents.c.source != "watch",
        alert_incidents.c.severity.in_(severities),
        alert_incidents.c.closed_at.is_(None),
        alert_incidents.c.notified_at.is_(None),
        alert_incidents.c.acknowledged_at.is_(None),
    )


def _notify(
    connection: Connection, incident: Incident, channels: tuple[str, ...], waits: ColumnElement[bool]
) -> bool:
    """Enqueue an incident's trigger, unless it was closed, acknowledged or notified meanwhile."""
    now = database_now(connection)
    values: dict[str, Any] = {"notified": list(channels), "notified_at": now}
    changed = connection.execute(
        update(alert_incidents).where(alert_incidents.c.uid == incident.uid, waits).values(values)
    )
    if changed.rowcount == 0:
        return False
    enqueue(connection, Message(incident.uid, "trigger", channels, now.timestamp()), {})
    return True
