"""Upper confidence bounds without a context."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from tastemaker.plugins import Batch, Capabilities, Ranking
from tastemaker_bandits.counts import CountBandit, CountConfig
from tastemaker_bandits.slate import best

UNTRIED = 1e6
"""An arm never shown comes before any other, the first by number first."""


class UCB1Config(CountConfig):
    """How optimistic to be."""

    exploration: Annotated[float, Field(ge=0)] = 2.0
    """c, the squared width of the bonus: 2 is Auer's; a smaller one explores less."""


class UCB1(CountBandit[UCB1Config]):
    """The k arms of the greatest upper confidence bound:

        s_i = S_i / N_i + √(c ln N / N_i),    N = Σ N_i

    An arm with N_i = 0 comes first. Deterministic: propensities are 1, and no other policy can be evaluated
    on its log.

    Negative reward: an item that did harm counts as one more failed impression, by its size up to
    1; so does each user of the history who disliked it.
    """

    name = "ucb1"
    reference = (
        "Auer, Cesa-Bianchi, Fischer, Finite-time analysis of the multiarmed bandit problem, "
        "Machine Learning 2002"
    )
    config_type = UCB1Config
    capabilities = Capabilities(learns_online=True, order_independent=True)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        impressions, rewards = self.totals()
        tried = impressions > 0
        shown = np.where(tried, impressions, 1)
        spread = self.config.exploration * np.log(max(float(impressions.sum()), 1.0))
        scores = np.where(tried, rewards / shown + np.sqrt(spread / shown), UNTRIED)
        return best(np.repeat(scores.astype(np.float32)[None], len(batch), axis=0), batch, k)
