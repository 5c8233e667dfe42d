"""What is popular now: each event counts less the older it is."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field

from tastemaker.plugins import Batch, Config, Ranking, Recommender, Search, TrainingData, select

SECONDS_PER_DAY = 86_400


class TrendingConfig(Config):
    """How fast popularity fades."""

    half_life_days: Annotated[float, Field(gt=0, le=3650), Search(0.5, 180, log=True)] = 7.0
    """An event this old counts half."""


class Trending(Recommender[TrendingConfig]):
    """Recency-decayed popularity:

        s_ui = Σ over users v with i of 2^(-(T - t_vi) / h)

    T is the end of the training window, t_vi the time of v's latest event with i, h the half-life.
    """

    name = "trending"
    reference = "Ji et al., A re-visit of the popularity baseline, SIGIR 2020 (DecayPop)"
    config_type = TrendingConfig
    state = ("scores",)

    def fit(self, data: TrainingData) -> Self:
        age_days = (data.end - data.history.last_times) / SECONDS_PER_DAY
        weights = np.exp2(-age_days / self.config.half_life_days)
        self.scores = np.bincount(data.history.items, weights, minlength=data.n_items).astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.scores, (len(batch), 1)), batch, k)
