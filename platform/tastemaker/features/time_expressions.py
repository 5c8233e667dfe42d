"""Ibis expressions of time for features. They do not depend on the session's time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import FloatingValue, IntegerValue, TimestampScalar, TimestampValue

DAY_MICROSECONDS = DAY_SECONDS * 1_000_000


def timestamp(seconds: int) -> TimestampScalar:
    """Return a literal UTC timestamp from seconds since 1970 UTC."""
    import ibis

    return ibis.literal(datetime.fromtimestamp(seconds, tz=UTC), type="timestamp('UTC', 6)")


def days_until(before: int, time: TimestampValue) -> FloatingValue:
    """Return the days from a time until a cutoff, with their fraction; negative where the time is later.

    Args:
        before: The cutoff, seconds since 1970 UTC.
        time: A column of times.
    """
    return timestamp(before).delta(time, unit="microsecond") / float(DAY_MICROSECONDS)


def utc_day(time: TimestampValue) -> IntegerValue:
    """Return the number of the UTC day, counted from 1970-01-01."""
    return time.delta(timestamp(0), unit="microsecond") // DAY_MICROSECONDS


def visits(events: Table, before: int) -> Table:
    """Return the distinct `user_id, item_id, day` of the events before a cutoff.

    Args:
        events: The table of events, with `user_id`, `item_id` and `occurred_at`.
        before: The cutoff, seconds since 1970 UTC; events at or after it are ignored.

    Returns:
        One row per user, item and UTC day; `day` is a whole number, 0 for 1970-01-01.
    """
    past = events.filter(events.occurred_at < timestamp(before))
    return past.select("user_id", "item_id", day=utc_day(past.occurred_at)).distinct()


def first_seen(key: str, events: Table, known: Table, before: int) -> Table:
    """Return when each user (or item) was first seen, in an event or in its own table.

    Args:
        key: `user_id` or `item_id`.
        events: The table of events.
        known: The table of users (or items), with `first_seen_at`.
        before: Seconds since 1970 UTC; rows at or after it are ignored.

    Returns:
        `key, first_seen_at`: one row per user (or item).
    """
    import ibis

    past = events.filter(events.occurred_at < timestamp(before))
    listed = known.filter(known.first_seen_at < timestamp(before)).select(key, "first_seen_at")
    seen = ibis.union(past.select(key, first_seen_at="occurred_at"), listed)
    return seen.group_by(key).agg(first_seen_at=seen.first_seen_at.min())
