"""Weeks of a shop: their names, their ends in a time zone, and names that are none."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tastemaker.digest.week import ShopWeek
from tastemaker.errors import TastemakerError

BERLIN, AUCKLAND = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Auckland")
NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("monday", "name", "title"),
    [
        (date(2026, 11, 16), "2026-W47", "week 47, 16 to 22 Nov 2026"),
        (date(2026, 12, 28), "2026-W53", "week 53, 28 Dec to 3 Jan 2027"),
        (date(2027, 1, 4), "2027-W01", "week 1, 4 to 10 Jan 2027"),
    ],
)
def test_names_are_those_of_iso_8601(monday: date, name: str, title: str) -> None:
    week = ShopWeek(monday, BERLIN)
    assert (week.name, week.title) == (name, title)
    assert ShopWeek.parse(name, BERLIN, datetime(2030, 1, 1, tzinfo=UTC)) == week


@pytest.mark.parametrize(("monday", "hours"), [(date(2026, 3, 23), 167), (date(2026, 10, 19), 169)])
def test_a_week_in_which_clocks_change_begins_and_ends_at_midnight(monday: date, hours: int) -> None:
    week = ShopWeek(monday, BERLIN)
    assert week.end - week.start == timedelta(hours=hours)
    for end in (week.start, week.end):
        assert end.astimezone(BERLIN).strftime("%a %H:%M") == "Mon 00:00"
    assert week.earlier(1).end == week.start


@pytest.mark.parametrize(
    ("now", "timezone", "name"),
    [
        (datetime(2026, 11, 29, 10, 59, tzinfo=UTC), AUCKLAND, "2026-W47"),
        (datetime(2026, 11, 29, 11, 0, tzinfo=UTC), AUCKLAND, "2026-W48"),
        (datetime(2026, 11, 29, 23, 0, tzinfo=UTC), BERLIN, "2026-W48"),
        (datetime(2026, 11, 29, 22, 59, tzinfo=UTC), BERLIN, "2026-W47"),
    ],
)
def test_the_last_week_ends_at_the_shops_midnight(now: datetime, timezone: ZoneInfo, name: str) -> None:
    assert ShopWeek.last(timezone, now).name == name


@pytest.mark.parametrize("name", ["2026-47", "2026-W54", "2026-W00", "last", "2026-W48", "0000-W01"])
def test_what_is_not_a_week_that_is_over_is_refused_with_one_that_is(name: str) -> None:
    with pytest.raises(TastemakerError) as caught:
        ShopWeek.parse(name, BERLIN, NOW)
    assert name in str(caught.value)
    assert caught.value.fix == "--week 2026-W47"
