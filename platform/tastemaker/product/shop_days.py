"""Whole days in the shop's time zone, from midnight to midnight: 23 to 25 hours where clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa

from tastemaker.data.tables import UTC_MICROSECONDS

ONE_DAY = timedelta(days=1)
DAYS = pa.schema([pa.field("day", pa.date32()), pa.field("starts_at", UTC_MICROSECONDS)])
"""Columns of the table `days`, to which times are joined."""


@dataclass(frozen=True)
class ShopDays:
    """The days of a shop."""

    timezone: str
    """Name of the time zone, such as Europe/Paris."""

    def start(self, day: date) -> datetime:
        """Return when a day begins, in UTC; where its midnight is skipped, when the clocks are set."""
        return _midnight(self.timezone, day)

    def end(self, day: date) -> datetime:
        """Return when a day ends, which is when the next begins."""
        return self.start(day + ONE_DAY)

    def of(self, timestamp: datetime) -> date:
        """Return the day of an aware time."""
        return timestamp.astimezone(ZoneInfo(self.timezone)).date()

    def overlapping(self, utc_day: date) -> tuple[date, date]:
        """Return the first and the last of the shop's days that share time with a day in UTC."""
        first = datetime.combine(utc_day, time.min, UTC)
        return self.of(first), self.of(first + ONE_DAY - timedelta(microseconds=1))

    def table(self, first: date, last: date) -> pa.Table:
        """Return the days of a period with their beginnings, and the day after, where the last one ends.

        Args:
            first: The first day.
            last: The last day, which is included.

        Returns:
            The columns of DAYS, in the order of the days.
        """
        days = list(days_between(first, last + ONE_DAY))
        return pa.table([days, list(map(self.start, days))], schema=DAYS)


@lru_cache(maxsize=10_000)
def _midnight(timezone: str, day: date) -> datetime:
    return datetime.combine(day, time.min, ZoneInfo(timezone)).astimezone(UTC)


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield the days from `first` to `last`, both included.

    Args:
        first: The first day.
        last: The last day; none is yielded if it is before the first.
    """
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def utc_days_between(start: datetime, end: datetime) -> Iterator[date]:
    """Yield the days in UTC that share time with a period.

    Args:
        start: Its begin, an aware time, which is included.
        end: Its end, an aware time, which is not included.
    """
    return days_between(
        start.astimezone(UTC).date(), (end - timedelta(microseconds=1)).astimezone(UTC).date()
    )
