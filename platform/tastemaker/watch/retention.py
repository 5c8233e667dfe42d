"""Deletion of what is over for long: incidents, their notes and messages, and silences."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, delete, select

from tastemaker.storage.tables import alert_incidents, alert_notes, alert_outbox, alert_silences
from tastemaker.watch.rows import database_now


def delete_old(engine: Engine, keep_days: float) -> int:
    """Delete the incidents that were closed so many days ago, and silences that ended then.

    Args:
        engine: The metadata database.
        keep_days: Age from which on they are deleted. Open incidents stay.

    Returns:
        The number of incidents that were deleted.
    """
    with engine.begin() as connection:
        until = database_now(connection) - timedelta(days=keep_days)
        old = select(alert_incidents.c.id).where(alert_incidents.c.closed_at < until)
        connection.execute(delete(alert_outbox).where(alert_outbox.c.incident_id.in_(old)))
        connection.execute(delete(alert_notes).where(alert_notes.c.incident_id.in_(old)))
        deleted = connection.execute(delete(alert_incidents).where(alert_incidents.c.closed_at < until))
        connection.execute(delete(alert_silences).where(alert_silences.c.ends_at < until))
        return deleted.rowcount
