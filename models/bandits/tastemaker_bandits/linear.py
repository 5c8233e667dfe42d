"""Ridge regression per arm: what LinUCB and linear Thompson sampling learn."""

from __future__ import annotations

from typing import TypeVar

from tastemaker_bandits.common import Approval, Float64
from tastemaker_bandits.gaussian import GaussianBandit, GaussianConfig

ConfigT = TypeVar("ConfigT", bound=GaussianConfig)


class LinearBandit(GaussianBandit[ConfigT]):
    """An arm's reward is linear in the context: r = e_p xᵀw_i + noise of variance 1, w_i ~ N(0, I / λ).

        C_i = (λI + Σ e_p² x xᵀ)⁻¹,    m_i = C_i Σ e_p r x

    e_p is the place's examination probability. The history is h observations of the intercept alone, with the
    share of users who like the item less that of those who dislike it as their mean reward. A reward below 0
    is learned as it is.
    """

    def start(self, approval: Approval, impressions: float) -> tuple[Float64, float]:
        weight = impressions / (impressions + self.config.regularization)
        return (approval.liked - approval.disliked) * weight, impressions

    def learn(self, item: int, x: Float64, reward: float, examination: float, weight: float) -> None:
        """Learn one observation by recursive least squares on (e_p x, r)."""
        information = weight * examination * examination
        cx = self.covariance[item].dot(x)  # takes half of @'s time
        shrink = information / (1 + information * float(x.dot(cx)))
        self.condition(item, cx, shrink, shrink * (reward / examination - float(x.dot(self.mean[item]))))
