"""Diagnostics: whether a log can support an estimate for a target policy, computed before any estimate.

effective sample size   (Σ w)² / Σ w²   the number of the target's own impressions with the same precision
                                        (Kish, 1965)
rewarded effective size (Σ w r)² / Σ (w r)², and at most the rewards of an effective sample of that size
mean weight             1, in expectation, if the propensities are right and π₀ > 0 wherever π > 0
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, EvaluationPolicy, Float64

MIN_EFFECTIVE = 200.0
"""Least effective sample size, in impressions: with fewer, intervals are too wide to be useful."""
MIN_REWARDED = 10
"""Least number of rewarded impressions, and effective ones: with fewer, intervals cover too little."""
MIN_ROUNDS = 100
"""Least number of rounds: they are what is resampled."""
MAX_UNSUPPORTED = 0.01
MAX_MEAN_ERRORS = 4.0
"""Standard errors by which the mean weight may differ from 1; a valid log exceeds them in 1 of 16,000."""
MAX_MEAN_OFF = 0.05
"""Difference of the mean weight from 1 that is always accepted: in a long log a tiny error is significant."""
BINS = 10
_LOG_LONGER = "log for longer, or take a reward that comes more often, such as clicks"


class Bin(NamedTuple):
    """Group of pairs of action and position with about the same logged propensity."""

    pairs: int
    predicted: float
    """The mean over the pairs of the harmonic mean of a pair's logged propensities."""
    observed: float
    """The mean over the pairs of the share of the position's impressions that showed the action."""
    worst: float
    """The greatest |observed − predicted| of a pair, in its standard errors: 3 is usual among 100 pairs.

    Rough where propensities are small and vary: their standard errors are then themselves uncertain.
    """


class Diagnostics(NamedTuple):
    """Diagnostics of a log for a target policy. No figure here depends on what the target would earn."""

    impressions: int
    rounds: int
    effective_sample_size: float
    """Unit: impressions."""
    mean_weight: float
    mean_weight_error: float
    """Its standard error, over rounds."""
    p99_weight: float
    max_weight: float
    top_percent_share: float
    """The share of all weight that the heaviest 1 % of the impressions have."""
    matched: int
    """Impressions that the target might have shown: weight above 0."""
    rewarded: int
    """Those of them that were rewarded."""
    rewarded_effective_size: float
    """The number of the target's own rewards with the same precision: the lesser of two.

    (Σ w r)² / Σ (w r)² over rounds is small where few heavy rewards decide. (Σ r)² / Σ r², times the
    effective sample size over the impressions, is what the target's own log of that size would have had: it
    is small also where none of the heavy impressions was rewarded.
    """
    certain: float
    """The share of impressions with propensity 1, which explored nothing."""
    unsupported: float | None
    """The target's probability of actions never logged at their position; None where it can't be known."""
    calibration: tuple[Bin, ...]
    """Logged propensities against how often actions were shown, by ascending propensity."""


def diagnose(log: BanditFeedback, target: EvaluationPolicy) -> Diagnostics:
    """Return the diagnostics of a log for a target policy.

    Args:
        log: The logged impressions.
        target: The policy to be evaluated, with its probabilities on this log.
    """
    weights = target.chosen / log.propensities
    effective = kish(weights)
    heaviest = np.sort(weights)[-max(1, len(log) // 100) :]
    return Diagnostics(
        impressions=len(log),
        rounds=log.n_rounds,
        effective_sample_size=effective,
        mean_weight=float(weights.mean()),
        mean_weight_error=_mean_error(log, weights),
        p99_weight=float(np.quantile(weights, 0.99)),
        max_weight=float(weights.max()),
        top_percent_share=float(heaviest.sum() / weights.sum()) if effective else 0.0,
        matched=int(np.count_nonzero(weights)),
        rewarded=int(np.count_nonzero((weights > 0) & (log.rewards != 0))),
        rewarded_effective_size=_rewarded_effective_size(log, weights),
        certain=float((log.propensities == 1).mean()),
        unsupported=_unsupported(log, target),
        calibration=calibration(log),
    )


def require_answer(found: Diagnostics) -> None:
    """Raise OffPolicyError, with the reason and what to log instead, if the log can't support an estimate.

    A figure that is not a number fails its check.
    """
    if not found.certain < 1:
        raise OffPolicyError(
            "every logged propensity is 1: the logging policy explored nothing, so actions that it did not "
            "show have no support",
            fix="serve a stochastic policy (random, or a bandit) to a share of the traffic, and log that",
        )
    if found.unsupported is not None and not found.unsupported <= MAX_UNSUPPORTED:
        raise OffPolicyError(
            f"the target has {found.unsupported:.1%} of its probability on actions that the log never "
            f"shows at their position, at most {MAX_UNSUPPORTED:.0%} may lack support",
            fix="log with a policy that shows every action of the target at every position",
        )
    off, limit = abs(found.mean_weight - 1), MAX_MEAN_ERRORS * found.mean_weight_error
    if found.matched and not (off <= MAX_MEAN_OFF or off <= limit):
        raise OffPolicyError(
            f"the mean weight is {found.mean_weight:.3f} ± {found.mean_weight_error:.3f}, must be 1: the "
            "log lacks actions that the target shows, or its propensities are wrong",
            fix="log every action that the target may show, with its probability at its position; "
            "check the calibration of the propensities",
        )
    if not found.effective_sample_size >= MIN_EFFECTIVE:
        raise OffPolicyError(
            f"the effective sample size is {found.effective_sample_size:.0f} of {found.impressions:,} "
            f"impressions, must be at least {MIN_EFFECTIVE:.0f}",
            fix=_how_much(found),
        )
    if not found.rounds >= MIN_ROUNDS:
        raise OffPolicyError(
            f"the log has {found.rounds} rounds, must have at least {MIN_ROUNDS}",
            fix="log more lists, not longer ones",
        )
    if not found.rewarded >= MIN_REWARDED:
        raise OffPolicyError(
            f"only {found.rewarded} of the impressions that the target might have shown are rewarded, "
            f"must be at least {MIN_REWARDED}",
            fix=_LOG_LONGER,
        )
    if not found.rewarded_effective_size >= MIN_REWARDED:
        raise OffPolicyError(
            f"the rewarded effective size is {found.rewarded_effective_size:.1f}, must be at least "
            f"{MIN_REWARDED}: {found.rewarded} logged rewards are worth so many of the target's own",
            fix=_LOG_LONGER,
        )


def kish(weights: Float64) -> float:
    """Return Kish's effective sample size, (Σ w)² / Σ w²; 0 where all weights are 0.

    >>> import numpy as np
    >>> kish(np.ones(100)), round(kish(np.array([10.0, *[1.0] * 99])), 1)
    (100.0, 59.7)
    """
    largest = float(np.abs(weights).max(initial=0.0))
    if largest == 0:
        return 0.0
    scaled = weights / largest  # no square overflows
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def _rewarded_effective_size(log: BanditFeedback, weights: Float64) -> float:
    sizes = np.abs(log.rewards)
    expected = kish(log.by_round(sizes)) * kish(weights) / len(log)
    return min(kish(log.by_round(weights * sizes)), expected)


def calibration(log: BanditFeedback) -> tuple[Bin, ...]:
    """Compare how often actions were shown with their logged propensities.

    E[1(A = a)/π₀(a | x)] = 1, so an action's share of a position's impressions is the harmonic mean of its
    logged propensities. This holds for actions that are always allowed; others are shown less than predicted.

    Returns:
        Groups of pairs of action and position, by ascending propensity.
    """
    key = log.positions * log.n_actions + log.actions
    pairs, place, counts = np.unique(key, return_inverse=True, return_counts=True)
    at_position = np.bincount(log.positions)[pairs // log.n_actions].astype(np.float64)
    inverse = np.bincount(place, weights=1 / log.propensities)
    squared = np.bincount(place, weights=1 / log.propensities**2)
    predicted, observed = counts / inverse, counts / at_position
    # Of observed / predicted, whose variance is (E[1/π₀] − 1)/n if the propensities are right.
    ratio_variance = np.maximum(squared / inverse - 1, 0) / at_position
    errors = predicted * np.sqrt(ratio_variance)
    rounded = np.round(np.log(predicted), 6)  # equal propensities stay together
    edges = np.unique(np.quantile(rounded, np.linspace(0, 1, BINS + 1)[1:]))
    bins = np.searchsorted(edges, rounded)
    return tuple(
        _bin(predicted[bins == one], observed[bins == one], errors[bins == one]) for one in np.unique(bins)
    )


def _bin(predicted: Float64, observed: Float64, errors: Float64) -> Bin:
    off = np.divide(observed - predicted, errors, out=np.zeros_like(errors), where=errors > 0)
    return Bin(len(predicted), float(predicted.mean()), float(observed.mean()), float(abs(off).max()))


def _mean_error(log: BanditFeedback, weights: Float64) -> float:
    """Return the standard error of the mean weight, over rounds, whose impressions are not independent."""
    if log.n_rounds < 2:
        return float("inf")
    sums, sizes = log.by_round(weights), log.by_round(np.ones(len(log)))
    left = sums - weights.mean() * sizes
    return float(left.std(ddof=1) / np.sqrt(log.n_rounds) / sizes.mean())


def _unsupported(log: BanditFeedback, target: EvaluationPolicy) -> float | None:
    support = target.support(log.n_actions)
    if support is None:
        return None
    actions, chances = support
    shown = np.zeros((log.n_positions, log.n_actions), np.bool_)
    shown[log.positions, log.actions] = True
    return float(np.where(shown[log.positions[:, None], actions], 0.0, chances).sum(axis=1).mean())


def _how_much(found: Diagnostics) -> str:
    if not found.matched:
        return "log with a policy that sometimes shows what the target shows"
    times = MIN_EFFECTIVE / max(found.effective_sample_size, 1.0)
    return (
        f"log about {max(times, 1.1):.1f} times as much, or use a logging policy that is closer to the target"
    )
