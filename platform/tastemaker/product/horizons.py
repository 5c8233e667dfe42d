"""How far the data reaches: which days are over, and which attribution windows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from tastemaker.data.lake import Lake
from tastemaker.event_log.log_join import window_seconds
from tastemaker.problem import ProblemSpec
from tastemaker.product.shop_days import ONE_DAY, ShopDays

_HORIZONS = """
    SELECT
        (SELECT max(occurred_at) FROM events WHERE occurred_at <= $now),
        (SELECT max(occurred_at) FROM requests WHERE occurred_at <= $now),
        (SELECT max(received_at) FROM feedback WHERE received_at <= $now),
        (SELECT max(occurred_at) FROM events WHERE occurred_at <= $now AND list_contains($types, event_type)),
        (SELECT max(least(occurred_at, received_at)) FROM feedback
         WHERE least(occurred_at, received_at) <= $now AND list_contains($types, event_type))
"""


class Horizons(NamedTuple):
    """Ends of the data. Rows later than now, such as those of a wrong clock, are not data yet."""

    activity_until: date | None
    """The last day that is over in the events; None: none is."""
    log_until: date | None
    """The last day that is over in the log."""
    closed: datetime | None
    """The attribution windows of lists until then are over; None: no event has earned anything yet."""


def read_horizons(lake: Lake, problem: ProblemSpec, days: ShopDays, now: datetime) -> Horizons:
    """Return how far a lake's data reaches.

    A day is over when there is data of a later one: a day whose data came in part is not.

    Args:
        lake: Holds the events and the log.
        problem: Gives each event type its reward and window.
        days: Says on which day of the shop a time is.
        now: The current time: rows of later times are not data yet.
    """
    types = sorted({name for objective in problem.objectives for name in objective.events})
    with lake.connect() as connection:
        found = connection.execute(_HORIZONS, {"now": now, "types": types}).fetchall()[0]
    events, *log = found[:3]
    rewards = [timestamp for timestamp in found[3:] if timestamp is not None]
    logged = [timestamp for timestamp in log if timestamp is not None]
    return Horizons(
        None if events is None else days.of(events) - ONE_DAY,
        days.of(max(logged)) - ONE_DAY if logged else None,
        max(rewards) - timedelta(seconds=window_seconds(problem)) if rewards else None,
    )
