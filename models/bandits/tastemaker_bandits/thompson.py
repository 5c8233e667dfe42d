"""Thompson sampling with a Beta posterior per arm."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tastemaker.plugins import Batch, Capabilities, Ranking
from tastemaker.plugins.arrays import Int64
from tastemaker_bandits.beta_sampler import BetaSampler
from tastemaker_bandits.common import Float64
from tastemaker_bandits.counts import CountBandit, CountConfig
from tastemaker_bandits.position_propensities import PropensityCache, estimated
from tastemaker_bandits.scores import LogOdds
from tastemaker_bandits.slate import best, common_items, only, simulation_seeds, with_propensities


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

    Negative reward: an item that did harm counts as one more failed impression, by its size up to
    1; so does each user of the history who disliked it.
    """

    name = "thompson"
    reference = "Chapelle, Li, An empirical evaluation of Thompson sampling, NeurIPS 2011"
    config_type = ThompsonConfig
    capabilities = Capabilities(learns_online=True, order_independent=True, stochastic=True)

    def posterior(self, items: NDArray[np.integer] | None = None) -> tuple[Float64, Float64]:
        """Return the parameters a and b of the arms' Beta distributions.

        Args:
            items: the arms' numbers; None for all.

        Returns:
            float64[len(items)] each.
        """
        impressions, rewards = self.totals(items)
        chosen = slice(None) if items is None else items
        return rewards, np.maximum(
            impressions - rewards, (self.prior_impressions - self.prior_rewards)[chosen]
        )

    def refresh(self, items: NDArray[np.integer] | None) -> None:
        self._integrals: PropensityCache | None = None
        if items is None:
            self._sampler = BetaSampler(*self.posterior())
        else:
            touched = np.unique(items) if len(items) > 1 else items
            self._sampler.change(touched, *self.posterior(touched))

    def top_k(self, batch: Batch, k: int) -> Ranking:
        """Return the lists without their propensities."""
        return best(self._sampler.sample(batch.seeds), batch, k)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """Return the lists with their propensities, exact or estimated as `draws` says."""
        sampler = self._sampler
        if self._integrals is None:
            self._integrals = PropensityCache(LogOdds(sampler.a, sampler.b))
        integrals = self._integrals
        common = common_items(batch, len(sampler.a))
        draws = self.config.draws
        simulated = sampler.sample(simulation_seeds(draws)) if draws else None

        def propensities(row: int, allowed: Int64, wanted: Int64, k: int) -> Float64:
            if simulated is None:
                return integrals.propensities(common, allowed, wanted, k)
            return estimated(only(simulated, allowed), wanted, k)

        return with_propensities(self.top_k(batch, k), batch, len(sampler.a), True, propensities)
