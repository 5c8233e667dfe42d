"""The same list for everybody: what most people have."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np

from tastemaker.plugins import Batch, Config, Ranking, Recommender, TrainingData, select


class PopularityConfig(Config):
    """What counts as popular."""

    by: Literal["users", "events", "reward"] = "users"
    """Count distinct users (one wholesaler counts once), events, or add up the problem's rewards."""


class Popularity(Recommender[PopularityConfig]):
    """s_ui = |{v : v has i}|, the number of users who have item i."""

    name = "popularity"
    reference = (
        "Cremonesi, Koren, Turrin, Performance of recommender algorithms on top-N tasks, RecSys 2010 (TopPop)"
    )
    config_type = PopularityConfig
    state = ("scores",)

    def fit(self, data: TrainingData) -> Self:
        if self.config.by == "users":
            counts = np.bincount(data.history.items, minlength=data.n_items)
        elif self.config.by == "events":
            counts = np.bincount(data.events.items, minlength=data.n_items)
        else:
            counts = np.bincount(data.events.items, weights=data.events.rewards, minlength=data.n_items)
        self.scores = counts.astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.scores, (len(batch), 1)), batch, k)
