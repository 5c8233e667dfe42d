"""Until when types of events have arrived, by known answers; the SQL is compared in `analysis.test_units`."""

from __future__ import annotations

import math

import pytest

from tastemaker.data.lake_files import open_duckdb
from tastemaker.event_log.arrivals import (
    _ORIGINS,
    LATELY_SECONDS,
    MOST_SILENT_SECONDS,
    Arrival,
    EventOrigin,
    arrivals,
    read_arrivals,
)

HOUR, DAY = 3_600.0, 86_400.0
NOW = 1_000 * DAY
SOURCE, CALLERS = False, True


def origin(
    name: str,
    ago: float,
    *,
    by: bool = SOURCE,
    delay: float | None = None,
    silence: float = HOUR,
    hours: int = 27,
    has_ended: bool = False,
) -> EventOrigin:
    """Return an origin whose newest event was so many seconds ago."""
    arrives_after = math.inf if delay is None else delay
    return EventOrigin(name, by, NOW - ago, arrives_after, silence, hours, has_ended)


def until(*origins: EventOrigin) -> dict[str, float]:
    """Return how many seconds ago each type has arrived; infinity for one that is over."""
    found = arrivals(sorted(origins, key=lambda one: one.event_type))
    return {one.event_type: math.inf if one.is_over else NOW - one.until for one in found}


def test_purchases_of_a_nightly_batch_are_waited_for() -> None:
    live = origin("view", 60, by=CALLERS, delay=2)
    assert until(live, origin("purchase", 20 * HOUR)) == {"view": 60, "purchase": 20 * HOUR}
    by_callers = origin("purchase", 20 * HOUR, by=CALLERS, delay=9 * HOUR)
    assert until(live, by_callers) == {"view": 60, "purchase": 20 * HOUR}


@pytest.mark.parametrize(("ago", "arrived"), [(2 * DAY, 60), (3 * DAY, 60), (3 * DAY + 61, 3 * DAY + 61)])
def test_a_rare_type_may_be_silent_for_as_long_as_it_was_before(ago: float, arrived: float) -> None:
    """Of callers that report at once, or of a source of which other events came."""
    for by, delay in ((CALLERS, 599.0), (SOURCE, None)):
        other = origin("click", 60, by=by, delay=delay)
        rare = origin("refund", ago, by=by, delay=delay, silence=3 * DAY)
        assert until(other, rare)["refund"] == arrived


def test_a_rare_type_that_comes_late_is_waited_for() -> None:
    """A batch of weekdays: on Tuesday it brings what was sold on Monday, and the weekend was silent."""
    live = origin("view", 60, by=CALLERS, delay=2)
    for batch in (
        origin("purchase", DAY, by=CALLERS, delay=DAY, silence=2.5 * DAY),
        origin("purchase", DAY, silence=2.5 * DAY),
    ):
        assert until(live, batch)["purchase"] == DAY


def test_a_type_that_comes_each_day_is_waited_for_though_its_nights_are_silent() -> None:
    both = origin("click", 60), origin("purchase", 8 * HOUR, silence=9 * HOUR)
    assert until(*both)["purchase"] == 8 * HOUR


def test_a_type_is_over_after_a_week() -> None:
    live = origin("view", 0, by=CALLERS, delay=2)
    assert until(live, origin("purchase", MOST_SILENT_SECONDS)) == {"view": 0, "purchase": 7 * DAY}
    assert until(live, origin("purchase", MOST_SILENT_SECONDS + 1)) == {"view": 0, "purchase": math.inf}


def test_a_type_that_came_each_day_is_over_after_four_weeks() -> None:
    """Unless it comes from elsewhere since."""
    live = origin("view", 0, by=CALLERS, delay=2)
    for ago, arrived in ((28 * DAY, 28 * DAY), (28 * DAY + 1, math.inf)):
        assert until(live, origin("purchase", ago, hours=28))["purchase"] == arrived
    moved = origin("purchase", 60, by=CALLERS, delay=2)
    assert until(live, origin("purchase", 8 * DAY, hours=28), moved)["purchase"] == 60
    assert until(live, origin("sale", 8 * DAY, hours=28, silence=2 * DAY))["sale"] == math.inf


def test_origins_are_read_from_what_happened() -> None:
    """By types that are rewarded twice, or not; only the last four weeks count."""
    at = [0.0, 29 * DAY, 29.5 * DAY, 29.5 * DAY + 60, 31 * DAY]
    rows = [(name, one, one + delay) for one in at for name, delay in (("sale", math.inf), ("click", 700.0))]
    rows += [("click", 32 * DAY, 32 * DAY + 5), ("impression", 40 * DAY, 40 * DAY)]
    with open_duckdb() as connection:
        connection.execute("CREATE TABLE happened (event_type VARCHAR, occurred DOUBLE, came DOUBLE)")
        connection.executemany("INSERT INTO happened VALUES (?, ?, ?)", rows)
        connection.execute("CREATE TABLE rewards AS SELECT unnest(['sale', 'click', 'sale']) AS event_type")
        found = {one.event_type: one for one in read_arrivals(connection)}
        (click, sale) = connection.execute(_ORIGINS, {"lately": LATELY_SECONDS}).fetchall()
        connection.execute("SET VARIABLE source_has_ended = true")
        (_, ended) = connection.execute(_ORIGINS, {"lately": LATELY_SECONDS}).fetchall()
        sale_of_ended = read_arrivals(connection)[-1]
    assert click == ("click", True, 32 * DAY, 700.0, 1.5 * DAY - 60, 4, False)
    assert sale == ("sale", False, 31 * DAY, math.inf, 1.5 * DAY - 60, 3, False)
    assert ended == (*sale[:-1], True)
    assert (found["sale"].until, found["sale"].is_over, sale_of_ended.is_over) == (31 * DAY, False, True)


def test_a_log_that_ends_as_a_whole_is_not_over() -> None:
    (found,) = arrivals([origin("click", 400 * DAY)])
    at = NOW - 400 * DAY
    assert found == Arrival("click", at, at, is_over=False, is_reported=False, ahead=at)


def test_of_a_type_with_two_origins_both_are_waited_for_until_one_is_over() -> None:
    live = origin("purchase", 60, by=CALLERS, delay=2)
    assert until(origin("purchase", 2 * DAY), live) == {"purchase": 2 * DAY}
    assert until(origin("purchase", 8 * DAY), live) == {"purchase": 60}


def test_of_two_origins_the_one_that_is_waited_for_is_named() -> None:
    live = origin("purchase", 60, by=CALLERS, delay=2)
    (found,) = arrivals([origin("purchase", 2 * DAY), live])
    assert (found.is_reported, found.until, found.ahead) == (SOURCE, NOW - 2 * DAY, NOW - 60)
    (found,) = arrivals([origin("purchase", 60), origin("purchase", DAY, by=CALLERS, delay=2)])
    assert (found.is_reported, found.until, found.ahead) == (CALLERS, NOW - DAY, NOW - 60)


def test_nothing_of_a_source_that_has_ended_is_waited_for() -> None:
    live = origin("view", 60, by=CALLERS, delay=2)
    history = [origin(name, DAY, hours=600, has_ended=True) for name in ("view", "purchase")]
    assert until(live, *history) == {"view": 60, "purchase": math.inf}
