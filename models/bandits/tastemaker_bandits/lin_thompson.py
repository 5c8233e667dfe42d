"""Contextual Thompson sampling with a ridge regression per arm."""

from __future__ import annotations

from tastemaker.plugins import Capabilities
from tastemaker_bandits.linear import LinearBandit
from tastemaker_bandits.sampling import SamplingBandit, SamplingConfig


class LinThompsonConfig(SamplingConfig):
    """The configuration of a linear bandit that samples."""


class LinThompson(SamplingBandit[LinThompsonConfig], LinearBandit[LinThompsonConfig]):
    """The k arms of the greatest sampled rewards in the context x, each arm with a ridge regression:

        s_i(x) ~ N(xᵀm_i, v² xᵀC_i x),    C_i = (λI + Σ e_p² x xᵀ)⁻¹,    m_i = C_i Σ e_p r x

    This is the score xᵀw_i of sampled coefficients w_i ~ N(m_i, v² C_i).

    Negative reward: learned as it is; each user of the history who disliked an item takes from the mean that
    it starts with.
    """

    name = "lin_thompson"
    reference = "Agrawal, Goyal, Thompson sampling for contextual bandits with linear payoffs, ICML 2013"
    config_type = LinThompsonConfig
    capabilities = Capabilities(learns_online=True, order_independent=True, stochastic=True)
