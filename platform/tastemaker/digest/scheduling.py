"""When a digest is sent, and to which channels."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from tastemaker.digest.delivery import unsent
from tastemaker.digest.figures import measured_until
from tastemaker.digest.week import ShopWeek
from tastemaker.notifications.bulletin import BulletinChannel
from tastemaker.notifications.channels import open_channel
from tastemaker.settings import Settings

PAGERDUTY = "pagerduty"
"""Type of the channels that call people, which get no digest."""
WAIT_UNTIL_HOUR = 18
"""From then on a digest is sent without figures that were not computed."""


def shop_week(settings: Settings, now: datetime, name: str | None = None) -> ShopWeek:
    """Return a week by its name, or the last one that is over.

    Args:
        settings: Have the shop's time zone.
        now: The current time.
        name: Such as 2026-W47; None: the last week that is over.

    Raises:
        TastemakerError: It is not the name of a week that is over.
    """
    timezone = ZoneInfo(settings.shop_timezone)
    return ShopWeek.last(timezone, now) if name is None else ShopWeek.parse(name, timezone, now)


def digest_channels(settings: Settings) -> dict[str, BulletinChannel]:
    """Return the channels that get the digest, by name.

    Raises:
        TastemakerError: If a secret is missing or malformed.
    """
    return {
        name: channel
        for name in channel_names(settings)
        if isinstance(channel := open_channel(name, settings.watch.channels[name]), BulletinChannel)
    }


def channel_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the channels that get the digest. No secret is read."""
    watch = settings.watch
    chosen = tuple(watch.channels) if watch.digest is None else watch.digest
    return tuple(name for name in chosen if watch.channels[name].type != PAGERDUTY)


def why_not_now(engine: Engine, settings: Settings, problem: str, now: datetime) -> str | None:
    """Return why the digest of last week is not to be sent now; None if it is.

    Args:
        engine: The metadata database.
        settings: Have the shop's time zone, and which channels get a digest.
        problem: The problem's name.
        now: The current time.
    """
    week, names = shop_week(settings, now), channel_names(settings)
    if not names:
        return "there is no channel that gets a digest"
    if not unsent(engine, problem, week.name, names):
        return f"the digest {week.name} was sent to {', '.join(names)}"
    if now.astimezone(week.timezone).hour < WAIT_UNTIL_HOUR and not measured_until(engine, problem, week.end):
        return f"the figures of {week.name} are not computed yet"
    return None
