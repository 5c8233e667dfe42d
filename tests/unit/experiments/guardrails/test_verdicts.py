"""Verdicts of guardrails: known cases, and how often equal variants are called harmful at any time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tastemaker.experiments.guardrails.verdicts import (
    MIN_UNITS,
    OVER,
    STALE,
    UNDER,
    MetricGuard,
    evaluate,
)
from tastemaker.stats.confidence_sequences import bound_above, tightest_at
from tastemaker.stats.unit_summary import UnitSummary

ALPHA = 0.005
FAULTS = MetricGuard("fallback_share", "serving", 0.01, ALPHA, 500.0)
CLICKERS = MetricGuard("active_share", "reward", 0.05, ALPHA, 500.0, is_higher_better=True)


def units(n: int, share: float) -> UnitSummary:
    """Return n units of which a share has the value 1, the others 0."""
    share = round(n * share) / n
    return UnitSummary(
        (OVER, UNDER), n, np.array([share, 1.0]), np.array([[n * share * (1 - share), 0.0], [0.0, 0.0]])
    )


@pytest.mark.parametrize(("guard", "variant", "control", "verdict"), [
    (FAULTS, units(1_000, 0.10), units(1_000, 0.01), "harm"),
    (FAULTS, units(1_000, 0.00), units(1_000, 0.00), "safe"),
    (FAULTS, units(60, 0.0), units(60, 0.0), "unknown"),
    (FAULTS, units(400, 0.02), units(400, 0.01), "unknown"),
    (FAULTS, units(1_000, 0.0), units(1_000, 0.1), "safe"),
    (CLICKERS, units(3_000, 0.24), units(3_000, 0.30), "harm"),
    (CLICKERS, units(3_000, 0.36), units(3_000, 0.30), "safe"),
    (CLICKERS, units(3_000, 0.30), units(3_000, 0.30), "unknown"),
    (CLICKERS, units(300, 0.0), units(300, 0.0), "unknown"),
])  # fmt: skip
def test_verdicts(guard: MetricGuard, variant: UnitSummary, control: UnitSummary, verdict: str) -> None:
    assert evaluate(guard, variant, control).verdict == verdict


@pytest.mark.parametrize("guard", [FAULTS, CLICKERS], ids=["serving", "reward"])
def test_without_data_the_verdict_is_stale_and_has_no_figure(guard: MetricGuard) -> None:
    empty, some = UnitSummary.empty((OVER, UNDER)), units(1_000, 0.5)
    nothing_counted = UnitSummary.of({OVER: np.zeros(100), UNDER: np.zeros(100)})
    for missing in (None, empty, nothing_counted):
        assert evaluate(guard, missing, some) == STALE
        assert evaluate(guard, some, missing) == STALE
    assert (STALE.value, STALE.low, STALE.units) == (None, None, 0)


def test_too_few_units_are_unknown_however_bad_they_are() -> None:
    few, many = units(MIN_UNITS - 1, 1.0), units(10_000, 0.0)
    assert evaluate(FAULTS, few, many).verdict == "unknown"
    assert evaluate(FAULTS, many, few).verdict == "unknown"
    assert evaluate(FAULTS, units(MIN_UNITS, 1.0), many).verdict == "harm"


def test_the_interval_is_that_of_the_one_sided_mixture() -> None:
    n, high, low = 2_000, 0.3, 0.2
    found = evaluate(CLICKERS, units(n, low), units(n, high))
    information, pooled = n / 2, (low + high) / 2
    wald = (low * (1 - low) + high * (1 - high)) / (n - 1)
    score = pooled * (1 - pooled) * (2 * n) / (2 * n - 1) * 2 / n
    reach = bound_above(information, tightest_at(500.0, 2 * ALPHA), ALPHA) / math.sqrt(information)
    reach *= math.sqrt(max(wald, score))
    assert found[3:5] == pytest.approx((low, high))
    assert (found.low, found.high) == pytest.approx((low - high - reach, low - high + reach))


def test_a_small_loss_is_not_harm_however_certain_it_is() -> None:
    n = 4_000_000
    certain = evaluate(FAULTS, units(n, 0.0130), units(n, 0.0100))
    assert certain.low is not None
    assert certain.low > 0
    assert certain.verdict == "safe"
    assert evaluate(FAULTS, units(n, 0.0160), units(n, 0.0100)).verdict == "harm"


def test_one_faulty_unit_of_a_small_variant_is_not_harm() -> None:
    assert evaluate(FAULTS, units(50, 0.02), units(5_000, 0.0)).verdict == "unknown"


def test_a_small_variant_in_which_no_unit_bought_yet_is_not_harm() -> None:
    assert evaluate(CLICKERS, units(50, 0.0), units(5_000, 0.03)).verdict == "unknown"


def test_a_bot_is_one_unit() -> None:
    """A unit that had faults on each of a thousand lists weighs as one that had a fault on its only one."""
    shares = np.zeros(1_000)
    shares[0] = 1.0
    bot = UnitSummary.of({OVER: shares, UNDER: np.ones(1_000)})
    assert evaluate(FAULTS, bot, units(1_000, 0.0)).verdict != "harm"


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "days", "ratio"), [
    (FAULTS, 1, 9), (FAULTS, 3, 1), (CLICKERS, 1, 1), (CLICKERS, 1, 9),
])  # fmt: skip
def test_equal_variants_are_rarely_called_harmful_at_any_check(
    guard: MetricGuard, days: int, ratio: int
) -> None:
    """Units of different propensities, whose days resemble each other; 20 checks over 100-fold growth."""
    rng = np.random.default_rng(11)
    checks = np.unique(np.geomspace(60, 6_000, 20).astype(int))
    wrong, runs = 0, 60
    for _ in range(runs):
        groups = []
        for n in (checks[-1], checks[-1] * ratio):
            share = rng.beta(0.2, 3.8, n)
            groups.append(rng.binomial(days, share) if guard.family == "serving" else rng.random(n) < share)
        wrong += any(
            evaluate(
                guard,
                *(
                    UnitSummary.of({OVER: one[: n * scale], UNDER: np.full(n * scale, days)})
                    for one, scale in zip(groups, (1, ratio), strict=True)
                ),
            ).verdict
            == "harm"
            for n in checks
        )
    assert wrong <= 3  # expected at most 0.3; more has a probability below 0.001
