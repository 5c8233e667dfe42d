"""Trending items: popularity in which an event counts less the older it is."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field

from tastemaker.plugins import Batch, Config, Ranking, Recommender, Search, TrainingData, select
from tastemaker.plugins.preferences import item_popularity

SECONDS_PER_DAY = 86_400


class TrendingConfig(Config):
    """Hyperparameters of `trending`."""

    half_life_days: Annotated[float, Field(gt=0, le=3650), Search(0.5, 180, log=True)] = 7.0
    """An event this old counts half."""


class Trending(Recommender[TrendingConfig]):
    """Recency-decayed popularity:

        s_ui = P_i if R_i >= 0, else min(P_i, R_i),    P_i = Σ_v w_vi p(r_vi),  R_i = Σ_v w_vi r_vi
        w_vi = 2^(-(T - t_vi) / h),    p(r) = 1 if r > 0, else max(r, -1)

    over the users v with i. T is the end of the training window, t_vi the time of v's latest event with i,
    r_vi their summed reward, h the half-life.

    Negative reward: counts against the item by its size and age, one user's at most as much as one who likes
    it. An item whose decayed rewards sum below 0 ranks below items without events; items that some users
    dislike and none likes rank last.
    """

    name = "trending"
    reference = "Ji et al., A re-visit of the popularity baseline, SIGIR 2020 (DecayPop)"
    config_type = TrendingConfig
    state = ("scores",)

    def fit(self, data: TrainingData) -> Self:
        age_days = (data.end - data.history.last_times) / SECONDS_PER_DAY
        weights = np.exp2(-age_days / self.config.half_life_days)
        self.scores = item_popularity(data.history.items, data.history.rewards, data.n_items, weights)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.scores, (len(batch), 1)), batch, k)
