"""Which windows are computed, which stay, and which are removed."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.product.cell import TRAILING_DAYS, MetricWindow
from tastemaker.product.growth_metrics import GROWTH
from tastemaker.product.plan import MeasurementPlan, Span, consecutive
from tastemaker.product.shop_days import days_between

FIRST = date(2026, 1, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def test_a_changed_day_is_in_every_window_that_is_computed_and_in_no_other() -> None:
    plan = MeasurementPlan(Span(day(0), day(99), frozenset({day(50)})), None)
    for length in TRAILING_DAYS:
        ends = plan.trailing(length)
        assert ends == [day(number) for number in range(50, min(100, 50 + length))]


@pytest.mark.slow
@given(
    st.sets(st.integers(0, 120), max_size=4),
    st.sets(st.integers(0, 120), max_size=4),
    st.integers(0, 60),
)
def test_what_is_computed_is_valid_and_what_is_not_kept_is_neither(
    log: set[int], activity: set[int], kept: int
) -> None:
    spans = [
        Span(day(5), day(120), frozenset(map(day, changed)), day(kept) if kept > 30 else date.min)
        for changed in (log, activity)
    ]
    plan = MeasurementPlan(*spans)
    computed, valid = set(plan.computed()), set(plan.valid())
    assert computed <= valid
    assert bool(computed) == bool(log | activity) or not computed
    kept_from = plan.kept_from()
    assert (kept_from == {}) == (kept <= 30)
    assert all(window.first >= kept_from.get(metric, date.min) for metric, window in valid)


def test_growth_needs_the_days_before_it() -> None:
    plan = MeasurementPlan(None, Span(day(0), day(80), frozenset({day(80)})))
    for metric in GROWTH:
        ends = [window.last for name, window in plan.valid() if name == metric.name]
        assert ends == list(days_between(day(metric.needs_days - 1), day(80)))
    assert plan.growth() == [day(80)]


def test_cohorts_start_on_mondays_28_days_after_the_data() -> None:
    plan = MeasurementPlan(None, Span(day(0), day(80), frozenset({day(80)})))
    cohorts = plan.cohorts()
    assert cohorts is not None
    assert cohorts[0] == date(2026, 2, 2) == plan.first_shop_cohort
    assert cohorts[0].weekday() == cohorts[1].weekday() == 0
    assert plan.first_version_cohort == date.max


def test_no_data_no_window() -> None:
    for plan in (MeasurementPlan(None, None), MeasurementPlan(Span(day(0), day(9)), Span(day(0), day(9)))):
        assert list(plan.computed()) == []
    assert list(MeasurementPlan(None, None).valid()) == []
    assert MetricWindow.ending(day(6), 7) == (day(0), day(6))


def test_runs_of_days() -> None:
    days = [day(number) for number in (0, 1, 2, 5, 6)]
    assert list(consecutive(days, 2)) == [(day(0), day(1)), (day(2), day(2)), (day(5), day(6))]
