"""Wilson's interval and that of a median: against SciPy, exact probabilities and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from tastemaker.stats.shares import median_interval, wilson


@pytest.mark.parametrize(("successes", "users"), [(0, 40), (1, 30), (17, 60), (300, 1_000), (40, 40)])
def test_wilson_is_that_of_scipy(successes: int, users: int) -> None:
    found = wilson(successes, users)
    expected = binomtest(successes, users).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.users == users


def test_wilson_without_users() -> None:
    assert math.isnan(wilson(0, 0).value)


def test_a_median_of_any_distribution_is_held() -> None:
    rng = np.random.default_rng(4)
    held = [
        found.low <= math.log(2) <= found.high
        for found in (median_interval(rng.exponential(1, 45)) for _ in range(1_500))
    ]
    assert 0.94 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("users", [30, 31, 100, 1_001])
def test_the_ranks_have_the_stated_probability(users: int) -> None:
    """The number of values below the median is binomial: exact, whatever the values are."""
    found = median_interval(np.arange(1.0, users + 1))
    low, high = int(found.low), int(found.high)
    assert binom.cdf(high - 1, users, 0.5) - binom.cdf(low - 1, users, 0.5) >= 0.95


def test_too_few_values_have_no_ends() -> None:
    found = median_interval(np.array([3.0, 1.0]))
    assert found.value == 2.0
    assert math.isnan(found.low)
    assert math.isnan(median_interval(np.array([])).value)
