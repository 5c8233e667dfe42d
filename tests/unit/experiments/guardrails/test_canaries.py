"""Simulated canaries: 200 healthy ones are left alone, and a bad one is rolled back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from support.experiment_homes import design
from tastemaker.experiments.guardrails.checks import metric_checks, ratio_checks
from tastemaker.experiments.guardrails.decisions import GuardDecision, Situation, decide
from tastemaker.experiments.guardrails.metric_guards import metric_guards
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.experiments.serving_margins import SERVING_MARGINS
from tastemaker.stats.unit_summary import UnitSummary

pytestmark = pytest.mark.slow
CHECKS = np.geomspace(100, 20_000, 10).astype(int)
"""Units of both variants at each check."""
HEALTHY = {"fallback_share": 0.01, "short_share": 0.02, "slow_share": 0.01, "active_share": 0.30}
PLAN = design("canary", "v1", "v2", primary="active_share", planned_units=20_000)


def units(faulty: np.ndarray) -> UnitSummary:
    """Return the summary of units, of which some have the value 1."""
    n, share = len(faulty), float(faulty.mean())
    scatter = np.array([[n * share * (1 - share), 0.0], [0.0, 0.0]])
    return UnitSummary((OVER, UNDER), n, np.array([share, 1.0]), scatter)


def ended(seed: int, bad: Mapping[str, float], share: float = 0.5) -> tuple[GuardDecision, int] | None:
    """Return what ended a canary, and after how many units; None if nothing did.

    Args:
        seed: Of all draws.
        bad: Metric -> its share in b, in place of the healthy one.
        share: Of the units that b gets.
    """
    rng = np.random.default_rng(seed)
    n = int(CHECKS[-1])
    is_b = rng.random(n) < share
    rates = dict.fromkeys(SERVING_MARGINS, 0.0) | HEALTHY
    values = {name: rng.random(n) < np.where(is_b, bad.get(name, rate), rate) for name, rate in rates.items()}
    guards, harmful = metric_guards(PLAN, 0, lambda metric: True), frozenset[tuple[str, str]]()
    for until in CHECKS.tolist():
        groups = {"a": ~is_b[:until], "b": is_b[:until]}
        found = {
            name: {variant: units(one[:until][group]) for variant, group in groups.items()}
            for name, one in values.items()
        }
        checks = [
            *metric_checks(PLAN, guards, "serving", found),
            *metric_checks(PLAN, guards, "reward", found),
        ]
        if share == 0.5:
            counts = {variant: int(group.sum()) for variant, group in groups.items()}
            checks += ratio_checks(PLAN, counts)
        decision = decide(Situation("running", 0, (), harmful), checks)
        if decision is not None:
            return decision, until
        harmful = frozenset((one.variant, one.guardrail) for one in checks if one.found.verdict == "harm")
    return None


@pytest.mark.parametrize("share", [0.5, 0.1], ids=["half", "a tenth"])
def test_a_hundred_healthy_canaries_are_left_alone(share: float) -> None:
    assert [one for seed in range(100) if (one := ended(seed, {}, share)) is not None] == []


@pytest.mark.parametrize(("metric", "rate", "most"), [
    ("active_share", 0.24, 20_000),
    ("fallback_share", 0.05, 7_000),
    ("empty_share", 0.05, 4_000),
    ("slow_share", 0.20, 2_000),
])  # fmt: skip
def test_a_bad_canary_is_rolled_back(metric: str, rate: float, most: int) -> None:
    for seed in range(5):
        found = ended(seed, {metric: rate})
        assert found is not None
        decision, n = found
        assert (decision.action, decision.actor) == ("roll_back", f"guardrail:{metric}")
        assert n <= most
