"""Each arm is shown as often as it is likely to be the best."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from tastemaker.plugins import Batch, Capabilities, Ranking
from tastemaker.plugins.arrays import Float32, Int64, UInt64
from tastemaker.plugins.chance import GOLDEN, mix
from tastemaker_bandits import chances
from tastemaker_bandits.counts import CountBandit, CountConfig
from tastemaker_bandits.learning import Float64
from tastemaker_bandits.slates import SMALLEST, best, only, rehearsals, with_propensities


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
    """

    name = "thompson"
    reference = "Chapelle, Li, An empirical evaluation of Thompson sampling, NeurIPS 2011"
    config_type = ThompsonConfig
    capabilities = Capabilities(learns_online=True, commutes=True, stochastic=True)

    def posterior(self) -> tuple[Float64, Float64]:
        """float64[n_items] each: the parameters of each arm's Beta distribution."""
        impressions, rewards = self.totals()
        return rewards, np.maximum(impressions - rewards, self.prior_impressions - self.prior_rewards)

    def decide(self, batch: Batch, k: int) -> Ranking:
        """The lists, without their propensities."""
        return best(sample(*self.posterior(), batch.seeds), batch, k)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        a, b = self.posterior()
        scores = chances.LogOdds(a, b)
        rehearsed = sample(a, b, rehearsals(self.config.draws)) if self.config.draws else None

        def chance(row: int, allowed: Int64, wanted: Int64, k: int) -> Float64:
            if rehearsed is None:
                return chances.exact(scores, allowed, wanted, k)
            return chances.estimated(only(rehearsed, allowed), wanted, k)

        ranking = best(sample(a, b, batch.seeds), batch, k)
        return with_propensities(ranking, batch, len(a), shared=True, chances=chance)


def sample(a: Float64, b: Float64, seeds: UInt64) -> Float32:
    """float32[n, n_items]: log-odds of Beta variates, each row's from a generator (PCG64) set by its seed."""
    source = np.random.PCG64(0)
    generator = np.random.Generator(source)
    odds = np.empty((len(seeds), len(a)))
    for row, (state, increment) in enumerate(zip(mix(seeds), mix(seeds ^ GOLDEN), strict=True)):
        source.state = {
            "bit_generator": "PCG64",
            "state": {"state": int(state) << 64 | int(increment), "inc": int(increment) << 1 | 1},
            "has_uint32": 0,
            "uinteger": 0,
        }
        odds[row] = generator.beta(a, b)
    np.clip(odds, SMALLEST, 1 - 2.0**-53, out=odds)
    odds /= 1 - odds
    return np.log(odds).astype(np.float32)
