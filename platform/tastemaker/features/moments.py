"""Time in feature expressions, measured from fixed moments: a database session's time zone changes nothing."""

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
