"""What the watch keeps in the metadata database: states, incidents, the outbox, silences, lease and beats.

Changes of states and the messages that follow from them are one transaction. Unique keys make each incident,
trigger, reminder and resolve exist once, so that changes of which it is unknown whether they were written can
be written again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, func, insert, or_, select, update

from tastemaker.errors import TastemakerError
from tastemaker.storage.tables import (
    alert_incidents,
    alert_notes,
    alert_outbox,
    alert_silences,
    alert_states,
    watch_beats,
    watch_leases,
)
from tastemaker.storage.upserts import insert_new, upsert
from tastemaker.watch.incident import AlertState, Changes, Incident, Message, Silence

LEASE_SECONDS = 15.0
"""How long a watcher evaluates without renewing its lease."""
LATELY_SECONDS = 3_600.0
"""How long closed incidents are of interest to those that follow."""
MOST_SILENCE = timedelta(days=7)
_EVALUATE = "evaluate"


class LeaseLost(Exception):
    """Another watcher evaluates: what this one would write is not to be written."""


@dataclass(frozen=True)
class Interventions:
    """What people did, and what another process may have changed."""

    silences: tuple[Silence, ...]
    acknowledged: frozenset[str]
    """Identities of the open incidents that a person acknowledged."""


def moment(seconds: float) -> datetime:
    """Return seconds since 1970 UTC as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def database_now(connection: Connection) -> datetime:
    """Return the time by the clock that all processes of a database share.

    For Postgres that is the server's clock; a SQLite file is on one machine, whose clock it is.
    """
    if connection.dialect.name == "sqlite":
        return moment(time.time())
    found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)


class WatchStore:
    """The tables of alerts, for one watcher."""

    def __init__(self, engine: Engine, watcher: str) -> None:
        """Use a database.

        Args:
            engine: The metadata database.
            watcher: Identity of this process, such as host, process id and start.
        """
        self.engine, self.watcher = engine, watcher
        self._started_at = moment(time.time())

    def renew(self, role: str, evaluated_at: float | None) -> bool:
        """Write the beat, and take or keep the lease if no other watcher has it.

        Args:
            role: evaluates, waits or facts; the lease is not asked for with facts.
            evaluated_at: When the rules were evaluated last.

        Returns:
            Whether this watcher may evaluate for LEASE_SECONDS.
        """
        with self.engine.begin() as connection:
            now = database_now(connection)
            holds = role != "facts" and self._take_lease(connection, now)
            upsert(
                connection,
                watch_beats,
                [
                    {
                        "watcher": self.watcher,
                        "role": role if role == "facts" else "evaluates" if holds else "waits",
                        "started_at": self._started_at,
                        "beat_at": now,
                        "evaluated_at": None if evaluated_at is None else moment(evaluated_at),
                    }
                ],
            )
            connection.execute(watch_beats.delete().where(watch_beats.c.beat_at < now - timedelta(days=1)))
        return holds

    def _take_lease(self, connection: Connection, now: datetime) -> bool:
        until = {"holder": self.watcher, "expires_at": now + timedelta(seconds=LEASE_SECONDS)}
        insert_new(connection, watch_leases, [{"name": _EVALUATE, **until}])
        taken = connection.execute(
            update(watch_leases)
            .where(
                watch_leases.c.name == _EVALUATE,
                or_(watch_leases.c.holder == self.watcher, watch_leases.c.expires_at < now),
            )
            .values(**until)
        )
        return taken.rowcount == 1

    def release(self) -> None:
        """Give the lease back, so that another watcher does not have to wait for its end."""
        with self.engine.begin() as connection:
            mine = and_(watch_leases.c.name == _EVALUATE, watch_leases.c.holder == self.watcher)
            connection.execute(watch_leases.delete().where(mine))

    def load(self) -> tuple[list[AlertState], list[Incident]]:
        """Return the alerts that are not ok, and their incidents that are open or were closed lately."""
        with self.engine.connect() as connection:
            since = database_now(connection) - timedelta(seconds=LATELY_SECONDS)
            states = connection.execute(select(alert_states)).all()
            incidents = connection.execute(
                select(alert_incidents).where(
                    alert_incidents.c.source == "watch",
                    or_(alert_incidents.c.closed_at.is_(None), alert_incidents.c.closed_at > since),
                )
            ).all()
        return [_state(row) for row in states], [read_incident(row) for row in incidents]

    def interventions(self) -> Interventions:
        """Return the silences that have not ended, and the open incidents that are acknowledged."""
        with self.engine.connect() as connection:
            silences = connection.execute(
                select(alert_silences).where(alert_silences.c.ends_at > database_now(connection))
            ).all()
            acknowledged = connection.execute(
                select(alert_incidents.c.uid).where(
                    alert_incidents.c.closed_at.is_(None), alert_incidents.c.acknowledged_at.is_not(None)
                )
            ).scalars()
            return Interventions(tuple(map(_silence, silences)), frozenset(acknowledged))

    def write(self, changes: Changes, *, with_lease: bool = True) -> None:
        """Write changes in one transaction; what is there already is not written again.

        Args:
            changes: The changes, in the order in which they happened.
            with_lease: Whether they may be written only by the watcher that has the lease.

        Raises:
            LeaseLost: Another watcher has the lease. Nothing was written.
        """
        with self.engine.begin() as connection:
            if with_lease and not self._take_lease(connection, database_now(connection)):
                raise LeaseLost
            numbers = {uid: _write_incident(connection, one) for uid, one in changes.incidents.items()}
            for key, state in changes.states.items():
                _write_state(connection, key, state)
            for note in changes.notes:
                if (number := _number(connection, note.incident_uid, numbers)) is not None:
                    row = {"uid": note.uid, "incident_id": number, "at": moment(note.at), "text": note.text}
                    insert_new(connection, alert_notes, [row])
            for message in changes.messages:
                enqueue(connection, message, numbers)


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
        raise TastemakerError(f"there is no incident {number}", fix="list them: tastemaker alerts list --all")
    if row.closed_at is not None:
        raise TastemakerError(
            f"incident {number} ended at {row.closed_at:%Y-%m-%d %H:%M:%S} UTC: {row.ending}",
            fix="list the open ones: tastemaker alerts list",
        )
    return row


def silence(engine: Engine, matchers: Mapping[str, str], *, seconds: float, by: str, reason: str) -> Silence:
    """Silence alerts for a time.

    Args:
        engine: The metadata database.
        matchers: Label -> value, and `rule` -> name of the rule. All must match.
        seconds: For how long.
        by: Who silences them.
        reason: Why.

    Raises:
        TastemakerError: If it would silence everything, or without an end within seven days.
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
    """End a silence now. Raises TastemakerError if there is no such silence, or it has ended."""
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


def _write_incident(connection: Connection, incident: Incident) -> int:
    """Write an incident, and return its number.

    If the alert has an open incident that another process wrote, nothing is changed but that one is used.
    """
    row = {
        "uid": incident.uid,
        "key": incident.key,
        "rule": incident.rule,
        "labels": dict(incident.labels),
        "severity": incident.severity,
        "cause": incident.cause,
        "source": incident.source,
        "opened_at": moment(incident.opened_at),
        "summary": incident.summary,
        "condition": incident.condition,
        "value": incident.value,
        "reminders": 0,
        "notified": [],
    }
    insert_new(connection, alert_incidents, [row])
    number = connection.execute(
        select(alert_incidents.c.id).where(alert_incidents.c.uid == incident.uid)
    ).scalar_one_or_none()
    if number is None:
        number = connection.execute(
            select(alert_incidents.c.id).where(
                alert_incidents.c.key == incident.key, alert_incidents.c.closed_at.is_(None)
            )
        ).scalar_one()
    changed: dict[str, Any] = {
        "notified": list(incident.notified),
        "notified_at": None if incident.notified_at is None else moment(incident.notified_at),
        "reminders": incident.reminders,
    }
    if incident.closed_at is not None:
        changed |= {"closed_at": moment(incident.closed_at), "ending": incident.ending}
    connection.execute(update(alert_incidents).where(alert_incidents.c.id == number).values(changed))
    return int(number)


def _write_state(connection: Connection, key: str, state: AlertState | None) -> None:
    if state is None:
        connection.execute(alert_states.delete().where(alert_states.c.key == key))
        return
    upsert(
        connection,
        alert_states,
        [
            {
                "key": key,
                "rule": state.rule,
                "labels": dict(state.labels),
                "phase": state.phase,
                "since": moment(state.since),
                "quiet_since": None if state.quiet_since is None else moment(state.quiet_since),
                "value": state.value,
                "data_at": moment(state.data_at),
                "blocked_at": None if state.blocked_at is None else moment(state.blocked_at),
                "incident_uid": state.incident_uid,
                "joined": state.joined,
                "updated_at": moment(state.checked_at),
            }
        ],
    )


def enqueue(connection: Connection, message: Message, numbers: Mapping[str, int]) -> None:
    """Add a message to the outbox, once for each channel.

    Args:
        connection: Of the metadata database.
        message: The message. Other events than triggers go to every channel that got the trigger.
        numbers: Identity -> number of the incidents that are known.
    """
    number = _number(connection, message.incident_uid, numbers)
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
            "created_at": moment(message.at),
            "due_at": database_now(connection),
            "tries": 0,
        }
        insert_new(connection, alert_outbox, [row])


def _number(connection: Connection, uid: str, numbers: Mapping[str, int]) -> int | None:
    """Return the number of an incident; None if it was never written."""
    if uid in numbers:
        return numbers[uid]
    found = connection.execute(select(alert_incidents.c.id).where(alert_incidents.c.uid == uid))
    return found.scalar_one_or_none()


def _state(row: Row[Any]) -> AlertState:
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


def _silence(row: Row[Any]) -> Silence:
    return Silence(row.id, row.matchers, row.starts_at.timestamp(), row.ends_at.timestamp())
