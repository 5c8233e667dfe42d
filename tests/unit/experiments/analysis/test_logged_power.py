"""Power on what users of the log did: closed forms, and experiments drawn by code of the test's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, ttest_ind

from tastemaker.experiments.analysis.logged_power import (
    LoggedValues,
    effect_for,
    formula_effect,
    units_for,
)
from tastemaker.stats.sample_size import PowerPlan
from tastemaker.stats.unit_summary import Float64

pytestmark = pytest.mark.slow
PLAN = PowerPlan()
Z = float(norm.ppf(0.975) + norm.ppf(0.8))


def earnings(users: int = 4_000, seed: int = 1) -> Float64:
    """Most earn nothing, a few much."""
    rng = np.random.default_rng(seed)
    earned: Float64 = rng.lognormal(2.0, 1.2, users) * (rng.random(users) < 0.2)
    return earned


def test_an_effect_on_values_raises_their_variance() -> None:
    values = np.random.default_rng(0).normal(10, 4, 5_000)
    ratio = PowerPlan(ratio=0.5)
    expected = Z**2 * values.var(ddof=1) * (1 + 1.2**2 / 0.5) / (0.2 * values.mean()) ** 2
    assert units_for(LoggedValues(values), 0.2, ratio) == pytest.approx(expected)
    assert formula_effect(LoggedValues(values), expected, ratio) == pytest.approx(0.2)


def test_of_a_share_of_users_the_variance_is_that_of_the_larger_share() -> None:
    values = np.repeat([0.0, 1.0], [900, 100])
    expected = Z**2 * (0.1 * 0.9 + 0.15 * 0.85) / 0.05**2
    assert units_for(LoggedValues(values), 0.5, PLAN) == pytest.approx(expected)


def test_looks_and_adjustment_change_the_units_by_their_factors() -> None:
    logged = LoggedValues(earnings())
    plan = PowerPlan(factor=1.04, correlation=0.6)
    assert units_for(logged, 0.9, plan) == pytest.approx(1.04 * 0.64 * units_for(logged, 0.9, PLAN), rel=0.01)


@pytest.mark.parametrize("limit", [None, 60.0])
@pytest.mark.parametrize("ratio", [1.0, 0.25])
def test_as_many_experiments_find_the_effect_as_planned(limit: float | None, ratio: float) -> None:
    logged = LoggedValues(earnings(), limit)
    units, runs = 1_000, 3_000
    effect = effect_for(logged, units, PowerPlan(ratio=ratio))
    rng = np.random.default_rng(7)
    control, treated = (
        np.minimum(factor * rng.choice(logged.values, (runs, size)), limit or math.inf)
        for factor, size in ((1, units), (1 + effect, round(ratio * units)))
    )
    found = ttest_ind(treated, control, axis=1, equal_var=False)
    power = np.mean((found.pvalue < 0.05) & (found.statistic > 0))
    assert power == pytest.approx(0.8, abs=0.025)


def test_one_variance_for_both_would_plan_too_small_an_experiment() -> None:
    logged = LoggedValues(earnings())
    naive = Z**2 * 2 * logged.values.var(ddof=1) / (0.6 * logged.values.mean()) ** 2
    assert units_for(logged, 0.6, PLAN) > 1.2 * naive


def test_few_units_find_no_effect_however_large() -> None:
    assert effect_for(LoggedValues(earnings()), 20, PLAN) == math.inf


def test_a_limit_that_leaves_nothing_of_the_effect_needs_units_without_end() -> None:
    assert units_for(LoggedValues(np.repeat([0.0, 5.0], 50), limit=3.0), 0.1, PLAN) == math.inf
