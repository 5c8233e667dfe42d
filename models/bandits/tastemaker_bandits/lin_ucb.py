"""Contextual upper confidence bounds with a ridge regression per arm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tastemaker.plugins import Batch, Capabilities, Ranking
from tastemaker_bandits.gaussian import GaussianConfig
from tastemaker_bandits.linear import LinearBandit
from tastemaker_bandits.slate import best


class LinUCBConfig(GaussianConfig):
    """How optimistic to be."""

    exploration: Annotated[float, Field(ge=0)] = 1.0
    """α, the width of the bonus in standard deviations."""


class LinUCB(LinearBandit[LinUCBConfig]):
    """The k arms of the greatest upper confidence bound in the context x, each arm with a ridge regression:

        s_i(x) = xᵀm_i + α √(xᵀC_i x),    C_i = (λI + Σ e_p² x xᵀ)⁻¹,    m_i = C_i Σ e_p r x

    Deterministic: propensities are 1, and no other policy can be evaluated on its log.

    Negative reward: learned as it is; each user of the history who disliked an item takes from the mean that
    it starts with.
    """

    name = "lin_ucb"
    reference = (
        "Li, Chu, Langford, Schapire, A contextual-bandit approach to personalized news article "
        "recommendation, WWW 2010 (LinUCB with disjoint linear models)"
    )
    config_type = LinUCBConfig
    capabilities = Capabilities(learns_online=True, order_independent=True)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores, deviations = self.beliefs(batch)
        deviations *= self.config.exploration
        scores += deviations
        return best(scores, batch, k)
