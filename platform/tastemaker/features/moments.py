"""Time in feature expressions, measured from fixed moments: a session's time zone changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import FloatingValue, IntegerValue, TimestampScalar, TimestampValue

DAY_SECONDS = 86_400
DAY_MICROSECONDS = DAY_SECONDS * 1_000_000


def moment(seconds: int) -> TimestampScalar:
    """A literal UTC timestamp, from seconds since 1970 UTC."""
    import ibis

    return ibis.literal(datetime.fromtimestamp(seconds, tz=UTC), type="timestamp('UTC', 6)")


def days_until(before: int, time: TimestampValue) -> FloatingValue:
    """Days, with their fraction, from `time` until `before`."""
    return moment(before).delta(time, unit="microsecond") / float(DAY_MICROSECONDS)


def utc_day(time: TimestampValue) -> IntegerValue:
    """The number of the UTC day since 1970-01-01."""
    return time.delta(moment(0), unit="microsecond") // DAY_MICROSECONDS


def visits(events: Table, before: int) -> Table:
    """`user_id, item_id, day`, each once: what each user had on each day before `before`."""
    past = events.filter(events.occurred_at < moment(before))
    return past.select("user_id", "item_id", day=utc_day(past.occurred_at)).distinct()


def first_seen(key: str, events: Table, known: Table, before: int) -> Table:
    """`key, first_seen_at`: one row a user (or item) with an event or a table entry before `before`."""
    import ibis

    past = events.filter(events.occurred_at < moment(before))
    listed = known.filter(known.first_seen_at < moment(before)).select(key, "first_seen_at")
    seen = ibis.union(past.select(key, first_seen_at="occurred_at"), listed)
    return seen.group_by(key).agg(first_seen_at=seen.first_seen_at.min())
