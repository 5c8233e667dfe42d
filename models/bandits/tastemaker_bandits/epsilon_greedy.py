"""The list of greatest means, and a random one with probability ε."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from tastemaker.plugins import Batch, Capabilities, Ranking
from tastemaker.plugins.seeded_random import mix, uniform
from tastemaker_bandits.counts import CountBandit, CountConfig
from tastemaker_bandits.slate import allowed_items, best

COIN = np.uint64(0x5851F42D4C957F2D)
"""Sets the coin's hash apart from those of the items."""


class EpsilonGreedyConfig(CountConfig):
    """How often to explore."""

    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of requests that get a random list."""


class EpsilonGreedy(CountBandit[EpsilonGreedyConfig]):
    """With probability 1 - ε the k arms of the greatest mean, else a uniformly random list:

        s_i = S_i / N_i,    P(i at place p) = (1 - ε) [i is the p-th greatest of m allowed] + ε / m

    One coin is tossed a list, not a place, so the propensity at each place is exact.

    Negative reward: an item that did harm counts as one more failed impression, by its size up to
    1; so does each user of the history who disliked it.
    """

    name = "epsilon_greedy"
    reference = "Sutton, Barto, Reinforcement Learning, 2nd ed., MIT Press 2018, section 2.2"
    config_type = EpsilonGreedyConfig
    capabilities = Capabilities(learns_online=True, order_independent=True, stochastic=True)

    def top_k(self, batch: Batch, k: int) -> Ranking:
        return self._slates(batch, k)[0]

    def recommend(self, batch: Batch, k: int) -> Ranking:
        shown, greedy = self._slates(batch, k)
        epsilon, n_items = self.config.epsilon, self.impressions.shape[1]
        allowed = allowed_items(batch, n_items)
        choices = np.full(len(batch), n_items) if allowed is None else allowed.sum(axis=1)
        chance = (1 - epsilon) * (shown.items == greedy.items) + epsilon / np.maximum(choices, 1)[:, None]
        chance[shown.propensities == 0] = 0
        return shown._replace(propensities=np.minimum(chance, 1).astype(np.float32))

    def _slates(self, batch: Batch, k: int) -> tuple[Ranking, Ranking]:
        """Return the lists shown, and the greedy lists."""
        impressions, rewards = self.totals()
        means = np.divide(rewards, impressions, where=impressions > 0, out=np.zeros_like(rewards))
        greedy = best(np.repeat(means.astype(np.float32)[None], len(batch), axis=0), batch, k)
        explores = mix(batch.seeds ^ COIN).astype(np.float64) * 2.0**-64 < self.config.epsilon
        if not explores.any():
            return greedy, greedy
        some = batch[explores]
        drawn = best(-uniform(some.seeds, len(means)), some, k)
        shown = Ranking(greedy.items.copy(), greedy.scores.copy(), greedy.propensities.copy())
        for part, random in zip(shown, drawn, strict=True):
            part[explores] = random
        return shown, greedy
