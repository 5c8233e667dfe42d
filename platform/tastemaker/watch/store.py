"""What the watch keeps in the metadata database: states, incidents, the outbox, silences, lease and beats.

Changes of states and the messages that follow from them are one transaction. Unique keys make each incident,
trigger, reminder and resolve exist once, so that changes of which it is unknown whether they were written can
be written again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, or_, select, update

from tastemaker.storage.tables import (
    alert_incidents,
    alert_notes,
    alert_silences,
    alert_states,
    watch_beats,
    watch_leases,
)
from tastemaker.storage.upserts import insert_new, upsert
from tastemaker.watch.incident import AlertState, Changes, Incident, Silence
from tastemaker.watch.rows import (
    database_now,
    enqueue,
    number_of,
    read_incident,
    read_silence,
    read_state,
    utc_datetime,
)

LEASE_SECONDS = 15.0
"""How long a watcher evaluates without renewing its lease."""
LATELY_SECONDS = 3_600.0
"""How long closed incidents are of interest to those that follow."""
_EVALUATE = "evaluate"


class LeaseLost(Exception):
    """Another watcher evaluates: what this one would write is not to be written."""


@dataclass(frozen=True)
class Interventions:
    """What people did, and what another process may have changed."""

    silences: tuple[Silence, ...]
    acknowledged: frozenset[str]
    """Identities of the open incidents that a person acknowledged."""


class WatchStore:
    """The tables of alerts, for one watcher."""

    def __init__(self, engine: Engine, watcher: str) -> None:
        """Use a database.

        Args:
            engine: The metadata database.
            watcher: Identity of this process, such as host, process id and start.
        """
        self.engine, self.watcher = engine, watcher
        self._started_at = utc_datetime(time.time())

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
                        "evaluated_at": None if evaluated_at is None else utc_datetime(evaluated_at),
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
        return [read_state(row) for row in states], [read_incident(row) for row in incidents]

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
            return Interventions(tuple(map(read_silence, silences)), frozenset(acknowledged))

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
                if (number := number_of(connection, note.incident_uid, numbers)) is not None:
                    row = {
                        "uid": note.uid,
                        "incident_id": number,
                        "at": utc_datetime(note.at),
                        "text": note.text,
                    }
                    insert_new(connection, alert_notes, [row])
            for message in changes.messages:
                enqueue(connection, message, numbers)


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
        "opened_at": utc_datetime(incident.opened_at),
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
    changed: dict[str, Any] = {"reminders": incident.reminders}
    if incident.notified_at is not None:  # else another process may have notified it meanwhile
        changed |= {
            "notified": list(incident.notified),
            "notified_at": utc_datetime(incident.notified_at),
        }
    if incident.closed_at is not None:
        changed |= {"closed_at": utc_datetime(incident.closed_at), "ending": incident.ending}
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
                "since": utc_datetime(state.since),
                "quiet_since": None if state.quiet_since is None else utc_datetime(state.quiet_since),
                "value": state.value,
                "data_at": utc_datetime(state.data_at),
                "blocked_at": None if state.blocked_at is None else utc_datetime(state.blocked_at),
                "incident_uid": state.incident_uid,
                "joined": state.joined,
                "updated_at": utc_datetime(state.checked_at),
            }
        ],
    )
