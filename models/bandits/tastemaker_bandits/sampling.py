"""Thompson sampling from normal beliefs: one draw of each arm's score, and what that makes of its chances.

The score xᵀw of an arm in one context is normal with the mean and variance that w's belief implies. So a
number an arm is drawn, not a vector an arm: the same distribution of lists at 1/d of the price.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tastemaker.plugins import Batch, Ranking
from tastemaker.plugins.arrays import Int64
from tastemaker.plugins.seeded_random import normal
from tastemaker_bandits import chances
from tastemaker_bandits.gaussian import GaussianBandit, GaussianConfig
from tastemaker_bandits.learning import Float64
from tastemaker_bandits.scores import Normal
from tastemaker_bandits.slates import best, common_items, only, rehearsals, with_propensities


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

    _fields: chances.Fields | None
    """Of the state as it is, if no context tells requests apart."""

    def top_k(self, batch: Batch, k: int) -> Ranking:
        """The lists, without their propensities."""
        scores, deviations = self.beliefs(batch)
        deviations *= self.config.exploration
        deviations *= normal(batch.seeds, scores.shape[1])
        scores += deviations
        return best(scores, batch, k)

    def recommend(self, batch: Batch, k: int) -> Ranking:
        means, deviations = (part.astype("f8") for part in self.beliefs(batch))
        deviations *= self.config.exploration
        draws, contextual = self.config.draws, self.config.context_size > 0
        rehearsed = normal(rehearsals(draws), means.shape[1]) if draws else None
        common = common_items(batch, means.shape[1])

        def chance(row: int, allowed: Int64, wanted: Int64, k: int) -> Float64:
            if rehearsed is not None:
                drawn = means[row] + deviations[row] * rehearsed
                return chances.estimated(only(drawn, allowed), wanted, k)
            if contextual:
                return chances.exact(Normal(means[row], deviations[row]), allowed, wanted, k)
            if self._fields is None:
                self._fields = chances.Fields(Normal(means[row], deviations[row]))
            return self._fields.chances(common, allowed, wanted, k)

        ranking = self.top_k(batch, k)
        return with_propensities(ranking, batch, means.shape[1], shared=not contextual, chances=chance)

    def _refresh(self, items: NDArray[np.integer]) -> None:
        super()._refresh(items)
        self._fields = None
