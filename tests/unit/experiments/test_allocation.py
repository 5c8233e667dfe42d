"""Allocation of a bandit's units: published values, an independent simulation, and strata."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm

from tastemaker.errors import TastemakerError
from tastemaker.experiments.allocation import (
    FLOOR,
    MIN_UNITS,
    Posterior,
    new_shares,
    posteriors,
    probabilities_of_best,
)
from tastemaker.experiments.analysis.unit_table import Stratum, UnitTable
from tastemaker.experiments.unit_metrics import METRICS

ACTIVE = METRICS["active_share"]


def test_two_beta_posteriors() -> None:
    found = probabilities_of_best({"a": beta(31, 471), "b": beta(41, 461)})
    assert found["b"] == pytest.approx(0.8909931, abs=5e-8)
    assert sum(found.values()) == pytest.approx(1)


def test_two_normal_posteriors_have_a_closed_form() -> None:
    found = probabilities_of_best({"a": norm(0.10, 0.03), "b": norm(0.12, 0.01)})
    assert found["b"] == pytest.approx(norm.cdf(0.02 / math.hypot(0.03, 0.01)), abs=1e-7)


@pytest.mark.slow
def test_many_posteriors_agree_with_draws() -> None:
    given_ones: dict[str, Posterior] = {
        "a": norm(0.0, 1.0), "b": norm(0.5, 0.2), "c": norm(0.4, 2.0), "d": beta(2, 3),
    }  # fmt: skip
    rng = np.random.default_rng(3)
    draws = np.array([one.rvs(400_000, random_state=rng) for one in given_ones.values()])  # type: ignore[attr-defined]
    best = np.bincount(draws.argmax(axis=0), minlength=4) / draws.shape[1]
    assert list(probabilities_of_best(given_ones).values()) == pytest.approx(best, abs=0.004)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_certain_and_equal_posteriors(scale: float) -> None:
    certain = probabilities_of_best({"a": norm(0, 1e-3 * scale), "b": norm(scale, 1e-3 * scale)})
    assert certain["b"] == pytest.approx(1)
    equal = probabilities_of_best({name: norm(5, scale) for name in "abc"})
    assert list(equal.values()) == pytest.approx([1 / 3] * 3)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda values: sum(values) > 0.01),
    st.integers(1_000, 1_000_000),
)
def test_shares_fill_the_buckets_and_keep_the_floor(values: list[float], total: int) -> None:
    probabilities = {str(n): value / sum(values) for n, value in enumerate(values)}
    shares = new_shares(probabilities, total=total)
    assert sum(shares.values()) == total
    for name, share in shares.items():
        expected = FLOOR + (1 - FLOOR * len(values)) * probabilities[name]
        assert abs(share - total * expected) <= 1
    assert min(shares.values()) >= math.floor(FLOOR * total) - 1


def test_too_many_variants_for_the_floor_are_refused() -> None:
    with pytest.raises(TastemakerError, match=r"20 variants can't have 0\.05") as caught:
        new_shares({str(n): 1 / 20 for n in range(20)}, total=1_000_000)
    assert "at most 19" in str(caught.value)


def units(*epochs: tuple[dict[str, int], dict[str, float]]) -> UnitTable:
    """Return mature units of some epochs: how many each variant has, and which shares of them are active."""
    names = tuple(epochs[0][0])
    variant, stratum, active = [], [], []
    for epoch, (counts, shares) in enumerate(epochs):
        for number, name in enumerate(names):
            n = counts[name]
            variant += [number] * n
            stratum += [epoch] * n
            active += [float(one < round(n * shares[name])) for one in range(n)]
    n = len(variant)
    return UnitTable(
        variants=names,
        variant=np.array(variant),
        exposed_at=np.arange(n, dtype=float),
        columns={"is_active": np.array(active)},
        window_seconds=1.0,
        until=n + 10.0,
        strata=tuple(Stratum(epoch, "", (0.5, 0.5)) for epoch in range(len(epochs))),
        stratum=np.array(stratum),
        is_crossed=np.zeros(n, np.bool_),
    )


def test_a_posterior_has_the_mean_and_the_error_of_its_units() -> None:
    found = posteriors(units(({"a": 400, "b": 500}, {"a": 0.25, "b": 0.5})), ACTIVE)
    assert found is not None
    assert found["a"].ppf(0.5) == pytest.approx(0.25)
    assert found["b"].cdf(0.5 + math.sqrt(0.25 / 499)) == pytest.approx(norm.cdf(1))


def test_the_better_variant_is_found_though_pooled_means_say_the_opposite() -> None:
    """On a quiet day b, which is better on both days, has most of the units."""
    days = [({"a": 900, "b": 100}, {"a": 0.5, "b": 0.55}), ({"a": 100, "b": 900}, {"a": 0.1, "b": 0.15})]
    pooled_a, pooled_b = 0.9 * 0.5 + 0.1 * 0.1, 0.1 * 0.55 + 0.9 * 0.15
    assert pooled_a > pooled_b
    found = posteriors(units(*days), ACTIVE)
    assert found is not None
    assert (found["a"].ppf(0.5), found["b"].ppf(0.5)) == pytest.approx((0.3, 0.35))
    assert probabilities_of_best(found)["b"] > 0.9


def test_epochs_with_too_few_units_do_not_count() -> None:
    few = ({"a": 400, "b": MIN_UNITS - 1}, {"a": 0.5, "b": 1.0})
    enough = ({"a": 400, "b": MIN_UNITS}, {"a": 0.5, "b": 0.5})
    assert posteriors(units(few), ACTIVE) is None
    both, one = posteriors(units(enough, few), ACTIVE), posteriors(units(enough), ACTIVE)
    assert both is not None
    assert one is not None
    assert both["b"].ppf(0.5) == one["b"].ppf(0.5)


def test_without_any_event_the_shares_stay() -> None:
    assert posteriors(units(({"a": 400, "b": 400}, {"a": 0.0, "b": 0.3})), ACTIVE) is None
