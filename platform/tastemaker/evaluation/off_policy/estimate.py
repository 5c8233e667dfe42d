"""Estimates of a policy's value from another policy's log: diagnostics first, then all estimators."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy import estimators
from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, EvaluationPolicy, Float64
from tastemaker.evaluation.off_policy.diagnostics import (
    MIN_EFFECTIVE,
    MIN_REWARDED,
    Diagnostics,
    diagnose,
    require_answer,
)
from tastemaker.evaluation.off_policy.estimators import Estimate
from tastemaker.evaluation.off_policy.intervals import difference, interval
from tastemaker.evaluation.off_policy.reward_models import Predicted, RewardModel, cross_fit
from tastemaker.stats.bootstrap import LEVEL, Difference, Interval
from tastemaker.stats.concentration import empirical_bernstein

_UNIFORM_TOLERANCE = 1e-6


class Result(NamedTuple):
    """Estimate of one estimator, with intervals."""

    estimate: Estimate
    bootstrap: Interval
    """Sampling error over rounds; it does not include the bias of a reward model or of clipped weights."""
    bernstein: Interval | None
    """Wider, and valid at every sample size if the range is; None where no range is known."""


class Report(NamedTuple):
    """Diagnostics and estimates of a target policy's value."""

    diagnostics: Diagnostics
    logged: Interval
    """The logging policy's own mean reward per round."""
    results: dict[str, Result]
    """direct_method, ips, clipped_ips, snips, dr, switch_dr, replay: those that this log and target allow.

    Replay needs a uniform log with enough impressions that match the target's own draws.
    """

    def uplift(self, name: str, log: BanditFeedback) -> Difference:
        """Return the target's mean reward per round minus the logging policy's.

        Args:
            name: The name of the estimator.
            log: The log that the report is of.
        """
        return difference(self.results[name].estimate, as_logged(log))


def estimate(
    log: BanditFeedback,
    target: EvaluationPolicy,
    *,
    reward_model: RewardModel | None = None,
    folds: int = 5,
    limit: float | None = None,
    reward_range: tuple[float, float] | None = None,
    max_weight: float | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Report:
    """Estimate a target policy's value by every estimator that applies.

    Args:
        log: The logged impressions.
        target: The policy to be evaluated.
        reward_model: Model of the expected reward, cross-fitted; without it, or without the target's
            distribution or draws, there is no direct method and no doubly robust estimator.
        folds: Number of folds of the cross-fit.
        limit: The weight at which clipped IPS clips and switch-DR switches; None for √n.
        reward_range: Least and greatest possible reward, for the empirical Bernstein interval; None for
            the log's, which makes the interval only approximate.
        max_weight: Greatest possible weight, for the same interval; None for the log's.
        level: Confidence level of the intervals.
        seed: Seed of the folds and of replay's draws.

    Returns:
        The diagnostics, and values and intervals per round.

    Raises:
        OffPolicyError: The log can't support an estimate, or an argument is invalid.
    """
    if limit is not None and not limit > 0:
        raise OffPolicyError(f"limit is {limit}, must be a weight above 0", fix="leave it out for √n")
    low, high = _range(log) if reward_range is None else _checked(log, *reward_range)
    diagnostics = diagnose(log, target)
    require_answer(diagnostics)
    predicted = None
    if reward_model is not None and target.support(log.n_actions) is not None:
        predicted = cross_fit(log, target, reward_model, folds=folds, seed=seed)
    limit = math.sqrt(len(log)) if limit is None else limit
    estimates = evaluate(log, target, predicted, limit=limit, seed=seed)
    for name, each in estimates.items():
        if not np.isfinite(each.contributions).all():
            raise OffPolicyError(
                f"{name} is {each.value}, which is not a finite number",
                fix="check the predictions of the reward model",
            )
    heaviest = diagnostics.max_weight if max_weight is None else max_weight
    ranges = _ranges(log, predicted, (low, high), heaviest, limit)
    results = {
        name: Result(
            each,
            interval(each, level=level),
            empirical_bernstein(each.contributions, *ranges[name], level=level) if name in ranges else None,
        )
        for name, each in estimates.items()
    }
    return Report(diagnostics, interval(as_logged(log), level=level), results)


def as_logged(log: BanditFeedback) -> Estimate:
    """Return the logging policy's own value: each weight is 1."""
    return estimators.by_list(estimators.ips(np.ones(len(log)), log.rewards), log)


def evaluate(
    log: BanditFeedback, target: EvaluationPolicy, predicted: Predicted | None, *, limit: float, seed: int = 0
) -> dict[str, Estimate]:
    """Return the estimates of a round's value without intervals, by estimator.

    Args:
        log: The logged impressions.
        target: The policy to be evaluated.
        predicted: Cross-fitted predictions; None for no reward model.
        limit: The weight at which clipped IPS clips and switch-DR switches.
        seed: Seed of replay's draws.
    """
    weights, rewards = target.chosen / log.propensities, log.rewards
    groups = log.positions if log.n_rounds < len(log) else None
    found: dict[str, Estimate] = {}
    if predicted is not None:
        found["direct_method"] = estimators.direct_method(predicted.target)
        found["dr"] = estimators.doubly_robust(weights, rewards, *predicted)
        found["switch_dr"] = estimators.switch_doubly_robust(weights, rewards, *predicted, limit)
    found["ips"] = estimators.ips(weights, rewards)
    found["clipped_ips"] = estimators.clipped_ips(weights, rewards, limit)
    found["snips"] = estimators.self_normalized_ips(weights, rewards, groups)
    matched = np.random.default_rng(seed).random(len(log)) < target.chosen
    if _is_uniform(log) and _is_enough(matched, rewards):
        found["replay"] = estimators.replay(matched, rewards, groups)
    return {name: estimators.by_list(each, log) for name, each in found.items()}


def _is_uniform(log: BanditFeedback) -> bool:
    return bool(np.allclose(log.propensities, 1 / log.n_actions, rtol=0, atol=_UNIFORM_TOLERANCE))


def _is_enough(matched: NDArray[np.bool_], rewards: Float64) -> bool:
    """Return whether enough impressions match the target's draws; replay uses only these."""
    rewarded = np.count_nonzero(matched & (rewards != 0))
    return bool(np.count_nonzero(matched) >= MIN_EFFECTIVE and rewarded >= MIN_REWARDED)


def _range(log: BanditFeedback) -> tuple[float, float]:
    return min(0.0, float(log.rewards.min())), max(0.0, float(log.rewards.max()))


def _checked(log: BanditFeedback, low: float, high: float) -> tuple[float, float]:
    """Return a given range of rewards; raise OffPolicyError if a reward is outside."""
    outside = np.flatnonzero(~((log.rewards >= low) & (log.rewards <= high)))
    if len(outside):
        raise OffPolicyError(
            f"rewards[{outside[0]}] is {log.rewards[outside[0]]}, must be in the reward_range "
            f"[{low}, {high}] ({len(outside):,} such rows)",
            fix="pass the range of all possible rewards, or find out what wrote these",
        )
    return low, high


def _ranges(
    log: BanditFeedback,
    predicted: Predicted | None,
    rewards: tuple[float, float],
    weight: float,
    limit: float,
) -> dict[str, tuple[float, float]]:
    """Return the range of a round's contributions by estimator; those of a ratio have no such range."""
    (low, high), size = rewards, int(np.bincount(log.rounds).max())
    clipped = min(weight, limit)
    ranges = {"ips": (weight * low, weight * high), "clipped_ips": (clipped * low, clipped * high)}
    if predicted is not None:
        least, most = predicted.range
        for name, heaviest in (("dr", weight), ("switch_dr", clipped)):
            ranges[name] = (
                least + heaviest * min(low - most, 0.0),
                most + heaviest * max(high - least, 0.0),
            )
    return {name: (size * min(a, 0.0), size * max(b, 0.0)) for name, (a, b) in ranges.items()}
