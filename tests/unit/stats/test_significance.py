"""Both tests against scipy and against each other, Holm by hand, and how often a false difference is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import permutation_test, ttest_1samp

from tastemaker.evaluation.leaderboard.pairwise import Pairs
from tastemaker.evaluation.promotion_candidates import are_candidates, are_others
from tastemaker.stats.bootstrap import GROUPS, paired_difference, resampled_means
from tastemaker.stats.significance import ALPHA, bootstrap_p, enough, flipped_means, holm, permutation_p

Float64 = NDArray[np.float64]


def permutation(differences: Float64, *, resamples: int = 9_999, seed: int = 0) -> float:
    columns = differences[:, None]
    scale = np.sqrt((columns**2).mean(axis=0))
    flips = flipped_means(columns, resamples=resamples, seed=seed)
    return float(permutation_p(columns.mean(axis=0), flips, scale)[0])


def bootstrap(differences: Float64) -> float:
    columns = differences[:, None]
    return float(
        bootstrap_p(resampled_means(columns, resamples=9_999), np.sqrt((columns**2).mean(axis=0)))[0]
    )


def scipy_p(first: Float64, second: Float64, resamples: int) -> float:
    def statistic(one: Any, other: Any, axis: int) -> Any:
        return np.mean(one - other, axis=axis)

    found = permutation_test(
        (first, second),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(1),
    )
    return float(found.pvalue)


@pytest.mark.parametrize("n", [2, 3, 7, 12])
@pytest.mark.parametrize("kind", ["normal", "hits"])
def test_few_users_are_exactly_scipy(n: int, kind: str) -> None:
    """`hits` has differences of -1, 0 and 1: many sign patterns tie with the observed one."""
    rng = np.random.default_rng(n)
    first, second = rng.normal(0.5, 1, n), rng.normal(0, 1, n)
    if kind == "hits":
        first, second = (first > 0).astype(float), (second > 0).astype(float)
    assert permutation(first - second) == pytest.approx(scipy_p(first, second, 1 << 12), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.25])
def test_more_users_are_scipy_up_to_chance(shift: float) -> None:
    rng = np.random.default_rng(5)
    first, second = rng.exponential(1, 150) + shift, rng.exponential(1, 150)
    expected = scipy_p(first, second, 9_999)
    error = np.sqrt(2 * expected * (1 - expected) / 9_999)
    assert permutation(first - second) == pytest.approx(expected, abs=4 * error + 2e-4)


@pytest.mark.parametrize("n", [400, 5 * GROUPS + 11])
def test_many_users_are_the_t_test(n: int) -> None:
    """By the central limit theorem; the larger n is tested in groups of users."""
    rng = np.random.default_rng(7)
    differences = rng.normal(2.0 / np.sqrt(n), 1, n)
    expected = ttest_1samp(differences, 0).pvalue
    assert permutation(differences) == pytest.approx(expected, abs=0.02)
    assert bootstrap(differences) == pytest.approx(expected, abs=0.02)


def test_flipped_differences_are_differences_of_flipped() -> None:
    columns = np.random.default_rng(2).normal(size=(40, 2))
    both, apart = flipped_means(columns), flipped_means(columns[:, :1] - columns[:, 1:])
    np.testing.assert_allclose(both.means[:, :1] - both.means[:, 1:], apart.means, atol=1e-12)


def test_all_patterns_once_where_that_is_possible() -> None:
    flips = flipped_means(np.array([[1.0], [2.0], [4.0]]), resamples=7)
    assert flips.exact
    assert sorted((3 * flips.means[:, 0]).round(9).tolist()) == [-7, -5, -3, -1, 1, 3, 5, 7]
    assert not flipped_means(np.ones((3, 1)), resamples=6).exact


def test_groups_have_the_spread_of_users() -> None:
    """Also where the mean is far from 0 and groups are of unequal size."""
    values = np.random.default_rng(3).exponential(3.0, (GROUPS + 1500, 1)) + 100
    means = resampled_means(values, resamples=4000)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / np.sqrt(len(values)), rel=0.05)
    flipped = flipped_means(values - values.mean(), resamples=4000).means
    assert flipped.std() == pytest.approx(values.std() / np.sqrt(len(values)), rel=0.05)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([0.02]).tolist() == [0.02]
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_no_correction_and_bonferroni(p: list[float]) -> None:
    raw, corrected = np.array(p), holm(p)
    order = np.argsort(raw, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()
    assert (corrected >= raw).all()
    assert (corrected <= np.minimum(1, len(p) * raw)).all()
    assert corrected.min() == min(1, len(p) * raw.min())


@pytest.mark.parametrize("models", [2, 10, 40])
def test_resamples_suffice_for_a_difference_among_many_models(models: int) -> None:
    comparisons = models * (models - 1) // 2
    assert 2 * comparisons / (enough(comparisons) + 1) <= 0.02


def test_no_model_differs_from_its_twin_or_from_itself() -> None:
    columns = np.random.default_rng(0).random((300, 3))
    columns[:, 2] = columns[:, 0]
    pairs = Pairs.of(columns, "ndcg")
    assert pairs.p[0, 2] == pairs.p[2, 0] == pairs.p[1, 1] == 1
    assert pairs.value[0, 2] == 0


def test_one_user_shows_nothing() -> None:
    pairs = Pairs.of(np.array([[0.0, 1.0]]), "ndcg")
    assert not pairs.better.any()
    assert pairs.p_permutation[0, 1] == pairs.p_bootstrap[0, 1] == 1
    assert pairs.ranks(0) == pairs.ranks(1) == (1, 2)


def test_four_users_who_agree_are_not_enough() -> None:
    """The bootstrap alone would say so; the exact permutation p is 2/16."""
    pairs = Pairs.of(np.array([[1.0, 0.0]] * 4), "ndcg")
    assert pairs.p_permutation[0, 1] == 2 / 16
    assert pairs.p_bootstrap[0, 1] < ALPHA
    assert not pairs.better.any()


def test_the_interval_is_that_of_the_paired_difference() -> None:
    columns = np.random.default_rng(0).random((100, 3))
    found = Pairs.of(columns, "ndcg").difference(2, 0)
    np.testing.assert_allclose(found, paired_difference(columns[:, 2], columns[:, 0]), rtol=1e-9)


@pytest.mark.slow
def test_of_five_equal_models_any_is_called_better_in_at_most_5_percent_of_cases() -> None:
    """400 cases: the share's standard error is 1.1 %. Without the correction it would be about 25 %."""
    rng = np.random.default_rng(11)
    false, uncorrected = 0, 0
    for case in range(400):
        ease = rng.exponential(1, (50, 1))
        pairs = Pairs.of(ease + rng.exponential(1, (50, 5)), "ndcg", seed=case, resamples=999)
        false += bool(pairs.better.any())
        uncorrected += bool((pairs.p_permutation <= ALPHA).any())
    assert false / 400 <= 0.05 + 2 * 0.011
    assert uncorrected / 400 > 0.15


def test_real_differences_are_found_among_equals() -> None:
    rng = np.random.default_rng(12)
    columns = rng.normal(0, 1, (400, 1)) + rng.normal([0, 0, 0, 0.4, 0.8], 1, (400, 5))
    pairs = Pairs.of(columns, "ndcg")
    assert [pairs.ranks(model) for model in range(5)] == [(3, 5), (3, 5), (3, 5), (2, 2), (1, 1)]


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_models_that_do_not_differ_have_ranks_in_common(seed: int, models: int) -> None:
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.1, 3, models)
    columns = rng.normal(rng.uniform(0, 0.6, models), spread, (60, models))
    pairs = Pairs.of(columns, "ndcg", resamples=199)
    for one in range(models):
        for other in range(models):
            first, second = pairs.ranks(one), pairs.ranks(other)
            apart = first.last < second.first
            assert apart <= pairs.better[one, other]
            if pairs.better[one, other]:
                assert first.first < second.first
                assert first.last < second.last


@pytest.mark.slow
def test_of_many_models_like_the_baseline_few_beat_it_by_luck() -> None:
    """300 data sets of ten models: any wins in 2.5 % at most, with a standard error of 0.9 %; by each pair's
    own interval, as a promotion that does not correct would have it, in about 15 %."""
    rng = np.random.default_rng(21)
    won, alone = 0, 0
    for case in range(300):
        ease = rng.exponential(1, (60, 1))
        pairs = Pairs.of(ease + rng.exponential(1, (60, 11)), "ndcg", seed=case, resamples=1_999)
        won += bool(pairs.better[1:, 0].any())
        alone += bool((pairs.low[1:, 0] > 0).any())
    assert won / 300 <= 0.025 + 3 * 0.009
    assert alone / 300 > 0.09


def test_models_that_are_not_candidates_take_no_power_from_those_that_are() -> None:
    rng = np.random.default_rng(4)
    columns = rng.normal(0, 1, (200, 1)) + rng.normal([0.0, 0.25, 0.1, 0.0], 1, (200, 4))
    models = ["popularity", "mine", "other", "random"]
    others = are_others(models, "popularity")
    whole, family = Pairs.of(columns, "ndcg"), Pairs.of(columns, "ndcg", others=others)
    alone = Pairs.of(columns[:, :3], "ndcg", resamples=enough(6))
    np.testing.assert_allclose(family.p[:3, :3], alone.p)
    assert (family.p <= whole.p).all()
    assert family.p[1, 0] < whole.p[1, 0]


def test_who_is_a_candidate() -> None:
    models = ["popularity", "random", "ease"]
    assert are_candidates(models, "popularity").tolist() == [False, False, True]
    assert are_others(models, "popularity").tolist() == [False, True, False]
    assert are_candidates(models, "random").tolist() == [True, False, True]
    assert not are_others(models, "random").any()


def test_without_an_interval_no_model_is_better() -> None:
    columns = np.zeros((19, 2))
    columns[:, 1] = np.random.default_rng(0).uniform(0.5, 1, 19)
    pairs = Pairs.of(columns, "ndcg")
    assert pairs.p[1, 0] < ALPHA
    assert np.isnan(pairs.low[1, 0])
    assert not pairs.better.any()
