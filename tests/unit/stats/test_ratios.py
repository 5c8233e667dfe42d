"""Intervals of ratios over users: known answers, equality with a bootstrap, and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tastemaker.stats.bootstrap import Float64, resampled_means
from tastemaker.stats.ratios import ratio_interval, ratio_intervals


def sums(rng: np.random.Generator, users: int) -> tuple[Float64, Float64]:
    """Clicks and shown items of users; some come often and click more."""
    shown = 10 * rng.geometric(0.25, users).astype(np.float64)
    clicks = rng.binomial(shown.astype(int), rng.beta(1, 12, users)).astype(float)
    return clicks.astype(np.float64), shown


def test_the_ends_are_those_of_a_bootstrap_over_users() -> None:
    clicks, shown = sums(np.random.default_rng(1), 2_000)
    found = ratio_interval(clicks, shown)
    drawn = resampled_means(np.column_stack([clicks, shown]), resamples=4_000)
    ratios = drawn[:, 0] / drawn[:, 1]
    low, high = np.quantile(ratios, [0.025, 0.975])
    assert found.value == clicks.sum() / shown.sum()
    assert found.low == pytest.approx(low, abs=0.06 * (high - low))
    assert found.high == pytest.approx(high, abs=0.06 * (high - low))


@pytest.mark.parametrize("users", [40, 200, 1_000])
def test_95_of_100_intervals_hold_the_truth(users: int) -> None:
    rng = np.random.default_rng(users)
    true = 1 / 13  # the mean of the users' rates, which do not depend on how much they are shown
    worlds = 1_500
    groups = np.repeat(np.arange(worlds), users)
    clicks, shown = sums(rng, worlds * users)
    found = ratio_intervals(groups, worlds, clicks, shown)
    held = np.mean([one.low <= true <= one.high for one in found])
    assert 0.93 <= held <= 0.985


def test_groups_are_independent_and_users_without_a_denominator_do_not_count() -> None:
    clicks, shown = sums(np.random.default_rng(2), 100)
    alone = ratio_interval(clicks, shown)
    more = np.concatenate([clicks, np.full(30, math.nan), np.zeros(7)])
    under = np.concatenate([shown, np.ones(30), np.zeros(7)])
    group = np.repeat([0, 1, 0], [100, 30, 7])
    first, second, empty = ratio_intervals(group, 3, more, under)
    assert (first.users, first.value) == (alone.users, alone.value) == (100, clicks.sum() / shown.sum())
    assert (first.low, first.high) == pytest.approx((alone.low, alone.high), rel=1e-12)
    assert math.isnan(second.value)
    assert empty.users == 0
    assert math.isnan(empty.value)


def test_users_with_equal_sums_are_counted_together() -> None:
    rng = np.random.default_rng(3)
    clicks, shown = sums(rng, 400)
    group = rng.integers(0, 3, 400)
    rows = np.column_stack([group, clicks, shown])
    equal, count = np.unique(rows, axis=0, return_counts=True)
    assert len(equal) < 200
    together = ratio_intervals(equal[:, 0].astype(np.int64), 3, equal[:, 1], equal[:, 2], count)
    for found, alone in zip(together, ratio_intervals(group, 3, clicks, shown), strict=True):
        assert (found.value, found.users, found.varied) == (alone.value, alone.users, alone.varied)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), rel=1e-12)


def test_no_interval_where_nearly_all_users_are_alike() -> None:
    ones = np.ones(500)
    nearly = ones.copy()
    nearly[:9] = 0
    for over in (ones, nearly, ones - nearly):
        assert math.isnan(ratio_interval(over, ones).low)
    nearly[9] = 0
    assert ratio_interval(nearly, ones).low < 0.98 < ratio_interval(nearly, ones).high
