"""Off-policy estimators: pure functions of arrays with one entry per impression.

    wᵢ = π(aᵢ | xᵢ, pᵢ) / π₀(aᵢ | xᵢ, pᵢ)          target over logging probability, at the position
    q̂(x, a, p)                                     a model of the expected reward
    q̂ᵢ = q̂(xᵢ, aᵢ, pᵢ),   q̂πᵢ = Σₐ π(a | xᵢ, pᵢ) q̂(xᵢ, a, pᵢ)

Every contribution is on the scale of the value: its mean is the estimate, its spread gives the interval. An
estimator that is a ratio, N/D, has the linearized contributions V + (Nᵢ − V·Dᵢ)/mean(D) (the delta method).

**Lists.** With one impression per position, wᵢ holds the probability of an item *at its position* only. The
sum over the positions (`by_list`) estimates the value of the list under the *item-position assumption*: the
reward at a position depends on the item there and the context, not on the rest of the list. Without it, the
probabilities of whole lists would be needed, and nearly no logged list would match. Reference: Li,
Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay, Wen, "Offline evaluation of ranking policies with click models",
KDD 2018, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, Float64, Int64


class Estimate(NamedTuple):
    """Estimate of a policy's value."""

    value: float
    """The mean reward of a round."""
    contributions: Float64
    """float64[n]: one per round, with this mean."""
    gain: float = 0.0
    """How much one more reward above 0 of the target's actions adds to the sum of the contributions."""
    loss: float = 0.0
    """How much one more reward below 0 subtracts from it."""


def direct_method(predicted_target: Float64) -> Estimate:
    """Return the direct method's estimate, V = (1/n) Σᵢ q̂πᵢ, given q̂π, float64[n].

    Its bias is the reward model's, which its interval does not include.
    """
    return _mean(predicted_target)


def ips(weights: Float64, rewards: Float64) -> Estimate:
    """Return V = (1/n) Σᵢ wᵢ rᵢ. Unbiased where π₀ > 0 wherever π > 0.

    Reference: Horvitz and Thompson, JASA 47, 1952.

    Args:
        weights: wᵢ, float64[n].
        rewards: rᵢ, float64[n].

    >>> import numpy as np
    >>> weights, rewards = np.array([2.0, 0.0, 2.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])
    >>> ips(weights, rewards).value, self_normalized_ips(weights, rewards).value
    (0.5, 0.5)
    """
    return _mean(weights * rewards, weights, rewards)


def clipped_ips(weights: Float64, rewards: Float64, limit: float) -> Estimate:
    """Return the clipped IPS estimate, V = (1/n) Σᵢ min(wᵢ, λ) rᵢ.

    It is biased downwards if rewards are never negative, and has less variance than IPS. λ = √n lets the bias
    vanish as the log grows. Reference: Ionides, "Truncated importance sampling", JCGS 17, 2008.

    Args:
        weights: w, float64[n].
        rewards: r, float64[n].
        limit: λ.
    """
    clipped = np.minimum(weights, limit)
    return _mean(clipped * rewards, clipped, rewards)


def self_normalized_ips(weights: Float64, rewards: Float64, groups: Int64 | None = None) -> Estimate:
    """Return the self-normalized IPS estimate, V = Σᵢ wᵢ rᵢ / Σᵢ wᵢ.

    It has a bias of order 1/n and less variance than IPS, and is always within the range of the rewards.
    Reference: Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning", NIPS
    2015.

    Args:
        weights: w, float64[n].
        rewards: r, float64[n].
        groups: int64[n], such as the positions of a list. Each group is normalized separately.
    """
    return _ratio(weights, rewards, groups)


def doubly_robust(
    weights: Float64, rewards: Float64, predicted_logged: Float64, predicted_target: Float64
) -> Estimate:
    """Return the doubly robust estimate, V = (1/n) Σᵢ q̂πᵢ + wᵢ (rᵢ − q̂ᵢ).

    It is consistent if the propensities or the model are right. q̂ᵢ must not be fitted on row i: see
    `reward_models.cross_fit`. Reference: Dudík, Langford, Li, "Doubly robust policy evaluation and learning",
    ICML 2011.

    Args:
        weights: w, float64[n].
        rewards: r, float64[n].
        predicted_logged: q̂ᵢ, float64[n].
        predicted_target: q̂πᵢ, float64[n].
    """
    return _mean(predicted_target + weights * (rewards - predicted_logged), weights, rewards)


def switch_doubly_robust(
    weights: Float64, rewards: Float64, predicted_logged: Float64, predicted_target: Float64, limit: float
) -> Estimate:
    """Return the switch doubly robust estimate, V = (1/n) Σᵢ q̂πᵢ + wᵢ 1(wᵢ ≤ τ) (rᵢ − q̂ᵢ).

    Where the weight is above τ, only the model counts. Reference: Wang, Agarwal, Dudík, "Optimal and adaptive
    off-policy evaluation in contextual bandits", ICML 2017.

    Args:
        weights: w, float64[n].
        rewards: r, float64[n].
        predicted_logged: q̂ᵢ, float64[n].
        predicted_target: q̂πᵢ, float64[n].
        limit: τ.
    """
    trusted = np.where(weights <= limit, weights, 0.0)
    return _mean(predicted_target + trusted * (rewards - predicted_logged), trusted, rewards)


def replay(matched: NDArray[np.bool_], rewards: Float64, groups: Int64 | None = None) -> Estimate:
    """Return the replay estimate: the mean reward where the target's own draw is the logged action.

    It is valid only for uniform logging. Reference: Li, Chu, Langford, Wang, "Unbiased offline evaluation of
    contextual-bandit-based news article recommendation algorithms", WSDM 2011.

    Args:
        matched: bool[n], whether the target's draw is the logged action.
        rewards: r, float64[n].
        groups: int64[n], such as the positions of a list. Each group is normalized separately.
    """
    return _ratio(matched.astype(np.float64), rewards, groups)


def by_list(estimate: Estimate, log: BanditFeedback) -> Estimate:
    """Return the value of a list from that of an impression: contributions are summed over each round.

    Args:
        estimate: Of an impression: its contributions are float64[n], in the order of the log.
        log: Says which round each of the n impressions belongs to.

    Returns:
        An estimate with one contribution per round, whose mean is the value.
    """
    contributions = log.by_round(estimate.contributions)
    return estimate._replace(value=float(contributions.mean()), contributions=contributions)


def _mean(contributions: Float64, weights: Float64 | None = None, rewards: Float64 | None = None) -> Estimate:
    value = float(contributions.mean())
    if weights is None or rewards is None:
        return Estimate(value, contributions)
    return Estimate(value, contributions, *_one_more(weights, rewards))


def _one_more(weights: Float64, rewards: Float64) -> tuple[float, float]:
    """Return `gain` and `loss`: one more reward has the weight Σw²/Σw and the absolute value Σr²/Σ|r|."""
    sizes = np.abs(rewards)
    if not weights.any() or not sizes.any():
        return 0.0, 0.0
    size = float((weights**2).sum() / weights.sum() * (sizes**2).sum() / sizes.sum())
    return size * bool((rewards > 0).any()), size * bool((rewards < 0).any())


def _ratio(weights: Float64, rewards: Float64, groups: Int64 | None) -> Estimate:
    """Return Σ weights · rewards / Σ weights in each group; NaN for a group without any weight."""
    group = np.zeros(len(weights), np.int64) if groups is None else groups
    sizes = np.maximum(np.bincount(group), 1)
    means = np.bincount(group, weights=weights) / sizes
    earned = weights * rewards
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.bincount(group, weights=earned) / sizes / means
        contributions = values[group] + (earned - values[group] * weights) / means[group]
        return _mean(contributions, weights / weights.mean(), rewards)
