"""Which users did something on a day: `activity`, one row per user and day.

Being shown a list is not in it, and neither are anonymous sessions, which can't come back, nor bots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.tables import EVENTS
from tastemaker.product.day_files import (
    ACTIVITY,
    Files,
    dated_files,
    days_with_gaps,
    digest_of,
    state_of,
    view,
    write_days,
)
from tastemaker.product.shop_days import ShopDays, utc_days_between

SESSION = "session:"
"""Begins the user ids of anonymous sessions in the log."""
BLOCK_DAYS = 30
_FORMAT = "1"
"""Rises when the meaning of a row changes: then every day is computed again."""

_ACTIVITY = """
    SELECT day, user_id FROM events ASOF JOIN days ON occurred_at >= days.starts_at
    WHERE occurred_at < $end AND ($types IS NULL OR list_contains($types, event_type))
        AND NOT starts_with(user_id, $session)
    GROUP BY day, user_id HAVING $most IS NULL OR count(*) <= $most
    ORDER BY day, user_id
"""


@dataclass(frozen=True)
class ActivityDays:
    """The days of the events of a lake."""

    lake: Lake
    days: ShopDays
    event_types: tuple[str, ...] | None
    """The types of events that count; None: all."""
    most_events: int | None
    """A user with more events on a day is a bot; None: none is."""

    @cached_property
    def _events(self) -> Files:
        return dated_files(self.lake, "events")

    def digests(self) -> dict[date, str]:
        """Return what each day of the events depends on, as a digest."""
        shared = [_FORMAT, self.days.timezone, repr(self.event_types), str(self.most_events)]
        days = days_with_gaps(self._events, self.days)
        return {day: digest_of([*shared, *self._causes(day)]) for day in days}

    def _causes(self, day: date) -> Iterator[str]:
        for utc_day in utc_days_between(self.days.start(day), self.days.end(day)):
            yield from sorted(map(state_of, self._events.get(utc_day, ())))

    def compute(self, root: Lake, wanted: Mapping[date, str]) -> Iterator[int]:
        """Write these days, and yield how many are written after each block.

        Args:
            root: The folder of product metrics.
            wanted: Day -> digest.
        """
        days = sorted(wanted)
        for first in range(0, len(days), BLOCK_DAYS):
            block = days[first : first + BLOCK_DAYS]
            self._compute_block(root, {day: wanted[day] for day in block})
            yield first + len(block)

    def _compute_block(self, root: Lake, wanted: Mapping[date, str]) -> None:
        spans = [utc_days_between(self.days.start(day), self.days.end(day)) for day in wanted]
        utc_days = sorted({utc_day for span in spans for utc_day in span})
        files = [path for utc_day in utc_days for path in self._events.get(utc_day, ())]
        first, last = min(wanted), max(wanted)
        with open_duckdb() as connection:
            view(connection, self.lake, "events", EVENTS, files)
            connection.register("days", self.days.table(first, last))
            chosen = {
                "end": self.days.end(last),
                "types": None if self.event_types is None else list(self.event_types),
                "session": SESSION,
                "most": self.most_events,
            }
            write_days(root, ACTIVITY, connection.sql(_ACTIVITY, params=chosen).to_arrow_table(), wanted)
