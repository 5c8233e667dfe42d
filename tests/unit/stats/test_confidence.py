"""Intervals over users: how often they hold the truth, where there is none, and in which words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta, ttest_1samp

from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.results import from_json, to_json
from tastemaker.stats.bootstrap import Difference, Interval, intervals, paired_difference
from tastemaker.stats.confidence import MIN_USERS, MIN_VARIED, NONE, ends, varied, why_none

Float64 = NDArray[np.float64]
PLACES = 1 / np.log2(np.arange(2, 12))
RUNS = 1_500
ERROR = math.sqrt(0.95 * 0.05 / RUNS)
"""The standard error of a coverage of 95 %: four of them are left by one sound cell in 16,000."""


def interval_of(values: Float64) -> tuple[float, float]:
    return ends(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), values, 0.95)


def given_and_covering(samples: Float64, truth: float) -> tuple[float, float]:
    """The share of rows with an interval, and of those the share whose interval holds the truth."""
    found = np.array([interval_of(row) for row in samples])
    kept = np.isfinite(found).all(axis=1)
    low, high = found[kept].T
    return float(kept.mean()), float(np.mean((low <= truth) & (truth <= high))) if kept.any() else math.nan


def hits(rng: np.random.Generator, users: int, rate: float) -> Float64:
    """float64[RUNS, users]: 0, or NDCG of one hit at one of ten places."""
    return np.asarray((rng.random((RUNS, users)) < rate) * rng.choice(PLACES, (RUNS, users)))


@pytest.mark.parametrize("users", [5, 10, 20, 50, 100, 500])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2, 0.5])
def test_what_is_given_covers(users: int, rate: float) -> None:
    """Where one is given in a tenth of cases or more; fewer are those with many hits by luck alone."""
    shown, covering = given_and_covering(
        hits(np.random.default_rng([users, int(100 * rate)]), users, rate), rate * PLACES.mean()
    )
    if users < MIN_USERS:
        assert shown == 0
    elif shown >= 0.1:
        assert covering >= 0.95 - 4 * ERROR / math.sqrt(shown) - 0.005
    assert shown * (1 - covering) <= 0.05 + 4 * ERROR or shown == 0


@pytest.mark.parametrize("users", [20, 50, 100, 500])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_a_paired_difference_covers(users: int, rate: float) -> None:
    rng = np.random.default_rng([users, int(100 * rate), 1])
    shown, covering = given_and_covering(hits(rng, users, rate) - hits(rng, users, rate), 0.0)
    if shown >= 0.1:
        assert covering >= 0.95 - 4 * ERROR / math.sqrt(shown) - 0.005


def test_five_users_and_two_hits_have_no_interval_and_say_why() -> None:
    (few,) = intervals(np.array([[0.3], [0.0], [0.1], [0.9], [0.5]]))
    (rare,) = intervals(np.r_[np.zeros(98), 0.5, 1.0][:, None])
    (none,) = intervals(np.zeros((100, 1)))
    assert [formatting.span(one) for one in (few, rare, none)] == [
        f"no interval: 5 users, needs {MIN_USERS}",
        f"no interval: only 2 of 100 users differ from the rest, needs {MIN_VARIED}",
        f"no interval: only 0 of 100 users differ from the rest, needs {MIN_VARIED}",
    ]
    for one in (few, rare, none):
        stored = json.loads(json.dumps(to_json(one), allow_nan=False))
        assert (stored["low"], stored["high"]) == (None, None)
        again = Interval(**from_json(stored))
        assert (again, again.why_none()) == (one, one.why_none())
    found = paired_difference(np.r_[np.zeros(95), np.ones(5)], np.zeros(100))
    assert formatting.span(found) == "no interval: fewer than 10 of 100 users differ from the rest, needs 10"
    assert found.between() == formatting.span(found)


def test_one_user_keeps_its_own_words() -> None:
    assert why_none(1) == f"no interval from one user, needs {MIN_USERS}"


def test_models_that_agree_on_all_users_do_not_differ_but_on_no_hits_nothing_is_known() -> None:
    some = np.random.default_rng(0).random(100)
    assert paired_difference(some, some) == Difference(0, 0, 0, 100)
    assert math.isnan(paired_difference(np.zeros(100), np.zeros(100)).low)
    assert math.isnan(paired_difference(some[:5], some[:5]).low)


def test_hits_of_nearly_all_users_are_bounded_by_clopper_and_pearson() -> None:
    misses, users = 3, 60
    low, high = interval_of(np.r_[np.zeros(misses), np.ones(users - misses)])
    assert low == pytest.approx(beta.ppf(0.025, users - misses, misses + 1))  # of the share of hits
    assert high == 1
    assert interval_of(np.ones(200)) == pytest.approx((0.025 ** (1 / 200), 1.0))  # 1 to 1 would be too sure
    assert interval_of(np.zeros(200)) is NONE
    assert interval_of(np.full(200, 3.25)) == (3.25, 3.25)
    assert ends(1.0, 0.0, np.ones(200), 0.95, certain=True) == (1.0, 1.0)


@pytest.mark.parametrize("rate", [0.9, 0.95, 0.98])
def test_hits_of_nearly_all_users_cover(rate: float) -> None:
    samples = (np.random.default_rng(2).random((RUNS, 60)) < rate).astype(np.float64)
    shown, covering = given_and_covering(samples, rate)
    assert shown > 0.25
    assert covering >= 0.95 - 4 * ERROR / math.sqrt(shown)


def test_many_users_are_the_t_test() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 3000)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval_of(values) == pytest.approx((expected.low, expected.high), abs=2e-4)


def test_a_skewed_figure_reaches_further_up_than_students() -> None:
    values = np.random.default_rng(3).exponential(1, 60)
    student = ttest_1samp(values, 0).confidence_interval(0.95)
    low, high = interval_of(values)
    assert low == pytest.approx(student.low)
    assert high > student.high
    mirrored = interval_of(-values)
    assert (-mirrored[1], -mirrored[0]) == pytest.approx((low, high))


FIGURES = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


@given(FIGURES)
def test_the_mean_lies_within_or_there_is_no_interval(figures: list[float]) -> None:
    values = np.array(figures)
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    low, high = ends(float(values.mean()), error, values, 0.95)
    slack = 1e-9 * max(1.0, float(np.abs(values).max()))
    if math.isnan(low):
        assert math.isnan(high)
        assert len(values) < MIN_USERS or varied(values) < MIN_VARIED
    else:
        assert low - slack <= values.mean() <= high + slack


@given(FIGURES, st.integers(0, 59))
def test_a_figure_that_is_not_a_number_gives_no_interval(figures: list[float], at: int) -> None:
    values = np.array(figures)
    values[at % len(values)] = math.nan
    assert all(map(math.isnan, ends(float(values.mean()), float(values.std()), values, 0.95)))
