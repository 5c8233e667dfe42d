"""Incidents as people read them: the rows, their history, and what became of each message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, func, select

from tastemaker.errors import UnknownNameError
from tastemaker.storage.tables import (
    UtcDateTime,
    alert_incidents,
    alert_notes,
    alert_outbox,
    alert_silences,
    alert_states,
    watch_beats,
)
from tastemaker.watch.rows import database_now


@dataclass(frozen=True)
class IncidentRecord:
    """An incident in the database."""

    number: int
    key: str
    rule: str
    labels: Mapping[str, str]
    severity: str
    cause: str
    source: str
    opened_at: datetime
    closed_at: datetime | None
    ending: str | None
    """Why it was closed, in words."""
    value: float | None
    """The condition's value when it fired."""
    summary: str
    condition: str
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    notified: bool
    """Whether anyone was notified of it."""

    @property
    def state(self) -> str:
        """Open, acknowledged or over."""
        if self.closed_at is not None:
            return "over"
        return "open" if self.acknowledged_at is None else "acknowledged"

    def to_json(self) -> dict[str, Any]:
        """Return the incident as JSON; times are ISO 8601 in UTC."""
        return {"state": self.state} | {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class HistoryLine:
    """Something that happened in an incident."""

    at: datetime
    text: str


@dataclass(frozen=True)
class SilenceRecord:
    """A silence in the database."""

    number: int
    matchers: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    reason: str
    is_active: bool

    def to_json(self) -> dict[str, Any]:
        """Return the silence as JSON; times are ISO 8601 in UTC."""
        times = {"starts_at": self.starts_at.isoformat(), "ends_at": self.ends_at.isoformat()}
        return asdict(self) | times


def incidents(
    engine: Engine, *, only_open: bool = True, days: float = 30, limit: int = 1_000
) -> list[IncidentRecord]:
    """Return incidents, the newest first.

    Args:
        engine: The metadata database.
        only_open: Whether those that are over are left out.
        days: How many days ago the others were closed at most.
        limit: The most incidents that are returned.
    """
    with engine.connect() as connection:
        is_open = alert_incidents.c.closed_at.is_(None)
        since = database_now(connection) - timedelta(days=days)
        is_wanted = is_open if only_open else _open_or_closed_after(since)
        rows = connection.execute(
            select(alert_incidents).where(is_wanted).order_by(alert_incidents.c.id.desc()).limit(limit)
        ).all()
    return [_record(row) for row in rows]


def incident(engine: Engine, number: int) -> IncidentRecord:
    """Return an incident by its number, whether it is open or over.

    Args:
        engine: The metadata database.
        number: The number that messages and pages show.

    Raises:
        UnknownNameError: If there is none.
    """
    with engine.connect() as connection:
        row = connection.execute(select(alert_incidents).where(alert_incidents.c.id == number)).one_or_none()
    if row is None:
        raise UnknownNameError(f"there is no incident {number}", fix="list them: tastemaker alerts history")
    return _record(row)


def newest_value(engine: Engine, key: str) -> float | None:
    """Return the newest value of an alert that is not ok; None if the alert is ok, or has no value.

    Args:
        engine: The metadata database.
        key: The alert's identity, which its incident has, too.
    """
    with engine.connect() as connection:
        found = connection.execute(select(alert_states.c.value).where(alert_states.c.key == key))
        return found.scalar_one_or_none()


def related(engine: Engine, number: int) -> list[str]:
    """Return the texts of an incident's notes, the newest first.

    Args:
        engine: The metadata database.
        number: The incident's number.
    """
    with engine.connect() as connection:
        found = connection.execute(
            select(alert_notes.c.text)
            .where(alert_notes.c.incident_id == number)
            .order_by(alert_notes.c.at.desc())
        )
        return list(found.scalars())


def history(engine: Engine, record: IncidentRecord) -> list[HistoryLine]:
    """Return what happened in an incident, the earliest first: notes, messages and people.

    Args:
        engine: The metadata database, which has its notes and messages.
        record: The incident; its own times are lines, too.
    """
    with engine.connect() as connection:
        notes = connection.execute(
            select(alert_notes).where(alert_notes.c.incident_id == record.number)
        ).all()
        messages = connection.execute(
            select(alert_outbox)
            .where(alert_outbox.c.incident_id == record.number)
            .order_by(alert_outbox.c.id)
        ).all()
    lines = [HistoryLine(record.opened_at, f"{record.rule} fired: {record.summary}")]
    lines += [HistoryLine(note.at, f"related: {note.text}") for note in notes]
    lines += [HistoryLine(row.finished_at or row.created_at, _delivery(row)) for row in messages]
    if record.acknowledged_at is not None:
        lines.append(HistoryLine(record.acknowledged_at, f"acknowledged by {record.acknowledged_by}"))
    if record.closed_at is not None:
        lines.append(HistoryLine(record.closed_at, f"over: {record.ending}"))
    return sorted(lines, key=lambda line: line.at)


def notification_seconds(engine: Engine, *, days: float) -> list[float]:
    """Return the seconds from firing to the first trigger that was sent, of pages that fired lately.

    Args:
        engine: The metadata database.
        days: How many days ago they fired at most.
    """
    sent = (alert_outbox.c.event == "trigger") & (alert_outbox.c.outcome == "sent")
    with engine.connect() as connection:
        since = database_now(connection) - timedelta(days=days)
        rows = connection.execute(
            select(alert_incidents.c.opened_at, func.min(alert_outbox.c.finished_at, type_=UtcDateTime))
            .join(alert_outbox, alert_outbox.c.incident_id == alert_incidents.c.id)
            .where(sent, alert_incidents.c.severity == "page", alert_incidents.c.opened_at > since)
            .where(_open_or_closed_after(since))
            .group_by(alert_incidents.c.id, alert_incidents.c.opened_at)
        ).all()
    return [(sent_at - opened_at).total_seconds() for opened_at, sent_at in rows]


def silences(engine: Engine, *, only_active: bool = True) -> list[SilenceRecord]:
    """Return at most 1,000 silences, the newest first.

    Args:
        engine: The metadata database.
        only_active: Whether those that have ended are left out.
    """
    with engine.connect() as connection:
        now = database_now(connection)
        query = select(alert_silences).order_by(alert_silences.c.id.desc()).limit(1_000)
        if only_active:
            query = query.where(alert_silences.c.ends_at > now)
        rows = connection.execute(query).all()
    return [
        SilenceRecord(
            row.id, row.matchers, row.starts_at, row.ends_at, row.created_by, row.reason, row.ends_at > now
        )
        for row in rows
    ]


def beats(engine: Engine) -> list[tuple[str, str, float, float | None]]:
    """Return watcher, role, seconds since its last beat and since its last evaluation, for each watcher."""
    with engine.connect() as connection:
        now = database_now(connection)
        rows = connection.execute(select(watch_beats).order_by(watch_beats.c.beat_at.desc())).all()
    return [
        (
            row.watcher,
            row.role,
            (now - row.beat_at).total_seconds(),
            None if row.evaluated_at is None else (now - row.evaluated_at).total_seconds(),
        )
        for row in rows
    ]


def _open_or_closed_after(since: datetime) -> ColumnElement[bool]:
    """Return the condition for incidents by the index of the times at which they were closed."""
    number, closed_at = alert_incidents.c.id, alert_incidents.c.closed_at
    is_open = select(number).where(closed_at.is_(None))
    return number.in_(is_open.union_all(select(number).where(closed_at > since)))


def _delivery(row: Row[Any]) -> str:
    name = f"{row.event} {row.n}" if row.n else row.event
    if row.finished_at is not None:
        detail = f" ({row.detail})" if row.detail else ""
        return f"{name} to {row.channel}: {row.outcome}{detail if row.outcome != 'sent' else ''}"
    tries = f" after {row.tries} attempts ({row.detail})" if row.tries and row.detail else ""
    return f"{name} to {row.channel}: waiting{tries}"


def _record(row: Row[Any]) -> IncidentRecord:
    return IncidentRecord(
        number=row.id,
        key=row.key,
        rule=row.rule,
        labels=row.labels,
        severity=row.severity,
        cause=row.cause,
        source=row.source,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        ending=row.ending,
        value=row.value,
        summary=row.summary,
        condition=row.condition,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        notified=row.notified_at is not None,
    )
