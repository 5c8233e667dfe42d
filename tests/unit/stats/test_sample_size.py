"""Sample sizes against statsmodels and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import zt_ind_solve_power

from tastemaker.stats.sample_size import PowerPlan, units_needed


@pytest.mark.parametrize(("effect", "ratio", "power"), [(0.05, 1.0, 0.8), (0.2, 1.0, 0.9), (0.05, 9.0, 0.8)])
def test_it_is_statsmodels(effect: float, ratio: float, power: float) -> None:
    """Which also counts findings of the wrong sign as power: 2 in a million units here."""
    expected = zt_ind_solve_power(effect_size=effect, alpha=0.05, power=power, ratio=ratio)
    control, treatment = units_needed(effect, 1.0, PowerPlan(power=power, ratio=ratio))
    assert control == pytest.approx(expected, rel=1e-5)
    assert treatment == pytest.approx(ratio * expected, rel=1e-5)


def test_adjustment_and_looks_change_the_units_by_their_factors() -> None:
    plain = units_needed(0.1, 2.0)[0]
    assert units_needed(0.1, 2.0, PowerPlan(correlation=0.6))[0] == pytest.approx(0.64 * plain)
    assert units_needed(0.1, 2.0, PowerPlan(factor=1.04))[0] == pytest.approx(1.04 * plain)


def test_as_many_experiments_find_the_effect_as_planned() -> None:
    control, treatment = (round(units) for units in units_needed(0.5, 1.0))
    rng = np.random.default_rng(0)
    difference = rng.normal(0.5, np.sqrt(1 / control + 1 / treatment), 20_000)
    found = (np.abs(difference) / np.sqrt(1 / control + 1 / treatment) > 1.959964).mean()
    assert found == pytest.approx(0.8, abs=0.012)


@pytest.mark.parametrize(("effect", "variance", "plan", "says"), [
    (0.0, 1.0, PowerPlan(), "effect is 0"),
    (float("nan"), 1.0, PowerPlan(), "effect is nan"),
    (0.1, -1.0, PowerPlan(), "variance is -1"),
    (0.1, 1.0, PowerPlan(alpha=1), "alpha is 1"),
    (0.1, 1.0, PowerPlan(power=0), "power is 0"),
    (0.1, 1.0, PowerPlan(correlation=1.5), "correlation"),
    (0.1, 1.0, PowerPlan(factor=0.5), "factor"),
    (0.1, 1.0, PowerPlan(ratio=0), "ratio"),
])  # fmt: skip
def test_a_plan_out_of_range_is_refused(effect: float, variance: float, plan: PowerPlan, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        units_needed(effect, variance, plan)
