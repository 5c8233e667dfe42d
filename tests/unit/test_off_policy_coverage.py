"""Whether a 95 % interval holds the truth 95 % of the time: 2,000 synthetic logs of 10,000 rounds each."""

from __future__ import annotations

import numpy as np
import pytest

from tastemaker.evaluation.bootstrap import intervals
from tastemaker.evaluation.off_policy import estimators
from tastemaker.evaluation.off_policy.bounds import empirical_bernstein
from tastemaker.evaluation.off_policy.logged import Float64

RUNS, ROUNDS = 2_000, 10_000

CONTEXTS = np.array([0.5, 0.3, 0.2])
LOGGING = np.array([[0.40, 0.30, 0.20, 0.10], [0.10, 0.20, 0.30, 0.40], [0.25, 0.25, 0.25, 0.25]])
TARGET = np.array([[0.10, 0.20, 0.30, 0.40], [0.05, 0.05, 0.10, 0.80], [0.00, 0.50, 0.00, 0.50]])
REWARDS = np.array([[0.05, 0.10, 0.08, 0.20], [0.10, 0.02, 0.05, 0.15], [0.30, 0.10, 0.20, 0.05]])
MODEL = REWARDS.mean(axis=0)
"""A reward model that knows the actions but no context: DR need not have the right one."""
TRUTH = float((CONTEXTS[:, None] * TARGET * REWARDS).sum())


def contributions(name: str) -> Float64:
    """float64[RUNS, ROUNDS]: one log a row."""
    rng = np.random.default_rng(7)
    pairs = (CONTEXTS[:, None] * LOGGING).ravel()
    weight_of, reward_of = (TARGET / LOGGING).ravel(), REWARDS.ravel()
    logged_of, target_of = np.tile(MODEL, 3), np.repeat(TARGET @ MODEL, 4)
    found = np.empty((RUNS, ROUNDS))
    for run in found:
        drawn = rng.choice(len(pairs), ROUNDS, p=pairs)
        rewards = (rng.random(ROUNDS) < reward_of[drawn]).astype(np.float64)
        weights = weight_of[drawn]
        if name == "ips":
            estimate = estimators.ips(weights, rewards)
        elif name == "snips":
            estimate = estimators.self_normalized_ips(weights, rewards)
        else:
            estimate = estimators.doubly_robust(weights, rewards, logged_of[drawn], target_of[drawn])
        run[:] = estimate.contributions
    return found


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_the_bootstrap_covers_in_93_to_97_percent(name: str) -> None:
    """The logs are columns of one array: all share the bootstrap's draws, but the logs are independent."""
    found = contributions(name)
    covered = np.mean([one.low <= TRUTH <= one.high for one in intervals(found.T)])
    assert 0.93 <= covered <= 0.97


def test_empirical_bernstein_covers_at_least_as_often_as_it_says() -> None:
    most = float((TARGET / LOGGING).max())
    found = [empirical_bernstein(run, 0.0, most) for run in contributions("ips")]
    assert np.mean([one.low <= TRUTH <= one.high for one in found]) >= 0.95
