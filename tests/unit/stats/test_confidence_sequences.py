"""Confidence sequences: published values, and how often they err when someone looks at every step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.stats.confidence_sequences import bound, bound_above, log_e, log_e_above, tightest_at


def test_values_of_confseqs_tests() -> None:
    rho = tightest_at(100, 0.05)
    assert rho == pytest.approx(12.60056, abs=1e-5)
    assert bound(100, rho, 0.05) == pytest.approx(30.35209, abs=1e-5)
    assert log_e(10, 100, rho) == pytest.approx(-0.6510052, abs=1e-7)


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6), st.floats(1e-6, 0.5))
def test_the_bounds_are_where_the_e_values_reach_one_over_alpha(
    variance: float, rho: float, alpha: float
) -> None:
    assert log_e(bound(variance, rho, alpha), variance, rho) == pytest.approx(math.log(1 / alpha))
    above = bound_above(variance, rho, alpha)
    assert log_e_above(above, variance, rho) == pytest.approx(math.log(1 / alpha), rel=1e-6, abs=1e-6)
    assert above <= bound(variance, rho, alpha)


def test_the_sequence_is_tight_about_where_it_was_planned() -> None:
    rho = tightest_at(1_000.0, 0.05)
    widths = {v: bound(v, rho, 0.05) / math.sqrt(v) for v in (10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)}
    assert min(widths, key=lambda v: widths[v]) == 1_000.0


def test_looking_at_every_step_errs_as_rarely_as_promised() -> None:
    """2,000 random walks of 1,000 steps, skewed as rewards are."""
    rng = np.random.default_rng(7)
    steps = rng.exponential(1.0, (2_000, 1_000)) - 1
    sums, times = steps.cumsum(axis=1), np.arange(1, 1_001)
    rho = tightest_at(500.0, 0.05)
    two_sided = np.array([bound(float(v), rho, 0.05) for v in times])
    one_sided = np.array([bound_above(float(v), rho, 0.025) for v in times])
    late = times > 50  # a sum of few skewed steps is not yet normal
    erred = (np.abs(sums) > two_sided)[:, late].any(axis=1).mean()
    assert 0 < erred <= 0.05
    assert (sums > one_sided)[:, late].any(axis=1).mean() <= 0.025 + 3 * math.sqrt(0.025 / 2_000)


@pytest.mark.parametrize("call", [
    lambda: tightest_at(0, 0.05),
    lambda: tightest_at(1, 0),
    lambda: bound(-1, 1, 0.05),
    lambda: bound(1, 0, 0.05),
])  # fmt: skip
def test_arguments_out_of_range_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match="must"):
        call()  # type: ignore[operator]
