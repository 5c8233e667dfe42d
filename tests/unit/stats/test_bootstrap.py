"""The bootstrap against the normal approximation, its own coverage, and what can't be estimated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tastemaker.errors import TastemakerError
from tastemaker.stats.bootstrap import intervals, paired_difference, resampled_means


def test_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(0).exponential(2.0, 4000)
    (found,) = intervals(values[:, None], resamples=4000)
    error = values.std() / math.sqrt(len(values))
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_a_95_percent_interval_covers_about_95_percent_of_the_time() -> None:
    """400 samples as columns of one array: the share that covers has a standard error of 1.1 %."""
    samples = np.random.default_rng(1).normal(3.0, 2.0, (200, 400))
    covered = [one.low <= 3.0 <= one.high for one in intervals(samples)]
    assert 0.915 <= np.mean(covered) <= 0.98


def test_each_resample_holds_n_users() -> None:
    assert (resampled_means(np.ones((37, 1))) == 1).all()


@pytest.mark.parametrize("n", [2, 37, 3_000])
def test_users_are_drawn_one_by_one_with_replacement(n: int) -> None:
    values, rng = np.random.default_rng(6).normal(size=n), np.random.default_rng(7)
    expected = [values[rng.integers(0, n, n, dtype=np.int32)].mean() for _ in range(100)]
    found = resampled_means(values[:, None], seed=7, resamples=100)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-12)


def test_columns_share_their_resamples() -> None:
    values = np.random.default_rng(2).normal(size=(50, 1))
    means = resampled_means(np.hstack([values, values + 1, 2 * values]))
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 1, atol=1e-12)
    np.testing.assert_allclose(means[:, 2], 2 * means[:, 0], atol=1e-12)


def test_the_same_seed_repeats_and_another_differs() -> None:
    values = np.random.default_rng(3).normal(size=(50, 2))
    assert intervals(values, seed=5) == intervals(values, seed=5)
    assert intervals(values, seed=5) != intervals(values, seed=6)


def test_pairing_finds_a_difference_that_the_single_intervals_hide() -> None:
    rng = np.random.default_rng(4)
    ease = rng.normal(0, 10, 500)
    better, worse = ease + rng.normal(0.5, 0.5, 500), ease
    (first,), (second,) = intervals(better[:, None]), intervals(worse[:, None])
    assert first.low < second.high
    found = paired_difference(better, worse)
    assert found.low > 0
    assert found.n == 500
    assert paired_difference(worse, better).high < 0


def test_no_difference_is_exactly_none() -> None:
    values = np.random.default_rng(5).random(100)
    assert paired_difference(values, values) == (0, 0, 0, 100)


def test_one_user_has_no_interval() -> None:
    found = paired_difference([1.0], [0.0])
    assert found.difference == 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_must_be_a_share(level: float) -> None:
    with pytest.raises(TastemakerError, match=f"level is {level}, must be between 0 and 1"):
        intervals(np.ones((3, 1)), level=level)


def test_users_that_do_not_pair_are_refused() -> None:
    with pytest.raises(TastemakerError, match="3 users can't be paired with 2"):
        paired_difference(np.ones(3), np.ones(2))


def test_no_users_have_no_mean() -> None:
    with pytest.raises(TastemakerError, match="no users were evaluated"):
        intervals(np.empty((0, 1)))
