"""Each arm is shown as often as it is likely to be the best."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tastemaker.plugins import Batch, Capabilities, Ranking
from tastemaker.plugins.arrays import Int64
from tastemaker_bandits import chances
from tastemaker_bandits.betas import Betas
from tastemaker_bandits.counts import CountBandit, CountConfig
from tastemaker_bandits.learning import Float64
from tastemaker_bandits.scores import LogOdds
from tastemaker_bandits.slates import best, common_items, only, rehearsals, with_propensities


class ThompsonConfig(CountConfig):
    """The prior is Beta(prior_successes, prior_failures) plus the history."""

    prior_successes: Annotated[float, Field(gt=0)] = 0.1
    """Successes that each arm starts with, beside those of the history: a of the Beta prior."""
    prior_failures: Annotated[float, Field(gt=0)] = 0.9
    """Failures that each arm starts with, beside those of the history: b of the Beta prior."""
    draws: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """0: propensities are integrals, exact to 1e-6. Else so many Monte Carlo draws estimate each, with a
    standard error of √(p (1 - p) / draws)."""


class Thompson(CountBandit[ThompsonConfig]):
    """The k arms of the greatest sampled success rates:

        s_i = log θ_i / (1 - θ_i),    θ_i ~ Beta(a_i + S_i, b_i + N_i - S_i)

    With examination probabilities below 1 S may exceed N by chance; the second parameter is at least b_i.

    Negative reward: an item that did harm counts as shown in vain once more, by the size of the reward up to
    1; so does each user of the history who disliked it.
    """

    name = "thompson"
    reference = "Chapelle, Li, An empirical evaluation of Thompson sampling, NeurIPS 2011"
    config_type = ThompsonConfig
    capabilities = Capabilities(learns_online=True, order_independent=True, stochastic=True)

    def posterior(self, items: NDArray[np.integer] | None = None) -> tuple[Float64, Float64]:
        """float64[len(items)] each: the parameters of these arms' Beta distributions, of all unless named."""
        impressions, rewards = self.totals(items)
        chosen = slice(None) if items is None else items
        return rewards, np.maximum(
            impressions - rewards, (self.prior_impressions - self.prior_rewards)[chosen]
        )

    def refresh(self, items: NDArray[np.integer] | None) -> None:
        self._fields: chances.Fields | None = None
        if items is None:
            self._betas = Betas(*self.posterior())
        else:
            touched = np.unique(items) if len(items) > 1 else items
            self._betas.change(touched, *self.posterior(touched))

    def top_k(self, batch: Batch, k: int) -> Ranking:
        """The lists, without their propensities."""
        return best(self._betas.sample(batch.seeds), batch, k)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        betas = self._betas
        if self._fields is None:
            self._fields = chances.Fields(LogOdds(betas.a, betas.b))
        fields = self._fields
        common = common_items(batch, len(betas.a))
        rehearsed = betas.sample(rehearsals(self.config.draws)) if self.config.draws else None

        def chance(row: int, allowed: Int64, wanted: Int64, k: int) -> Float64:
            if rehearsed is None:
                return fields.chances(common, allowed, wanted, k)
            return chances.estimated(only(rehearsed, allowed), wanted, k)

        return with_propensities(self.top_k(batch, k), batch, len(betas.a), shared=True, chances=chance)
