"""A digest to each channel: at most once per week, and again only where a channel was away or refused it.

An attempt is noted before it is made. One that ended without a result, since its process was killed, may have
arrived, so that it is not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from tastemaker.digest.document import Digest
from tastemaker.digest.rendering import html_page, text_sections
from tastemaker.notifications.bulletin import Bulletin, BulletinChannel
from tastemaker.notifications.notification import Delivery
from tastemaker.storage.tables import digest_deliveries

D = digest_deliveries.c


class DigestDelivery(NamedTuple):
    """What became of a digest for one channel."""

    channel: str
    outcome: Literal["sent", "sent before", "retry", "rejected", "unknown"]
    detail: str

    @property
    def is_done(self) -> bool:
        """Whether the channel has the digest."""
        return self.outcome in ("sent", "sent before")


def bulletin(digest: Digest, environment: str) -> Bulletin:
    """Return a digest as what channels send.

    Args:
        digest: The digest of a week.
        environment: The environment, such as production: part of the bulletin's identity.
    """
    return Bulletin(
        kind="digest",
        delivery_id=f"tastemaker/{environment}/digest/{digest.problem}/{digest.week}",
        subject=f"Weekly digest, {digest.title}",
        sections=text_sections(digest),
        html=html_page(digest),
        created_at=digest.created_at,
    )


def deliver(
    engine: Engine, digest: Digest, channels: Mapping[str, BulletinChannel], *, environment: str
) -> list[DigestDelivery]:
    """Send a digest to the channels that do not have it.

    Args:
        engine: The metadata database, in which each attempt is noted.
        digest: The digest of a week; its time is that of the attempts.
        channels: Name -> channel.
        environment: The environment, such as production, which is part of the message's identity.

    Returns:
        What became of it per channel, in the order of `channels`.
    """
    message = bulletin(digest, environment)
    done = []
    for name, channel in channels.items():
        if not _claim(engine, digest, name):
            done.append(_known(engine, digest, name))
            continue
        delivery = channel.send_bulletin(message)
        _finish(engine, digest, name, delivery)
        done.append(DigestDelivery(name, delivery.outcome, delivery.detail))
    return done


def unsent(engine: Engine, problem: str, week: str, channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the channels to which a digest may still be sent.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        week: The week, such as 2026-W47.
        channels: Names of channels.
    """
    wanted = select(D.channel, D.outcome).where(D.problem == problem, D.week == week)
    with engine.connect() as connection:
        outcomes = {row.channel: row.outcome for row in connection.execute(wanted)}
    return tuple(name for name in channels if outcomes.get(name, "retry") in ("retry", "rejected"))


def _claim(engine: Engine, digest: Digest, channel: str) -> bool:
    """Note an attempt, and return whether it may be made."""
    new = {"tries": 1, "attempted_at": digest.created_at}
    key = {"problem": digest.problem, "week": digest.week, "channel": channel}
    try:
        with engine.begin() as connection:
            connection.execute(insert(digest_deliveries).values(**key, **new))
            return True
    except IntegrityError:
        pass  # there was an attempt
    may = or_(D.outcome == "retry", D.outcome == "rejected")
    again = {"tries": D.tries + 1, "attempted_at": digest.created_at, "outcome": None, "detail": None}
    with engine.begin() as connection:
        return (
            connection.execute(
                update(digest_deliveries).where(_is(digest, channel), may).values(again)
            ).rowcount
            == 1
        )


def _known(engine: Engine, digest: Digest, channel: str) -> DigestDelivery:
    with engine.connect() as connection:
        row = connection.execute(select(digest_deliveries).where(_is(digest, channel))).one()
    if row.outcome == "sent":
        return DigestDelivery(channel, "sent before", f"it was sent {_at(row.attempted_at)}")
    return DigestDelivery(
        channel,
        "unknown",
        f"the attempt of {_at(row.attempted_at)} has no result, so that it may have arrived",
    )


def _at(timestamp: datetime) -> str:
    return f"{timestamp:%Y-%m-%d %H:%M} UTC"


def _finish(engine: Engine, digest: Digest, channel: str, delivery: Delivery) -> None:
    values = {"outcome": delivery.outcome, "detail": delivery.detail}
    with engine.begin() as connection:
        connection.execute(update(digest_deliveries).where(_is(digest, channel)).values(values))


def _is(digest: Digest, channel: str) -> ColumnElement[bool]:
    return and_(D.problem == digest.problem, D.week == digest.week, D.channel == channel)
