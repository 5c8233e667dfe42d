"""Days of a shop, also where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.product.shop_days import ShopDays, days_between, utc_days_between

ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 6, 1), 24),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # its midnight is skipped
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight(zone: str, day: date, hours: float) -> None:
    days = ShopDays(zone)
    assert days.end(day) - days.start(day) == timedelta(hours=hours)
    assert days.of(days.start(day)) == day
    assert days.of(days.end(day) - timedelta(microseconds=1)) == day


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
)
def test_every_time_is_in_exactly_its_day(zone: str, timestamp: datetime) -> None:
    days = ShopDays(zone)
    day = days.of(timestamp)
    if (zone, day) == ("Pacific/Apia", date(2011, 12, 29)):
        return  # Samoa had no 30 December: the table of days has two that begin at the same time
    assert days.start(day) <= timestamp < days.end(day)
    first, last = days.overlapping(timestamp.date())
    assert first <= day <= last
    assert timestamp.date() in utc_days_between(days.start(day), days.end(day))


def test_the_table_of_days_has_the_end_of_the_last() -> None:
    days = ShopDays("Europe/Berlin")
    rows = days.table(date(2026, 3, 28), date(2026, 3, 29)).to_pylist()
    assert [row["day"] for row in rows] == list(days_between(date(2026, 3, 28), date(2026, 3, 30)))
    assert rows[-1]["starts_at"] == days.end(date(2026, 3, 29))
