"""The outbox as the delivery sees it: rows are claimed, sent, and finished or due again.

Messages of one alert to one channel go out in their order, one after the other: a resolve never overtakes its
trigger. A process that ends with a claim loses it after a while, and another one sends the message again,
with the same identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, Update, or_, select, update

from tastemaker.notifications.notification import Delivery, Event
from tastemaker.storage.tables import alert_incidents, alert_outbox
from tastemaker.watch.incident import Message
from tastemaker.watch.rows import database_now, enqueue

MOST_WAIT_SECONDS = 60.0
"""The longest wait between two attempts, if the receiver does not ask for a longer one."""
MOST_RETRY_AFTER_SECONDS = 3_600.0
"""The longest wait that a receiver can ask for."""
GIVE_UP = timedelta(hours=24)
"""How long a message is tried."""

Outcome = Literal["sent", "rejected", "expired", "skipped"]


@dataclass(frozen=True)
class Claim:
    """A message that this process may send now."""

    id: int
    incident: int
    event: Event
    n: int
    channel: str
    delivery_id: str
    payload: Mapping[str, Any] | None
    """The message, if there was an attempt before."""
    at: float
    """When the event happened, seconds since 1970 UTC."""
    tries: int


def claim(engine: Engine, channel: str, seconds: float) -> Claim | None:
    """Claim the oldest message to a channel that is due.

    Messages about an incident whose trigger was never sent are finished as skipped, and so are reminders of
    incidents that are over or acknowledged.

    Args:
        engine: The metadata database.
        channel: The channel's name.
        seconds: For how long no other process may send it.

    Returns:
        The message; None if none may be sent now: each waits for its time, for an earlier one of its alert,
        or is claimed by another process.
    """
    earlier = alert_outbox.alias()
    is_first = ~(
        select(earlier.c.id)
        .where(
            earlier.c.channel == alert_outbox.c.channel,
            earlier.c.key == alert_outbox.c.key,
            earlier.c.finished_at.is_(None),
            earlier.c.id < alert_outbox.c.id,
        )
        .exists()
    )
    while True:
        with engine.begin() as connection:
            now = database_now(connection)
            is_free = or_(alert_outbox.c.claimed_until.is_(None), alert_outbox.c.claimed_until < now)
            row = connection.execute(
                select(alert_outbox)
                .where(
                    alert_outbox.c.channel == channel,
                    alert_outbox.c.finished_at.is_(None),
                    alert_outbox.c.due_at <= now,
                    is_free,
                    is_first,
                )
                .order_by(alert_outbox.c.due_at, alert_outbox.c.id)
                .limit(1)
            ).one_or_none()
            if row is None:
                return None
            if (why := _needless(connection, row)) is not None:
                finished = {"finished_at": now, "outcome": "skipped", "detail": why}
                connection.execute(_at(row.id).values(**finished))
                continue
            claimed = connection.execute(
                _at(row.id)
                .where(is_free, alert_outbox.c.finished_at.is_(None))
                .values(claimed_until=now + timedelta(seconds=seconds), tries=alert_outbox.c.tries + 1)
            )
            if claimed.rowcount == 1:
                return Claim(
                    row.id,
                    row.incident_id,
                    row.event,
                    row.n,
                    row.channel,
                    row.delivery_id,
                    row.payload,
                    row.created_at.timestamp(),
                    row.tries + 1,
                )


def keep_payload(engine: Engine, claimed: Claim, payload: Mapping[str, Any]) -> None:
    """Store the text of a message before its first attempt, so that every attempt sends the same.

    Args:
        engine: The metadata database.
        claimed: The message, which `claim` returned.
        payload: The notification as JSON; later claims of the message have it as `payload`.
    """
    with engine.begin() as connection:
        connection.execute(_at(claimed.id).values(payload=dict(payload)))


def finish(engine: Engine, claimed: Claim, delivery: Delivery, channels: tuple[str, ...]) -> Outcome | None:
    """Write what came of an attempt.

    A trigger that the receiver refuses goes to all other channels.

    Args:
        engine: The metadata database.
        claimed: The message that was sent, from `claim`.
        delivery: What the channel answered.
        channels: The names of all channels, to which a refused trigger goes.

    Returns:
        The outcome; None if it will be tried again.
    """
    with engine.begin() as connection:
        now = database_now(connection)
        row = connection.execute(select(alert_outbox).where(alert_outbox.c.id == claimed.id)).one()
        outcome: Outcome | None = None
        if delivery.outcome != "retry":
            outcome = delivery.outcome
        elif now - row.created_at > GIVE_UP:
            outcome = "expired"
        values: dict[str, Any] = {"claimed_until": None, "detail": delivery.detail[:2_000]}
        if outcome is None:
            wait = min(2.0 ** min(claimed.tries - 1, 6), MOST_WAIT_SECONDS)
            asked = min(delivery.retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS)
            values["due_at"] = now + timedelta(seconds=max(wait, asked))
        else:
            values |= {"finished_at": now, "outcome": outcome}
        connection.execute(_at(claimed.id).values(**values))
        if outcome in ("rejected", "expired") and claimed.event == "trigger":
            _send_elsewhere(connection, claimed, channels)
    return outcome


def oldest_seconds(engine: Engine, channels: tuple[str, ...]) -> dict[str, float]:
    """Return the age of the oldest message of each channel that is not finished.

    Args:
        engine: The metadata database.
        channels: The names of channels.

    Returns:
        Seconds since the event of that message, by channel; 0 where no message waits.
    """
    found = dict.fromkeys(channels, 0.0)
    waiting = select(alert_outbox.c.created_at).where(alert_outbox.c.finished_at.is_(None))
    with engine.connect() as connection:
        now = database_now(connection)
        for channel in channels:  # each by the index: a minimum per group would read all messages ever sent
            mine = waiting.where(alert_outbox.c.channel == channel).order_by(alert_outbox.c.id).limit(1)
            created_at = connection.execute(mine).scalar()
            if created_at is not None:
                found[channel] = max(0.0, (now - created_at).total_seconds())
    return found


def _needless(connection: Connection, row: Row[Any]) -> str | None:
    """Return why a message need not be sent; None if it must."""
    if row.event == "trigger":
        return None
    trigger = connection.execute(
        select(alert_outbox.c.outcome).where(
            alert_outbox.c.incident_id == row.incident_id,
            alert_outbox.c.channel == row.channel,
            alert_outbox.c.event == "trigger",
        )
    ).scalar_one_or_none()
    if trigger is not None and trigger != "sent":
        return f"the trigger was {trigger}"
    if row.event == "reminder":
        incident = connection.execute(
            select(alert_incidents).where(alert_incidents.c.id == row.incident_id)
        ).one()
        if incident.closed_at is not None:
            return "the incident is over"
        if incident.acknowledged_at is not None:
            return "a person acknowledged it"
    return None


def _send_elsewhere(connection: Connection, claimed: Claim, channels: tuple[str, ...]) -> None:
    incident = connection.execute(
        select(alert_incidents).where(alert_incidents.c.id == claimed.incident)
    ).one()
    others = tuple(name for name in channels if name != claimed.channel)
    if incident.closed_at is None:
        message = Message(incident.uid, "trigger", others, database_now(connection).timestamp())
        enqueue(connection, message, {incident.uid: incident.id})


def _at(number: int) -> Update:
    return update(alert_outbox).where(alert_outbox.c.id == number)
