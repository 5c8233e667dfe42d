"""Whether a 95 % interval holds the truth 95 % of the time: 1,000 synthetic logs of 10,000 rounds each."""

from __future__ import annotations

import numpy as np
import pytest

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy import BanditFeedback, EvaluationPolicy, estimators
from tastemaker.evaluation.off_policy.diagnostics import diagnose, require_answer
from tastemaker.evaluation.off_policy.estimators import Estimate
from tastemaker.evaluation.off_policy.intervals import difference, interval
from tastemaker.stats.concentration import empirical_bernstein

pytestmark = pytest.mark.slow

RUNS, ROUNDS = 1_000, 10_000

CONTEXTS = np.array([0.5, 0.3, 0.2])
LOGGING = np.array([[0.40, 0.30, 0.20, 0.10], [0.10, 0.20, 0.30, 0.40], [0.25, 0.25, 0.25, 0.25]])
TARGET = np.array([[0.10, 0.20, 0.30, 0.40], [0.05, 0.05, 0.10, 0.80], [0.00, 0.50, 0.00, 0.50]])
REWARDS = np.array([[0.05, 0.10, 0.08, 0.20], [0.10, 0.02, 0.05, 0.15], [0.30, 0.10, 0.20, 0.05]])
PAIRS = (CONTEXTS[:, None] * LOGGING).ravel()


class World:
    """Rewards of a mean rate; a reward model that knows the actions but no context."""

    def __init__(self, rate: float) -> None:
        self.rewards = REWARDS * rate / float(PAIRS @ REWARDS.ravel())
        self.model = self.rewards.mean(axis=0)
        self.truth = float((CONTEXTS[:, None] * TARGET * self.rewards).sum())

    def sample(
        self, rng: np.random.Generator
    ) -> tuple[BanditFeedback, EvaluationPolicy, dict[str, Estimate]]:
        """A log, and what the estimators say of it."""
        drawn = rng.choice(len(PAIRS), ROUNDS, p=PAIRS)
        rewards = (rng.random(ROUNDS) < self.rewards.ravel()[drawn]).astype(np.float64)
        log = BanditFeedback.of(drawn, rewards, LOGGING.ravel()[drawn], n_actions=len(PAIRS))
        target = EvaluationPolicy.of_logged_actions(log, TARGET.ravel()[drawn])
        weights = target.chosen / log.propensities
        logged, expected = np.tile(self.model, 3)[drawn], np.repeat(TARGET @ self.model, 4)[drawn]
        return (
            log,
            target,
            {
                "ips": estimators.ips(weights, rewards),
                "snips": estimators.self_normalized_ips(weights, rewards),
                "dr": estimators.doubly_robust(weights, rewards, logged, expected),
            },
        )


@pytest.mark.parametrize("rate", [0.003, 0.005, 0.01, 0.05])
def test_intervals_cover_in_93_to_97_percent(rate: float) -> None:
    """Of the logs that are not refused, within two standard errors of so few."""
    world, rng = World(rate), np.random.default_rng(7)
    kept: dict[str, list[Estimate]] = {"ips": [], "snips": [], "dr": []}
    for _run in range(RUNS):
        log, target, found = world.sample(rng)
        try:
            require_answer(diagnose(log, target))
        except OffPolicyError:
            continue
        for name, each in found.items():
            kept[name].append(each)
    assert len(kept["ips"]) > 0.85 * RUNS
    for name, estimates in kept.items():
        covered = [one.low <= world.truth <= one.high for one in map(interval, estimates)]
        noise = 2 * (0.05 * 0.95 / len(covered)) ** 0.5
        assert 0.93 - noise <= np.mean(covered) <= 0.97 + noise, name


def test_a_weight_whose_rewards_were_not_seen_is_allowed_for() -> None:
    """The target shows one of ten actions in 73 %. In one log of ten that action was never rewarded.

    Of what was seen alone, 82 % of the intervals hold the truth, and of the uplifts 80 %.
    """
    rng = np.random.default_rng(8)
    chances = np.where(np.arange(10) == 3, 0.73, 0.03)
    rates = np.where(np.arange(10) == 3, 0.0023, 0.02)
    truth, served = float(chances @ rates), float(rates.mean())
    held, above = [], []
    for _run in range(400):
        actions = rng.integers(0, 10, ROUNDS)
        rewards = (rng.random(ROUNDS) < rates[actions]).astype(np.float64)
        mine = estimators.self_normalized_ips(chances[actions] * 10, rewards)
        logged = estimators.ips(np.ones(ROUNDS), rewards)
        found = interval(mine)
        held.append(found.low <= truth <= found.high)
        uplift = difference(mine, logged)
        above.append(uplift.low <= truth - served <= uplift.high)
    assert np.mean(held) >= 0.93
    assert np.mean(above) >= 0.93


def test_empirical_bernstein_covers_at_least_as_often_as_it_says() -> None:
    world, rng = World(0.1), np.random.default_rng(7)
    most = float((TARGET / LOGGING).max())
    found = [empirical_bernstein(world.sample(rng)[2]["ips"].contributions, 0.0, most) for _ in range(500)]
    assert np.mean([one.low <= world.truth <= one.high for one in found]) >= 0.95
