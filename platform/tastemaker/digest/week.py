"""A week of the shop: seven days from Monday on, in the shop's time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from tastemaker.errors import TastemakerError

_NAME = re.compile(r"(\d{4})-W(\d{2})")
DAYS = 7


@dataclass(frozen=True)
class ShopWeek:
    """A week; where clocks change it is an hour longer or shorter."""

    monday: date
    timezone: ZoneInfo

    @classmethod
    def last(cls, timezone: ZoneInfo, now: datetime) -> Self:
        """Return the last week that is over.

        Args:
            timezone: The shop's time zone, in which days begin.
            now: The current time, aware, in any time zone.
        """
        today = now.astimezone(timezone).date()
        return cls(today - timedelta(days=today.weekday() + DAYS), timezone)

    @classmethod
    def parse(cls, name: str, timezone: ZoneInfo, now: datetime) -> Self:
        """Return the week of a name such as 2026-W47.

        Args:
            name: The name, by ISO 8601.
            timezone: The shop's time zone.
            now: The current time.

        Raises:
            TastemakerError: It is not the name of a week, or the week is not over.
        """
        newest = cls.last(timezone, now)
        found = _NAME.fullmatch(name)
        try:
            monday = date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else None
        except ValueError:  # a year has 52 or 53 weeks
            monday = None
        if monday is None:
            raise TastemakerError(
                f"the week is {name!r}, must be a year and a week such as {newest.name}",
                fix=f"--week {newest.name}",
            )
        if monday > newest.monday:
            raise TastemakerError(
                f"the week {name} is not over; the last one that is over is {newest.name}",
                fix=f"--week {newest.name}",
            )
        return cls(monday, timezone)

    @property
    def name(self) -> str:
        """The week by ISO 8601, such as 2026-W47."""
        year, number, _ = self.monday.isocalendar()
        return f"{year}-W{number:02}"

    @property
    def title(self) -> str:
        """The week in words, such as `week 47, 16 to 22 Nov 2026`."""
        sunday = self.monday + timedelta(days=DAYS - 1)
        same_month = sunday.month == self.monday.month
        first = f"{self.monday:%-d}" if same_month else f"{self.monday:%-d %b}"
        return f"week {self.monday.isocalendar().week}, {first} to {sunday:%-d %b %Y}"

    @property
    def start(self) -> datetime:
        """When it begins, UTC."""
        return self.midnight(0)

    @property
    def end(self) -> datetime:
        """When it ends, UTC."""
        return self.midnight(DAYS)

    def earlier(self, weeks: int) -> Self:
        """Return the week so many weeks before."""
        return type(self)(self.monday - timedelta(days=DAYS * weeks), self.timezone)

    def midnight(self, days: int) -> datetime:
        """Return the midnight so many days after its Monday, UTC; days may be negative."""
        day = self.monday + timedelta(days=days)
        return datetime.combine(day, time.min, self.timezone).astimezone(UTC)
