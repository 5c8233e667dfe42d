"""Sample ratio mismatch: published counts, changes of the plan, and the daily alarm's false alarms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from scipy.stats import chisquare

from tastemaker.stats.sample_ratio import CONCENTRATION, log_bayes_factor, sample_ratio


def smallest_p(looks: Iterable[Sequence[int]], concentration: float = CONCENTRATION) -> float:
    """Return the smallest p-value at looks at two variants of equal shares."""
    factors = (log_bayes_factor(counts, [0.5, 0.5], concentration) for counts in looks)
    return math.exp(-max(0.0, *factors))


def test_published_counts() -> None:
    """Counts of Fabijan et al., KDD 2019."""
    found = sample_ratio([([821_588, 815_482], [0.5, 0.5])])
    assert found.chi2 == pytest.approx(22.774369, rel=1e-6)
    assert found.p == pytest.approx(1.8217929e-6, rel=1e-6)


def test_it_is_scipys_test_for_one_stratum() -> None:
    counts, shares = [480, 530, 1_010], [0.25, 0.25, 0.5]
    expected = chisquare(counts, np.array(shares) * sum(counts))
    found = sample_ratio([(counts, shares)])
    assert (found.chi2, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_a_change_of_the_plan_is_not_a_mismatch() -> None:
    """1,000 units when all were control, then an equal split."""
    found = sample_ratio([([1_000, 0], [1.0, 0.0]), ([1_010, 990], [0.5, 0.5])])
    assert found.degrees == 1
    assert found.p == pytest.approx(0.6547208, rel=1e-6)
    naive = sample_ratio([([2_010, 990], [0.5, 0.5])])
    assert naive.p < 1e-70


def test_nothing_to_test_is_not_a_mismatch() -> None:
    assert sample_ratio([]).p == 1
    assert sample_ratio([([0, 0], [0.5, 0.5]), ([7, 0], [1.0, 0.0])]).p == 1


def test_the_anytime_value_of_published_counts() -> None:
    """Value of savvi 0.3.1, in one look and in two."""
    assert smallest_p([(500, 600)], 100) == pytest.approx(0.0533840124, rel=1e-6)
    assert smallest_p([(250, 300), (500, 600)], 100) == pytest.approx(0.0533840124, rel=1e-6)


def test_the_bayes_factor_is_the_product_of_predictions() -> None:
    """Of each unit's variant, given those before, by the Dirichlet's posterior mean."""
    shares, k = np.array([0.2, 0.3, 0.5]), 50.0
    variants = np.random.default_rng(2).choice(3, 400, p=[0.3, 0.3, 0.4])
    seen, log = np.zeros(3), 0.0
    for variant in variants:
        log += np.log((k * shares[variant] + seen[variant]) / (k + seen.sum())) - np.log(shares[variant])
        seen[variant] += 1
    assert log_bayes_factor(seen.astype(int).tolist(), shares.tolist(), k) == pytest.approx(log)


@pytest.mark.slow
def test_daily_looks_at_healthy_traffic_rarely_alarm() -> None:
    """At most 1 % of sequences ever fall to 0.01, of 1,000 with 30 looks."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(1_000):
        totals = rng.multinomial(400, [0.5, 0.5], size=30).cumsum(axis=0)
        alarms += smallest_p(totals.tolist(), 1_000) <= 0.01
    assert alarms <= 0.01 * 1_000 + 3 * np.sqrt(10)
    assert alarms > 0, "an alarm that never comes tests nothing"


def test_a_mismatch_of_two_per_cent_is_found() -> None:
    rng = np.random.default_rng(4)
    totals = rng.multinomial(10_000, [0.51, 0.49], size=30).cumsum(axis=0)
    assert smallest_p(totals.tolist()) < 1e-6


@pytest.mark.parametrize(
    ("counts", "shares", "says"),
    [
        ([1, 2], [0.5, 0.6], "sum is 1.1"),
        ([1, 2], [1.0, 0.0], "without a share has units"),
        ([1, -2], [0.5, 0.5], "none negative|not negative"),
        ([1], [0.5, 0.5], "each"),
    ],
)
def test_counts_and_shares_that_do_not_fit_are_refused(
    counts: list[int], shares: list[float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        sample_ratio([(counts, shares)])
