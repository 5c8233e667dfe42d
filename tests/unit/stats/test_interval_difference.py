"""Differences of figures of which only the intervals are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.interval_difference import interval_difference


def share(successes: int, n: int) -> Interval:
    """A share with Wilson's interval."""
    ends = binomtest(successes, n).proportion_ci(method="wilson")
    return Interval(successes / n, ends.low, ends.high)


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_shares_have_newcombes_tenth_interval(
    a: tuple[int, int], b: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, table II, method 10: contrasts (a), (b) and (g)."""
    found = interval_difference(share(*a), share(*b))
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6))
def test_the_other_way_round_it_is_the_same_with_the_other_sign(ends: list[float]) -> None:
    (a_low, a, a_high), (b_low, b, b_high) = sorted(ends[:3]), sorted(ends[3:])
    found = interval_difference(Interval(a, a_low, a_high), Interval(b, b_low, b_high))
    back = interval_difference(Interval(b, b_low, b_high), Interval(a, a_low, a_high))
    assert found.low <= found.value <= found.high
    assert (back.value, back.low, back.high) == (-found.value, -found.high, -found.low)


def test_normal_figures_have_the_usual_interval() -> None:
    rng = np.random.default_rng(1)
    z = 1.96
    for error_a, error_b in rng.uniform(0.1, 3, (20, 2)):
        found = interval_difference(
            Interval(5.0, 5 - z * error_a, 5 + z * error_a), Interval(2.0, 2 - z * error_b, 2 + z * error_b)
        )
        assert found.high - found.value == pytest.approx(z * math.hypot(error_a, error_b))


def test_without_an_interval_there_is_a_difference_only() -> None:
    found = interval_difference(Interval(3.0, math.nan, math.nan), Interval(1.0, 0.5, 1.5))
    assert found.value == 2.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
