"""A policy's value from another policy's log: diagnosed first, refused where the log can't answer."""

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
    """One estimator's answer."""

    estimate: Estimate
    bootstrap: Interval
    """Over rounds; of sampling only: neither a reward model's nor a clipped weight's bias is in it."""
    bernstein: Interval | None
    """Wider, and right at every sample size if the range is; None where no range is known."""


class Report(NamedTuple):
    """What the log says of the target."""

    diagnostics: Diagnostics
    logged: Interval
    """What the logging policy itself earned a round."""
    results: dict[str, Result]
    """direct_method, ips, clipped_ips, snips, dr, switch_dr, replay: those that this log and target allow.

    Replay is there for uniform logs of which enough matches the target's own draws.
    """

    def uplift(self, name: str, log: BanditFeedback) -> Difference:
        """How much more the target earns a round than the logging policy did, by one of the estimators."""
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
    """Every estimator that applies. Raises OffPolicyError, without a figure, if the log can't answer.

    `reward_model` is cross-fitted; without it, or without the target's distribution or draws of it, there is
    no direct method and no doubly robust estimator. `limit`, √n unless given, is the weight at which clipped
    IPS clips and switch-DR switches. The empirical Bernstein interval takes `reward_range` and `max_weight`
    as bounds; unless given they are those of the log, and the interval is only as good as they are.
    """
    if limit is not None and not limit > 0:
        raise OffPolicyError(f"limit is {limit}, must be a weight above 0", fix="leave it out: √n")
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
                fix="look at what the reward model predicts",
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
    """What the logging policy itself earned: each weight is 1."""
    return estimators.by_list(estimators.ips(np.ones(len(log)), log.rewards), log)


def evaluate(
    log: BanditFeedback, target: EvaluationPolicy, predicted: Predicted | None, *, limit: float, seed: int = 0
) -> dict[str, Estimate]:
    """The estimates alone, a round's value each. `predicted` is cross-fitted."""
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
    """Replay throws away what the target's draw does not match: what is enough for IPS may not be for it."""
    rewarded = np.count_nonzero(matched & (rewards != 0))
    return bool(np.count_nonzero(matched) >= MIN_EFFECTIVE and rewarded >= MIN_REWARDED)


def _range(log: BanditFeedback) -> tuple[float, float]:
    return min(0.0, float(log.rewards.min())), max(0.0, float(log.rewards.max()))


def _checked(log: BanditFeedback, low: float, high: float) -> tuple[float, float]:
    """A range that is told, which no reward may leave."""
    outside = np.flatnonzero(~((log.rewards >= low) & (log.rewards <= high)))
    if len(outside):
        raise OffPolicyError(
            f"rewards[{outside[0]}] is {log.rewards[outside[0]]}, must be in the reward_range "
            f"[{low}, {high}] ({len(outside):,} such rows)",
            fix="pass the range that no reward can leave, or find out how these came about",
        )
    return low, high


def _ranges(
    log: BanditFeedback,
    predicted: Predicted | None,
    rewards: tuple[float, float],
    weight: float,
    limit: float,
) -> dict[str, tuple[float, float]]:
    """Estimator -> what a round's contribution can't leave. A ratio's contributions have no such range."""
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
