"""Uniformly random lists: the lower bound of a leaderboard, and a logging policy for evaluation."""

from __future__ import annotations

from typing import Self

import numpy as np

from tastemaker.plugins import Batch, Capabilities, Config, Ranking, Recommender, TrainingData, forbid, select
from tastemaker.plugins.seeded_random import uniform


class RandomConfig(Config):
    """No hyperparameters."""


class Random(Recommender[RandomConfig]):
    """Each allowed item is equally likely at each position.

        s_ui = -h(seed_u, i),   h uniform on [0, 1]

    A random permutation puts each of its m items at each position with probability 1/m: the propensity. The
    list is a pure function of the request's seed.

    Negative reward: no effect on scores; as for every model, a user is not recommended a disliked item.
    """

    name = "random"
    reference = "Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (the hash)"
    config_type = RandomConfig
    capabilities = Capabilities(
        stochastic=True, exempt={"disliked_by_all_is_below_liked_by_all": "its lists are uniformly random"}
    )
    state = ("n_items",)

    def fit(self, data: TrainingData) -> Self:
        self.n_items = np.asarray(data.n_items, np.int64)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores = -uniform(batch.seeds, int(self.n_items))
        forbid(scores, batch)
        allowed = np.isfinite(scores).sum(axis=1)
        ranking = select(scores, batch, k)
        propensity = (1 / np.maximum(allowed, 1)).astype(np.float32)
        return ranking._replace(propensities=ranking.propensities * propensity[:, None])
