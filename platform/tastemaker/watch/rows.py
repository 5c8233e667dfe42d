"""Rows of the alerts' tables: how they are read, and how they are written once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from tastemaker.storage.tables import alert_incidents, alert_outbox
from tastemaker.storage.upserts import insert_new
from tastemaker.watch.incident import AlertState, Incident, Message, Silence


def utc_datetime(seconds: float) -> datetime:
    """Return seconds since 1970 UTC as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def database_now(connection: Connection) -> datetime:
    """Return the time by the clock that all processes of a database share.

    For Postgres that is the server's clock; a SQLite file is on one machine, whose clock it is.
    """
    if connection.dialect.name == "sqlite":
        return utc_datetime(time.time())
    found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)


def enqueue(connection: Connection, message: Message, numbers: Mapping[str, int]) -> None:
    """Add a message to the outbox, once for each channel.

    Args:
        connection: Of the metadata database.
        message: The message. Other events than triggers go to every channel that got the trigger.
        numbers: Identity -> number of the incidents that are known.
    """
    number = number_of(connection, message.incident_uid, numbers)
    if number is None:
        return
    key = connection.execute(select(alert_incidents.c.key).where(alert_incidents.c.id == number)).scalar_one()
    channels = dict.fromkeys(message.channels)
    if message.event != "trigger":  # to every channel that got the trigger
        triggers = (alert_outbox.c.incident_id == number) & (alert_outbox.c.event == "trigger")
        found = connection.execute(select(alert_outbox.c.channel).where(triggers).order_by(alert_outbox.c.id))
        channels |= dict.fromkeys(found.scalars())
    for channel in channels:
        row = {
            "incident_id": number,
            "channel": channel,
            "event": message.event,
            "n": message.n,
            "key": key,
            "delivery_id": f"{message.incident_uid}-{message.event}-{message.n}-{channel}",
            "created_at": utc_datetime(message.at),
            "due_at": database_now(connection),
            "tries": 0,
        }
        insert_new(connection, alert_outbox, [row])


def number_of(connection: Connection, uid: str, numbers: Mapping[str, int]) -> int | None:
    """Return the number of an incident; None if it was never written.

    Args:
        connection: To the metadata database, in the transaction that may have written the incident.
        uid: The incident's identity.
        numbers: Identity -> number of incidents that are known, which saves a read.
    """
    if uid in numbers:
        return numbers[uid]
    found = connection.execute(select(alert_incidents.c.id).where(alert_incidents.c.uid == uid))
    return found.scalar_one_or_none()


def read_state(row: Row[Any]) -> AlertState:
    """Return the state of a row of the table."""
    return AlertState(
        row.key,
        row.rule,
        frozenset(row.labels.items()),
        row.phase,
        row.since.timestamp(),
        row.data_at.timestamp(),
        row.updated_at.timestamp(),
        None if row.quiet_since is None else row.quiet_since.timestamp(),
        row.value,
        None if row.blocked_at is None else row.blocked_at.timestamp(),
        row.incident_uid,
        row.joined,
    )


def read_incident(row: Row[Any]) -> Incident:
    """Return the incident of a row of the table."""
    return Incident(
        uid=row.uid,
        key=row.key,
        rule=row.rule,
        labels=frozenset(row.labels.items()),
        severity=row.severity,
        cause=row.cause,
        source=row.source,
        opened_at=row.opened_at.timestamp(),
        summary=row.summary,
        condition=row.condition,
        value=row.value,
        closed_at=None if row.closed_at is None else row.closed_at.timestamp(),
        ending=row.ending,
        acknowledged=row.acknowledged_at is not None,
        notified=list(row.notified),
        notified_at=None if row.notified_at is None else row.notified_at.timestamp(),
        reminders=row.reminders,
    )


def read_silence(row: Row[Any]) -> Silence:
    """Return the silence of a row of the table."""
    return Silence(row.id, row.matchers, row.starts_at.timestamp(), row.ends_at.timestamp())
