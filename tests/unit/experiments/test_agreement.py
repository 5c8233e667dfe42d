"""Forecasts against outcomes: z, signs and slope, with statsmodels as the oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint
from statsmodels.tools import add_constant

from tastemaker.experiments.agreement import MIN_EXPERIMENTS, ForecastOutcome, slope, summarize

RNG = np.random.default_rng(0)


def outcome(experiment: int, forecast: float, came: float | None, **more: object) -> ForecastOutcome:
    """Return a forecast and what came, both with an error of 0.03 and 0.04."""
    usual = {
        "experiment": f"e{experiment}",
        "epoch": 0,
        "variant": "B",
        "method": "off_policy",
        "metric": "reward_per_request",
        "forecast": forecast,
        "forecast_error": 0.03,
        "outcome": came,
        "outcome_error": None if came is None else 0.04,
    }
    return ForecastOutcome(**(usual | more))  # type: ignore[arg-type]


def test_z_is_the_difference_over_both_errors() -> None:
    one = outcome(1, 0.10, 0.05)
    assert one.z == pytest.approx(0.05 / 0.05)  # 3-4-5
    assert one.is_covered is True
    assert one.has_same_sign is True


@pytest.mark.parametrize(("came", "covered", "same"), [(0.001, False, True), (-0.03, False, False)])
def test_an_outcome_beyond_chance_is_not_covered(came: float, covered: bool, same: bool) -> None:
    one = outcome(1, 0.10, came)
    assert (one.is_covered, one.has_same_sign) == (covered, same)


def test_without_an_outcome_nothing_follows() -> None:
    one = outcome(1, 0.10, None)
    assert (one.z, one.is_covered, one.has_same_sign) == (None, None, None)


def test_without_any_error_there_is_no_z() -> None:
    assert outcome(1, 0.1, 0.2, forecast_error=0.0, outcome_error=0.0).z is None


def test_the_slope_is_that_of_statsmodels_with_hc3() -> None:
    forecasts = RNG.normal(0.03, 0.05, 12)
    outcomes = 0.6 * forecasts + RNG.normal(0, 0.02, 12) * np.linspace(0.2, 3, 12)
    fitted = OLS(outcomes, add_constant(forecasts)).fit(cov_type="HC3", use_t=True)
    expected = [fitted.params[1], *fitted.conf_int()[1]]
    assert list(slope(forecasts, outcomes)) == pytest.approx(expected, rel=1e-9)


def test_a_slope_needs_forecasts_that_differ() -> None:
    assert math.isnan(slope([0.1] * 9, list(range(9))).value)
    alone = slope([0.0] * 8 + [1.0], list(range(9)))
    assert math.isfinite(alone.value)
    assert math.isnan(alone.low), "one experiment decides the slope: its residual is 0 by construction"


def test_the_interval_of_the_slope_covers() -> None:
    """True slope 0.5; outcomes whose errors differ by a factor of five."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(400):
        forecasts = rng.normal(0.02, 0.04, 15)
        found = slope(forecasts, 0.5 * forecasts + rng.normal(0, rng.uniform(0.01, 0.05, 15)))
        covered += found.low <= 0.5 <= found.high
    assert 0.92 <= covered / 400 <= 0.99


def test_below_eight_experiments_there_is_no_summary() -> None:
    few = [outcome(number, 0.01 * number, 0.01 * number) for number in range(MIN_EXPERIMENTS - 1)]
    assert summarize(few) == []
    again = [outcome(1, 0.01 * number, 0.0, variant=f"v{number}", epoch=number) for number in range(20)]
    assert summarize([*few, *again]) == [], "more variants and epochs are not more experiments"
    open_ = [outcome(100 + number, 0.1, None) for number in range(20)]
    assert summarize([*few, *open_]) == [], "without an outcome it does not count"


def test_a_summary_has_shares_with_wilsons_interval() -> None:
    found = [outcome(number, 0.05, 0.05 + (0.5 if number < 2 else 0.0)) for number in range(9)]
    found += [outcome(9, 0.05, -0.01)]
    (summary,) = summarize(found)
    assert (summary.method, summary.experiments) == ("off_policy", 10)
    for share, count in ((summary.coverage, 8), (summary.same_sign, 9)):
        expected = proportion_confint(count, 10, method="wilson")
        assert list(share) == pytest.approx([count / 10, *expected])


def test_an_experiment_counts_by_its_newest_epoch_and_best_known_forecast() -> None:
    found = [outcome(number, 0.01 * number, 0.01 * number) for number in range(8)]
    wrong = [
        outcome(1, 0.9, -0.9, variant="C", forecast_error=0.5),
        outcome(2, 0.9, -0.9, epoch=-1, forecast_error=0.001),
    ]
    assert summarize([*wrong, *found]) == summarize(found)


def test_methods_are_summarized_apart() -> None:
    found = [
        outcome(number, 0.01 * number, 0.01 * number, method=method)
        for number in range(8)
        for method in ("off_policy", "offline")
    ]
    assert [(one.method, one.experiments) for one in summarize(found)] == [("off_policy", 8), ("offline", 8)]
