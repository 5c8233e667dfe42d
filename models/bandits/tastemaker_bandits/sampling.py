"""Thompson sampling from normal beliefs: draws of each arm's score, and the propensities of the lists.

The score xᵀw of an arm in one context is normal with the mean and variance that w's belief implies. So one
number per arm is drawn, not one vector: the same distribution of lists at 1/d of the price.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tastemaker.plugins import Batch, Ranking
from tastemaker.plugins.arrays import Float32, Int64
from tastemaker.plugins.seeded_random import normal
from tastemaker_bandits.common import Float64
from tastemaker_bandits.gaussian import GaussianBandit, GaussianConfig
from tastemaker_bandits.position_propensities import PropensityCache, estimated, exact
from tastemaker_bandits.scores import Normal
from tastemaker_bandits.slate import best, common_items, only, simulation_seeds, with_propensities


class SamplingConfig(GaussianConfig):
    """How to explore, and how propensities are found."""

    exploration: Annotated[float, Field(gt=0)] = 1.0
    """v, the width of the sampled belief in units of the posterior's standard deviation."""
    draws: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """0: propensities are integrals, exact to 1e-6. Else so many Monte Carlo draws estimate each, with a
    standard error of √(p (1 - p) / draws)."""


ConfigT = TypeVar("ConfigT", bound=SamplingConfig)


class SamplingBandit(GaussianBandit[ConfigT]):
    """The k arms of the greatest draws s_i ~ N(xᵀm_i, v² xᵀC_i x), independent of each other."""

    _integrals: PropensityCache | None
    """Those of the current state, if requests do not differ in their context."""

    def top_k(self, batch: Batch, k: int) -> Ranking:
        """Return the lists without their propensities."""
        return self._drawn(*self._scores(batch), batch, k)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """Return the lists with their propensities, exact or estimated as `draws` says."""
        means, deviations = self._scores(batch)
        draws, contextual = self.config.draws, self.config.context_size > 0
        simulated = normal(simulation_seeds(draws), means.shape[1]) if draws else None
        common = common_items(batch, means.shape[1])

        def propensities(row: int, allowed: Int64, wanted: Int64, k: int) -> Float64:
            mean, deviation = means[row].astype(np.float64), deviations[row].astype(np.float64)
            if simulated is not None:
                return estimated(only(mean + deviation * simulated, allowed), wanted, k)
            if contextual:
                return exact(Normal(mean, deviation), allowed, wanted, k)
            if self._integrals is None:
                self._integrals = PropensityCache(Normal(mean, deviation))
            return self._integrals.propensities(common, allowed, wanted, k)

        ranking = self._drawn(means, deviations, batch, k)
        return with_propensities(ranking, batch, means.shape[1], not contextual, propensities)

    def _scores(self, batch: Batch) -> tuple[Float32, Float32]:
        """Return the mean and the standard deviation of every arm's score, float32[n, n_items] each."""
        means, deviations = self.beliefs(batch)
        deviations *= self.config.exploration
        return means, deviations

    def _drawn(self, means: Float32, deviations: Float32, batch: Batch, k: int) -> Ranking:
        scores = normal(batch.seeds, means.shape[1])
        scores *= deviations
        scores += means
        return best(scores, batch, k)

    def _refresh(self, items: NDArray[np.integer]) -> None:
        super()._refresh(items)
        self._integrals = None
