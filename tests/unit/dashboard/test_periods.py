"""Figures beside those of the period before, and what is said about the difference."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from support.dashboard_homes import dashboard_engine, measurement
from tastemaker.dashboard import measured
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.periods import (
    Pair,
    Trend,
    compared,
    history,
    last_day,
    pairs,
    sentence,
    trend,
)
from tastemaker.dashboard.reader import DashboardReader

BERLIN = ZoneInfo("Europe/Berlin")


class Figures:
    """Rows as `pairs` returns them."""

    def __init__(self, value: float | None, half: float | None = None, unit: str = "share") -> None:
        self.value, self.unit, self.n, self.metric = value, unit, 900, "ctr_list"
        has_ends = value is not None and half is not None
        self.low = value - half if has_ends else None  # type: ignore[operator]
        self.high = value + half if has_ends else None  # type: ignore[operator]
        self.computed_at = datetime(2026, 7, 1, tzinfo=UTC)


def pair(now: Any, before: Any) -> Pair:
    return Pair(now, before)


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        (Figures(0.12, 0.01), Figures(0.09, 0.01), "higher"),
        (Figures(0.09, 0.01), Figures(0.12, 0.01), "lower"),
        (Figures(0.12, 0.02), Figures(0.10, 0.02), "same"),
        (Figures(120.0), Figures(119.0), "higher"),
        (Figures(119.0), Figures(119.0), "same"),
        (Figures(0.12, 0.01), None, "unknown"),
        (Figures(None), Figures(0.1, 0.01), "unknown"),
        (Figures(0.12, 0.01), Figures(math.nan), "unknown"),
    ],
)
def test_a_figure_has_changed_if_the_interval_of_the_difference_does_not_contain_0(
    now: Any, before: Any, expected: Trend
) -> None:
    assert trend(Pair(now, before)) == expected


def test_shares_differ_by_points() -> None:
    fell = pair(Figures(0.09, 0.003), Figures(0.12, 0.004))
    assert compared(fell, "28 days") == (
        "lower than in the 28 days before: 12.0 % (difference -3.0 points, -3.5 to -2.5)"
    )
    assert sentence(fell, "Click-through rate", "28 days") == (
        "Click-through rate fell from 12.0 % to 9.00 % (8.70 to 9.30 %) against the 28 days before."
    )


def test_a_count_has_a_difference_without_an_interval() -> None:
    assert compared(pair(Figures(760.0, unit="users"), Figures(700.0, unit="users")), "28 days") == (
        "higher than in the 28 days before: 700 users (difference +60 users)"
    )


def test_too_little_data_says_how_much_is_missing() -> None:
    few = Figures(None)
    few.n = 12
    assert sentence(pair(few, None), "Rate", "7 days") == "Rate: too little data (12 of 30 users)."


def days(first: datetime, count: int, value: float) -> dict[str, Any]:
    """A row over whole days of Berlin."""
    last = first.replace(tzinfo=None).toordinal() + count
    end = datetime.fromordinal(last).replace(tzinfo=BERLIN)
    return measurement(
        "ctr_list", value, version="v1", window_start=first.astimezone(UTC), window_end=end.astimezone(UTC)
    )


def test_the_period_before_has_as_many_days_of_the_shop_where_clocks_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 25 October 2026 a day of Berlin has 25 hours."""
    monkeypatch.setenv("TASTEMAKER_SOURCE__TIMEZONE", "Europe/Berlin")
    rows = [
        days(datetime(2026, 10, 12, tzinfo=BERLIN), 28, 0.12),
        days(datetime(2026, 9, 14, tzinfo=BERLIN), 28, 0.1),
        days(datetime(2026, 10, 19, tzinfo=BERLIN), 7, 0.2),
        days(datetime(2026, 10, 26, tzinfo=BERLIN), 7, 0.3),
    ]
    with dashboard_engine(tmp_path, rows) as (settings, engine):
        reader = DashboardReader(engine, settings)
        names = ("model", "version")
        [month] = pairs(reader, ["ctr_list"], PageFilters(), names=names)
        assert (month.now.value, month.before and month.before.value) == (0.12, 0.1)
        assert measured.window(reader, month.now) == "28 days until 8 Nov 2026"
        [week] = pairs(reader, ["ctr_list"], PageFilters(period=7), names=names)
        assert (week.now.value, week.before and week.before.value) == (0.3, 0.2)
        assert week.before is not None
        assert str(last_day(week.before, reader.timezone)) == "2026-10-25"


def test_windows_of_days_of_24_hours_are_found_in_a_shop_of_another_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Foreign models may report days of UTC."""
    monkeypatch.setenv("TASTEMAKER_SOURCE__TIMEZONE", "Europe/Berlin")
    rows = [measurement("ctr_list", 0.1 * n, 7, 7 * n, source="team-b") for n in (1, 2)]
    with dashboard_engine(tmp_path, rows) as (settings, engine):
        [week] = pairs(
            DashboardReader(engine, settings), ["ctr_list"], PageFilters(period=7), names=("model",)
        )
        assert week.before is not None
        assert (week.now.value, week.before.value) == (0.1, 0.2)


def test_a_figure_is_compared_with_itself_only(tmp_path: Path) -> None:
    """Versions, slices and problems have periods of their own."""
    names = [{"version": "v1"}, {"version": "v2"}, {"version": "v1", "problem": "b"}, {"slice": "position=1"}]
    rows = [
        measurement("ctr_list", (at + 1) / 10 + before / 100, 7, 7 * before, **one)
        for at, one in enumerate(names)
        for before in (0, 1)
    ]
    with dashboard_engine(tmp_path, rows) as (settings, engine):
        found = pairs(
            DashboardReader(engine, settings),
            ["ctr_list"],
            PageFilters(period=7),
            names=("model", "version", "slice"),
        )
    assert len(found) == len(names)
    for one in found:
        assert one.before is not None
        assert one.before.value == pytest.approx(one.now.value + 0.01)


def test_history_has_consecutive_windows(tmp_path: Path) -> None:
    rows = [measurement("mau", float(ago), 28, ago, model="") for ago in range(28 * 4)]
    with dashboard_engine(tmp_path, rows) as (settings, engine):
        found = history(DashboardReader(engine, settings), ["mau"], PageFilters(), days=28, count=3)
    assert [row.value for row in found] == [0.0, 28.0, 56.0]
