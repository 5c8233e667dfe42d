"""Effects against published figures, statsmodels and tea-tasting, and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tea_tasting
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from tastemaker.errors import TastemakerError
from tastemaker.stats.effects import (
    GroupFigure,
    compare,
    fieller,
    mean_effect,
    ratio_effect,
    stratified_effect,
)
from tastemaker.stats.unit_summary import UnitSummary


def of_moments(n: int, mean: list[float], covariance: list[list[float]]) -> UnitSummary:
    """The summary of n units with a sample mean and a sample covariance."""
    names = ("y", "x")[: len(mean)]
    return UnitSummary(names, n, np.array(mean), (n - 1) * np.array(covariance))


def of_sums(n: int, y: float, yy: float, x: float, xx: float, yx: float) -> UnitSummary:
    """The summary of n units from sums and sums of products."""
    mean = np.array([y, x]) / n
    return UnitSummary(("y", "x"), n, mean, np.array([[yy, yx], [yx, xx]]) - n * np.outer(mean, mean))


def test_welch_of_published_moments() -> None:
    """Figures of GrowthBook's gbstats tests, rounded to five places there."""
    control, treatment = of_moments(3_407, [0.41], [[3.9**2]]), of_moments(3_461, [0.7], [[6.2**2]])
    effect = mean_effect(treatment, control, "y")
    assert effect.low == pytest.approx(0.04538, abs=1e-5)
    assert effect.high == pytest.approx(0.53462, abs=1e-5)
    assert effect.p == pytest.approx(0.02016, abs=1e-5)


def test_ratio_of_published_sums() -> None:
    """Sums of PostHog's test_frequentist; the denominator is an indicator."""
    treatment = of_sums(2_034, 99673.9364269569, 11298745.182728939, 947, 947, 99673.9364269569)
    control = of_sums(1_966, 94605.79858780127, 10463129.505392816, 936, 936, 94605.79858780127)
    effect = ratio_effect(treatment, control, "y", "x")
    assert effect.difference == pytest.approx(4.1777377, rel=1e-6)
    # The published error divides by n where the sample variance divides by n - 1.
    assert effect.standard_error == pytest.approx(1.3892631, rel=5e-4)
    assert effect.relative == pytest.approx(0.041333, abs=1e-6)


def adjustable() -> dict[str, dict[str, np.ndarray]]:
    """Twenty units of each group, with a value before and after."""
    i = np.arange(40)
    x = ((37 * i) % 101) / 10
    y = 0.6 * x + ((53 * i + 17) % 97) / 20 + 0.8 * (i % 2)
    groups = {"control": i % 2 == 0, "treatment": i % 2 == 1}
    return {name: {"y": y[group], "x": x[group]} for name, group in groups.items()}


def test_cuped_of_known_figures() -> None:
    """Figures of tea-tasting 1.14."""
    groups = {name: UnitSummary.of(columns) for name, columns in adjustable().items()}
    plain = mean_effect(groups["treatment"], groups["control"], "y")
    assert plain.difference == pytest.approx(0.336, abs=1e-9)
    assert plain.p == pytest.approx(0.6744788, abs=1e-6)
    adjusted = mean_effect(groups["treatment"], groups["control"], "y", covariates=["x"])
    # Its θ comes from all units together, ours from within groups.
    assert adjusted.difference == pytest.approx(0.5695494, abs=2e-3)
    assert adjusted.p == pytest.approx(0.2023532, abs=5e-3)


def frame(groups: dict[str, dict[str, np.ndarray]]) -> object:
    import pyarrow as pa

    columns = {
        name: np.concatenate([groups[variant][name] for variant in ("control", "treatment")])
        for name in groups["control"]
    }
    sizes = [len(groups[variant]["y"]) for variant in ("control", "treatment")]
    return pa.table({"variant": np.repeat([0, 1], sizes), **columns})


def skewed(seed: int, n: int, lift: float) -> dict[str, np.ndarray]:
    """Units whose rewards are mostly 0 and sometimes large, with lists and the reward of before."""
    rng = np.random.default_rng(seed)
    taste = rng.gamma(0.5, 2.0, n)
    lists = 1 + rng.poisson(3, n)
    return {
        "y": rng.poisson(taste * lift * lists / 4).astype(float) * rng.lognormal(0, 1, n),
        "w": lists.astype(float),
        "x": rng.poisson(taste).astype(float),
    }


@pytest.mark.parametrize("seed", range(3))
def test_effects_are_those_of_tea_tasting(seed: int) -> None:
    groups = {"control": skewed(seed, 4_000, 1.0), "treatment": skewed(seed + 100, 3_000, 1.1)}
    experiment = tea_tasting.Experiment(
        mean=tea_tasting.Mean("y", equal_var=False, use_t=True),
        ratio=tea_tasting.RatioOfMeans("y", "w", equal_var=False, use_t=True),
        adjusted=tea_tasting.Mean("y", "x", equal_var=False, use_t=True),
    )
    expected = experiment.analyze(frame(groups))
    t, c = (UnitSummary.of(groups[name]) for name in ("treatment", "control"))
    found = {
        "mean": mean_effect(t, c, "y"),
        "ratio": ratio_effect(t, c, "y", "w"),
        "adjusted": mean_effect(t, c, "y", covariates=["x"]),
    }
    for name, effect in found.items():
        # Its θ comes from all units together, ours from within groups: they differ by the effect itself.
        rel = 5e-3 if name == "adjusted" else 1e-9
        assert effect.difference == pytest.approx(expected[name].effect_size, rel=rel, abs=1e-3 * rel), name
        assert effect.low == pytest.approx(expected[name].effect_size_ci_lower, rel=5 * rel), name
        assert effect.high == pytest.approx(expected[name].effect_size_ci_upper, rel=rel), name


def test_a_mean_is_statsmodels() -> None:
    t, c = skewed(1, 500, 1.2)["y"], skewed(2, 700, 1.0)["y"]
    compared = CompareMeans(DescrStatsW(t), DescrStatsW(c))
    effect = mean_effect(UnitSummary.of({"y": t}), UnitSummary.of({"y": c}), "y")
    statistic, p, degrees = compared.ttest_ind(usevar="unequal")
    assert effect.p == pytest.approx(p)
    assert effect.degrees == pytest.approx(degrees)
    assert effect.difference / effect.standard_error == pytest.approx(statistic)
    assert (effect.low, effect.high) == pytest.approx(compared.tconfint_diff(usevar="unequal"))


def test_adjustment_for_a_value_that_explains_all_leaves_no_error() -> None:
    x = np.arange(50.0)
    t, c = UnitSummary.of({"y": 3 * x + 1, "x": x}), UnitSummary.of({"y": 3 * x[::-1], "x": x[::-1]})
    effect = mean_effect(t, c, "y", covariates=["x"])
    assert effect.difference == pytest.approx(1)
    assert effect.standard_error < 1e-6


def test_a_constant_or_repeated_covariate_changes_nothing() -> None:
    t, c = (UnitSummary.of({**skewed(seed, 900, 1), "one": np.ones(900)}) for seed in (1, 2))
    plain = mean_effect(t, c, "y", covariates=["x"])
    for covariates in (["x", "one"], ["x", "x"]):
        found = mean_effect(t, c, "y", covariates=covariates)
        np.testing.assert_allclose(np.array(found), np.array(plain), rtol=1e-9)


def test_an_adjusted_ratio_has_less_error_and_the_same_expectation() -> None:
    found = []
    for seed in range(60):
        t, c = (UnitSummary.of(skewed(1_000 * side + seed, 2_000, 1.0)) for side in (1, 2))
        found.append((ratio_effect(t, c, "y", "w"), ratio_effect(t, c, "y", "w", covariates=["x"])))
    plain, adjusted = ([pair[at].difference for pair in found] for at in (0, 1))
    assert np.std(adjusted) < np.std(plain)
    assert abs(np.mean(adjusted)) < 3 * np.std(adjusted) / math.sqrt(60)
    assert np.mean([pair[1].standard_error for pair in found]) == pytest.approx(np.std(adjusted), rel=0.3)


estimates = st.builds(
    GroupFigure,
    st.floats(-100, 100),
    st.floats(1e-4, 100).map(lambda error: error**2),
    st.integers(2, 10_000),
)


@given(estimates, estimates)
def test_the_relative_interval_never_contradicts_the_difference(
    treatment: GroupFigure, control: GroupFigure
) -> None:
    effect = compare(treatment, control)
    if math.isfinite(effect.relative_low) and min(abs(effect.low), abs(effect.high)) > 1e-9:
        excludes = effect.low > 0 or effect.high < 0
        assert (effect.relative_low > 0 or effect.relative_high < 0) == excludes
        assert (effect.relative_low > 0) == (effect.low > 0)
    assert (effect.p < 0.05) == (effect.low > 0 or effect.high < 0) or abs(effect.p - 0.05) < 1e-9


def test_fiellers_interval_covers_where_the_usual_one_would_not() -> None:
    """Control is only six of its errors from 0, so the ratio is skewed."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(4_000):
        t, c = GroupFigure(rng.normal(9, 1), 1.0, 10_000), GroupFigure(rng.normal(6, 1), 1.0, 10_000)
        low, high = fieller(t, c, 1.959964)
        covered += low <= 0.5 <= high
    assert covered / 4_000 == pytest.approx(0.95, abs=0.012)


def test_groups_that_are_constant() -> None:
    same = compare(GroupFigure(1.0, 0.0, 10), GroupFigure(1.0, 0.0, 10))
    assert (same.p, same.low, same.high) == (1.0, 0.0, 0.0)
    other = compare(GroupFigure(2.0, 0.0, 10), GroupFigure(1.0, 0.0, 10))
    assert (other.p, other.low, other.relative_low) == (0.0, 1.0, 1.0)


def test_too_few_units_and_nothing_below_the_line_are_refused() -> None:
    one, two = UnitSummary.of({"y": [1.0], "x": [0.0]}), UnitSummary.of({"y": [1.0, 2.0], "x": [0.0, 0.0]})
    with pytest.raises(TastemakerError, match="a group has 1 units, at least 2"):
        mean_effect(one, two, "y")
    with pytest.raises(TastemakerError, match="the mean of 'x' is 0"):
        ratio_effect(two, two, "y", "x")
    with pytest.raises(TastemakerError, match="no column 'z'"):
        mean_effect(two, two, "y", covariates=["z"])


def test_the_error_is_at_least_that_of_one_variance() -> None:
    """A small group without large values: its own variance says too little."""
    rng = np.random.default_rng(5)
    few, many = rng.normal(0, 1, 40), rng.normal(0, 5, 400)
    groups = [(UnitSummary.of({"y": few}), UnitSummary.of({"y": many}))]
    found = stratified_effect(groups, "y", at_least_pooled=True)
    expected = ttest_ind(few, many, equal_var=True)
    assert found.standard_error == pytest.approx(abs(found.difference / expected.statistic))
    assert found.standard_error > stratified_effect(groups, "y").standard_error
    assert (found.low <= 0 <= found.high) == (found.relative_low <= 0 <= found.relative_high)


def test_welch_s_error_stays_where_it_is_larger_or_the_groups_are_alike() -> None:
    rng = np.random.default_rng(6)
    wide, narrow = rng.normal(0, 5, 40), rng.normal(0, 1, 400)
    for pair in ((wide, narrow), (wide, narrow[:40])):
        groups = [(UnitSummary.of({"y": pair[0]}), UnitSummary.of({"y": pair[1]}))]
        assert stratified_effect(groups, "y", at_least_pooled=True) == stratified_effect(groups, "y")
