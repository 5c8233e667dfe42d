"""Until when each type of event has arrived: what earned nothing until then has earned nothing.

    views       reported as they happen         |----------------------------->| now
    purchases   a batch of the night            |------------------>|           what is later may still come

A type has arrived until its newest event. One that is rare, which came a day or longer apart lately, may be
silent for as long as it was before, if what brings it continues: a source, by other events of it, or callers
who report it as it happens. A type that is silent for longer than `MOST_SILENT_SECONDS` is over; one that
came each day is after `LATELY_SECONDS`, because more likely its batch fails. Nothing is waited for of a
source that has ended: see `source.ended` of the settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_SILENT_SECONDS = 7.0 * DAY_SECONDS
"""How long a type of event that did not come each day is waited for."""
LATELY_SECONDS = 28.0 * DAY_SECONDS
"""Before a type's newest event, by which it is known how rare it is. A type that came each day is waited for
so long, too: a batch that failed is repaired within four weeks."""
AT_ONCE_SECONDS = 600.0
"""How late callers may report an event that they report as it happens."""
RARE_SECONDS = float(DAY_SECONDS)
"""A type is rare if it was silent for so long lately."""

_ORIGINS = """
    WITH origins AS (
        SELECT event_type, isfinite(came) AS is_reported, occurred, came - occurred AS delay
        FROM happened SEMI JOIN rewards USING (event_type)
    ),
    newest AS (
        SELECT event_type, is_reported, max(occurred) AS newest FROM origins GROUP BY event_type, is_reported
    ),
    hours AS (
        SELECT event_type, is_reported, newest, min(occurred) AS begins, max(occurred) AS ends,
            max(delay) AS delay
        FROM origins JOIN newest USING (event_type, is_reported) WHERE occurred >= newest - $lately
        GROUP BY event_type, is_reported, newest, floor(occurred / 3600)
    ),
    silences AS (
        SELECT *, begins - lag(ends) OVER (PARTITION BY event_type, is_reported ORDER BY begins) AS silence
        FROM hours
    )
    SELECT event_type, is_reported, newest, max(delay), coalesce(max(silence), 0), count(*),
        NOT is_reported AND coalesce(getvariable('source_has_ended'), false)
    FROM silences GROUP BY event_type, is_reported, newest ORDER BY event_type, is_reported
"""


class EventOrigin(NamedTuple):
    """What is known of the events of a type that a source has, or that callers report. Times in seconds."""

    event_type: str
    is_reported: bool
    """Whether callers report it; else a source has it."""
    newest: float
    delay: float
    """The longest from an event to its arrival lately; infinity for a source's."""
    silence: float
    """The longest between two events lately, to the hour."""
    hours: int
    """In how many different hours it came lately."""
    has_ended: bool = False
    """Whether it is of a source that brings no newer events."""

    @property
    def is_daily(self) -> bool:
        """Whether it came each day lately, and not on a few days alone."""
        return self.silence < RARE_SECONDS and self.hours * DAY_SECONDS >= LATELY_SECONDS


class Arrival(NamedTuple):
    """Until when a type of event has arrived, in seconds since 1970 UTC."""

    event_type: str
    newest: float
    """When its newest event happened."""
    until: float
    """Later events may still come."""
    is_over: bool
    """Whether it is silent for so long that nothing waits for it."""
    is_reported: bool
    """Whether callers report the events that are waited for; else a source has them."""
    ahead: float
    """Until when the same type has arrived from elsewhere; equal to `until` if it comes from nowhere else."""

    @classmethod
    def never(cls, event_type: str) -> Arrival:
        """Return that of a type that never came."""
        return cls(event_type, -math.inf, -math.inf, True, True, -math.inf)


def read_arrivals(connection: DuckDBPyConnection) -> list[Arrival]:
    """Return until when each type of rewarded event has arrived; a type that never came is left out.

    Args:
        connection: Has the tables of `log_join.find_reward_events`.
    """
    rows = connection.execute(_ORIGINS, {"lately": LATELY_SECONDS}).fetchall()
    return list(arrivals(EventOrigin(*row) for row in rows))


def arrived_until(connection: DuckDBPyConnection) -> float | None:
    """Return until when every type of rewarded event has arrived that is not over; None without an event.

    Args:
        connection: As in `read_arrivals`.
    """
    return min((one.until for one in read_arrivals(connection) if not one.is_over), default=None)


def arrivals(origins: Iterable[EventOrigin]) -> Iterator[Arrival]:
    """Yield until when each type has arrived.

    Of a type that a source has and callers report, both must have come, unless one of them is over or has
    ended.

    Args:
        origins: Of all rewarded types, sorted by type.
    """
    found = list(origins)
    newest = {
        is_reported: max((one.newest for one in found if one.is_reported is is_reported), default=-math.inf)
        for is_reported in (False, True)
    }
    ahead = max(newest.values())
    for name, of_type in groupby(found, key=lambda one: one.event_type):
        reached = [(_until(one, newest[one.is_reported]), one) for one in of_type]
        going = [one for one in reached if not one[1].has_ended]
        coming = [one for one in going if ahead - one[0] <= MOST_SILENT_SECONDS] or [
            one for one in going if one[1].is_daily and ahead - one[0] <= LATELY_SECONDS
        ]
        until, origin = min(coming) if coming else max(reached)
        furthest, _ = max(reached)
        yield Arrival(name, origin.newest, until, not coming, origin.is_reported, furthest)


def _until(origin: EventOrigin, newest: float) -> float:
    """Return until when a type of one origin has arrived, where the origin has events until a time."""
    is_rare = origin.silence >= RARE_SECONDS and newest - origin.newest <= origin.silence
    comes_at_once = not origin.is_reported or origin.delay <= AT_ONCE_SECONDS
    return newest if is_rare and comes_at_once else origin.newest
