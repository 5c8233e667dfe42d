"""What people do: they acknowledge incidents, and silence alerts for a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from tastemaker.errors import TastemakerError, UnknownNameError
from tastemaker.storage.tables import alert_incidents, alert_silences
from tastemaker.watch.incident import Message, Silence
from tastemaker.watch.records import IncidentRecord
from tastemaker.watch.rows import database_now, enqueue
from tastemaker.watch_settings import WatchSettings

MOST_SILENCE = timedelta(days=7)


def acknowledge(engine: Engine, number: int, by: str) -> bool:
    """Acknowledge an open incident, and enqueue the message to the channels that got its trigger.

    Args:
        engine: The metadata database.
        number: The incident's number.
        by: Who acknowledges it.

    Returns:
        False if it was acknowledged already.

    Raises:
        TastemakerError: If there is no such incident, or it has ended.
    """
    with engine.begin() as connection:
        now = database_now(connection)
        changed = connection.execute(
            update(alert_incidents)
            .where(
                alert_incidents.c.id == number,
                alert_incidents.c.closed_at.is_(None),
                alert_incidents.c.acknowledged_at.is_(None),
            )
            .values(acknowledged_at=now, acknowledged_by=by[:100])
        )
        row = _open_row(connection, number)
        if changed.rowcount == 0:
            return False
        message = Message(row.uid, "acknowledge", (), now.timestamp())
        enqueue(connection, message, {row.uid: number})
    return True


def _open_row(connection: Connection, number: int) -> Row[Any]:
    row = connection.execute(select(alert_incidents).where(alert_incidents.c.id == number)).one_or_none()
    if row is None:
        raise UnknownNameError(
            f"there is no incident {number}", fix="list them: tastemaker alerts list --all"
        )
    if row.closed_at is not None:
        raise TastemakerError(
            f"incident {number} ended at {row.closed_at:%Y-%m-%d %H:%M:%S} UTC: {row.ending}",
            fix="list the open ones: tastemaker alerts list",
        )
    return row


def matchers_of(incident: IncidentRecord, settings: WatchSettings) -> dict[str, str]:
    """Return the matchers of a silence for an incident's alert.

    Args:
        incident: An incident, open or over, as `records` reads it.
        settings: Channels for its severity.

    Raises:
        TastemakerError: If a silence would do nothing: Alertmanager notifies people of the incident itself.
    """
    if incident.source == "alertmanager" and not settings.channels_of(incident.severity):
        raise TastemakerError(
            f"people are notified of incident {incident.number} by Alertmanager, which knows no silence of "
            f"the watch: no channel of [watch.channels] is for severity {incident.severity}",
            fix="silence it in Alertmanager: amtool silence add",
        )
    labels = {name: text for name, text in incident.labels.items() if name != "rule"}
    return {"rule": incident.rule, **labels}


def silence(engine: Engine, matchers: Mapping[str, str], *, seconds: float, by: str, reason: str) -> Silence:
    """Silence alerts for a time: they are not notified until it ends.

    Args:
        engine: The metadata database.
        matchers: Label -> value, and `rule` -> name of the rule. All must match.
        seconds: For how long, from now.
        by: Who silences them.
        reason: Why; people read it.

    Returns:
        The silence as stored, with its number as `id`.

    Raises:
        TastemakerError: If it would silence everything, has no reason, or does not end within seven days.
    """
    if not matchers:
        raise TastemakerError(
            "a silence without a label would silence every alert", fix="name a rule or a label: rule=slow"
        )
    if not 0 < seconds <= MOST_SILENCE.total_seconds():
        raise TastemakerError(
            f"a silence of {seconds:g} s, must be more than 0 and at most 7 days", fix="pass --for 2h"
        )
    if not reason.strip():
        raise TastemakerError("a silence needs a reason", fix='pass --reason "..."')
    with engine.begin() as connection:
        now = database_now(connection)
        row = {
            "matchers": dict(matchers),
            "starts_at": now,
            "ends_at": now + timedelta(seconds=seconds),
            "created_by": by[:100],
            "reason": reason,
        }
        number = connection.execute(insert(alert_silences).values(row)).inserted_primary_key
        assert number is not None
    return Silence(number[0], dict(matchers), now.timestamp(), now.timestamp() + seconds)


def end_silence(engine: Engine, number: int) -> None:
    """End a silence now.

    Args:
        engine: The metadata database.
        number: The silence's number.

    Raises:
        TastemakerError: If there is no such silence, or it has ended.
    """
    with engine.begin() as connection:
        now = database_now(connection)
        ends_at = connection.execute(
            select(alert_silences.c.ends_at).where(alert_silences.c.id == number)
        ).scalar_one_or_none()
        if ends_at is None:
            raise TastemakerError(
                f"there is no silence {number}", fix="list them: tastemaker alerts silences"
            )
        if ends_at <= now:
            raise TastemakerError(
                f"silence {number} ended at {ends_at:%Y-%m-%d %H:%M:%S} UTC", fix="nothing is left to do"
            )
        connection.execute(update(alert_silences).where(alert_silences.c.id == number).values(ends_at=now))
