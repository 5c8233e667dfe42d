"""Thompson sampling for clicks: the log-odds are linear in the context."""

from __future__ import annotations

from math import exp

import numpy as np

from tastemaker.plugins import Capabilities
from tastemaker_bandits.common import Approval, Float64
from tastemaker_bandits.sampling import SamplingBandit, SamplingConfig

NEWTON_STEPS = 50
PRECISION = 1e-12


class LogisticThompsonConfig(SamplingConfig):
    """The configuration of a bandit that samples from a normal belief."""


class LogisticThompson(SamplingBandit[LogisticThompsonConfig]):
    """The k arms of the greatest sampled log-odds of success in the context x:

        P(r = 1 | x, i) = σ(xᵀw_i),    w_i ~ N(m_i, C_i),    s_i(x) ~ N(xᵀm_i, v² xᵀC_i x)

    After each observation the belief is Laplace's approximation, around the exact posterior mode

        m' = argmax_w log N(w; m, C) + a log σ(xᵀw) + b log σ(-xᵀw),    C'⁻¹ = C⁻¹ + (a + b) σ'(xᵀm') x xᵀ

    with a = r and b = e_p (1 - r) for a reward r in [0, 1]: who acted had looked, who did not looked with
    probability e_p. The mode lies on the line m + α C x: one unknown. The order of observations matters a
    little.

    Negative reward: feedback r below 0 is a failure with b = e_p + min(-r, 1). Who disliked an item before
    counts as if it had been shown to them without success once more.
    """

    name = "logistic_thompson"
    reference = (
        "Chapelle, Li, An empirical evaluation of Thompson sampling, NeurIPS 2011 (algorithm 3, with full "
        "covariances); Spiegelhalter, Lauritzen, Networks 1990 (the sequential update)"
    )
    config_type = LogisticThompsonConfig
    capabilities = Capabilities(learns_online=True, stochastic=True)

    def start(self, approval: Approval, impressions: float) -> tuple[Float64, float]:
        """Return smoothed log-odds, and the precision of `impressions` at the average success rate."""
        rates = (approval.liked * impressions + 0.5) / ((1 + approval.disliked) * impressions + 1)
        average = float(rates.mean())
        return np.log(rates / (1 - rates)), impressions * average * (1 - average)

    def learn(self, item: int, x: Float64, reward: float, examination: float, weight: float) -> None:
        success = min(max(reward, 0.0), 1.0)
        failure = (1 - success) * examination + min(max(-reward, 0.0), 1.0)
        cx = self.covariance[item] @ x
        variance = float(x @ cx)
        step, chance = _mode(float(x @ self.mean[item]), variance, weight * success, weight * failure)
        information = weight * (success + failure) * chance * (1 - chance)
        self.condition(item, cx, information / (1 + information * variance), step)


def _mode(score: float, variance: float, success: float, failure: float) -> tuple[float, float]:
    """Return α and σ(score + variance α) with α = success - (success + failure) σ(score + variance α).

    The difference of both sides increases with α, so bisection guards Newton's steps.
    """
    low, high = -failure, success
    step = 0.0
    for _ in range(NEWTON_STEPS):
        chance = _sigmoid(score + variance * step)
        excess = step - success + (success + failure) * chance
        if excess > 0:
            high = step
        else:
            low = step
        if abs(excess) < PRECISION:
            break
        step -= excess / (1 + variance * (success + failure) * chance * (1 - chance))
        if not low < step < high:
            step = (low + high) / 2
    return step, _sigmoid(score + variance * step)


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z)) if z >= 0 else 1 - 1 / (1 + exp(z))
