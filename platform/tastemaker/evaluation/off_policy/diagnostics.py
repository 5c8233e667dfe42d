"""Whether a log can say what a target policy would earn. Looked at before any estimate is made.

effective sample size   (Σ w)² / Σ w²   how many impressions of the target's own the log is worth (Kish, 1965)
rewarded effective size (Σ w r)² / Σ (w r)², and as many rewards as the effective sample size would have had
mean weight             1, in expectation, if the propensities are right and π₀ > 0 wherever π > 0
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, EvaluationPolicy, Float64

MIN_EFFECTIVE = 200.0
"""Impressions: a mean of fewer says nothing that an interval could make useful."""
MIN_REWARDED = 10
"""Rewarded impressions, and effective ones: with fewer, no interval covers as it claims."""
MIN_ROUNDS = 100
"""Rounds are what is resampled: a few long lists are not many impressions."""
MAX_UNSUPPORTED = 0.01
MAX_MEAN_ERRORS = 4.0
"""Standard errors that the mean weight may be off 1 by; a sound log is beyond that once in 16,000 times."""
MAX_MEAN_OFF = 0.05
"""... and by how much: with a long log, an error in the third digit would show too."""
BINS = 10
_LOG_LONGER = "log for longer, or take a reward that comes more often, such as clicks"


class Bin(NamedTuple):
    """Pairs of action and position of about the same logged propensity."""

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
    """What was found. No figure here says anything of the target's value."""

    impressions: int
    rounds: int
    effective_sample_size: float
    """In impressions."""
    mean_weight: float
    mean_weight_error: float
    """Its standard error, over rounds."""
    p99_weight: float
    max_weight: float
    top_percent_share: float
    """The share of all weight that the heaviest 1 % of the impressions have."""
    matched: int
    """Impressions that the target might have made: weight above 0."""
    rewarded: int
    """... and that were rewarded."""
    rewarded_effective_size: float
    """How many of the target's own rewards the log is worth: the lesser of two.

    (Σ w r)² / Σ (w r)² over rounds falls where few heavy rewards decide. (Σ r)² / Σ r², times the effective
    sample size over the impressions, is what the target's own log of that size would have had: it falls also
    where none of the heavy impressions was rewarded.
    """
    certain: float
    """The share of impressions with propensity 1: those explored nothing."""
    unsupported: float | None
    """The target's probability of actions never logged at their position; None where it can't be known."""
    calibration: tuple[Bin, ...]
    """Logged propensities against how often actions were shown, by ascending propensity."""


def diagnose(log: BanditFeedback, target: EvaluationPolicy) -> Diagnostics:
    """Everything that can be known without looking at what the target's actions earned."""
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
    """Raise OffPolicyError, with the reason and what to log instead, if the log can't answer.

    Each figure must be shown to be good enough: one that is not a number is not.
    """
    if not found.certain < 1:
        raise OffPolicyError(
            "every logged propensity is 1: the logging policy explored nothing, so nothing that it did not "
            "show has support",
            fix="serve a policy that draws (random, or a bandit) to a share of the traffic, and log that",
        )
    if found.unsupported is not None and not found.unsupported <= MAX_UNSUPPORTED:
        raise OffPolicyError(
            f"the target spends {found.unsupported:.1%} of its probability on actions that the log never "
            f"shows at their position, at most {MAX_UNSUPPORTED:.0%} may lack support",
            fix="log with a policy that shows every action which the target may show, at every position",
        )
    off, limit = abs(found.mean_weight - 1), MAX_MEAN_ERRORS * found.mean_weight_error
    if found.matched and not (off <= MAX_MEAN_OFF or off <= limit):
        raise OffPolicyError(
            f"the mean weight is {found.mean_weight:.3f} ± {found.mean_weight_error:.3f}, must be 1: the "
            "log lacks actions that the target shows, or its propensities are not what was done",
            fix="log every action that the target may show, with the probability at its position; "
            "look at the calibration of the propensities",
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
            f"only {found.rewarded} rewarded impressions are among those that the target might have made, "
            f"must be at least {MIN_REWARDED}",
            fix=_LOG_LONGER,
        )
    if not found.rewarded_effective_size >= MIN_REWARDED:
        raise OffPolicyError(
            f"the rewarded effective size is {found.rewarded_effective_size:.1f}, must be at least "
            f"{MIN_REWARDED}: {found.rewarded} rewarded impressions say no more than so many of its own",
            fix=_LOG_LONGER,
        )


def kish(weights: Float64) -> float:
    """(Σ w)² / Σ w²: how many equal weights say as much. 0 where all are 0."""
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
    """Whether actions were shown as often as their propensities say.

    E[1(A = a)/π₀(a | x)] = 1, so an action's share of a position's impressions is the harmonic mean of its
    logged propensities. For actions that were always allowed: one that is not is shown less than predicted.
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
    """Of the mean weight of an impression: the impressions of a round aren't independent of each other."""
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
        return "log with a policy that shows what the target shows, now and then"
    times = MIN_EFFECTIVE / max(found.effective_sample_size, 1.0)
    return (
        f"log about {max(times, 1.1):.1f} times as much, or explore nearer to the target: an impression "
        "that it would make tells most where the logging policy makes it often"
    )
