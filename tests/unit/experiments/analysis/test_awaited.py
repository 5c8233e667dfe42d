"""What units wait for, by tables whose types of events arrived until different times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from support.experiment_units import design
from tastemaker.event_log.arrivals import Arrival
from tastemaker.experiments.analysis.awaited import arrival_warnings, awaited, awaited_words
from tastemaker.experiments.analysis.look import look_at
from tastemaker.experiments.analysis.unit_table import COVARIATES, UnitTable
from tastemaker.experiments.unit_metrics import METRICS

HOUR, DAY = 3_600.0, 86_400.0
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()


def table(*arrivals: Arrival) -> UnitTable:
    """Return units that were exposed each hour of ten days, in turn in A and B, with windows of 3 days."""
    n = 240
    columns = dict.fromkeys(("reward", "is_active", "lists", "fallback_lists", *COVARIATES), np.ones(n))
    until = min(one.until for one in arrivals if not one.is_over)
    found = UnitTable.of(
        "AB", np.arange(n) % 2, NOW - HOUR * np.arange(n), columns, window_days=3, until=until
    )
    return replace(found, arrivals=arrivals)


def came(
    name: str, ago: float, *, is_over: bool = False, by_callers: bool = True, elsewhere: float | None = None
) -> Arrival:
    ahead = NOW - (ago if elsewhere is None else elsewhere)
    return Arrival(name, NOW - ago, NOW - ago, is_over, by_callers, ahead)


def test_units_wait_for_the_type_that_is_behind() -> None:
    units = table(came("click", 60), came("purchase", 10 * HOUR), came("view", 0))
    purchase, click = awaited(units)
    assert purchase == {
        "event_type": "purchase",
        "origin": "callers",
        "newest": "2026-11-29T02:00:00+00:00",
        "units": 10,
    }
    assert click["units"] == 1
    assert awaited_words(purchase) == "purchase from callers: the newest is of 2026-11-29 02:00 UTC; 10 units"
    assert awaited_words(click).endswith("; 1 unit")
    assert list(arrival_warnings(units)) == []
    assert len(units.mature()) == 240 - 3 * 24 - 10


def test_events_that_are_late_and_types_that_do_not_come_are_warned_of() -> None:
    units = table(
        came("click", 0),
        came("purchase", 26 * HOUR),
        came("view", 9 * DAY, is_over=True),
        Arrival.never("sale"),
    )
    late, over, never = arrival_warnings(units)
    assert late.startswith(
        "Events are late. Waiting for purchase from callers: the newest is of 2026-11-28 10:00 UTC; 26 un"
    )
    assert over.startswith("No view came since 2026-11-20 12:00 UTC: no unit waits for it")
    assert never.startswith("No sale ever came: no unit waits for it")


@pytest.mark.parametrize("only", [came("purchase", 9 * DAY), came("purchase", 0)])
def test_a_metric_of_one_type_waits_for_none(only: Arrival) -> None:
    assert (awaited(table(only)), list(arrival_warnings(table(only)))) == ([], [])


def test_a_look_says_what_is_waited_for_where_no_unit_counts() -> None:
    look = look_at(table(came("click", 0), came("purchase", 9.5 * DAY)), design(), METRICS)
    assert look.sentence == (
        "None of 240 units is mature, waiting for purchase from callers: the newest is of 2026-11-20 00:00 "
        "UTC; 168 units."
    )
    assert look.details["waiting"][0]["units"] == look.pending_units - 3 * 24 == 168


def test_a_source_that_is_behind_what_callers_report_is_named_with_what_to_do() -> None:
    views = came("view", 9.5 * DAY, by_callers=False, elsewhere=0)
    look = look_at(table(views), design(), METRICS)
    assert look.sentence == (
        "None of 240 units is mature, waiting for view from the source: the newest is of 2026-11-20 00:00 "
        "UTC; 168 units. If the source brings no newer events, set source.ended."
    )
    (late,) = arrival_warnings(table(views))
    assert late.endswith("not counted yet. If the source brings no newer events, set source.ended.")
