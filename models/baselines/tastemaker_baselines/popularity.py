"""Popularity: the same list for all users, the items that most users have."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np

from tastemaker.plugins import Batch, Config, Ranking, Recommender, TrainingData, select
from tastemaker.plugins.preferences import item_popularity, popularity_by_user


class PopularityConfig(Config):
    """Hyperparameters of `popularity`."""

    by: Literal["users", "events", "reward"] = "users"
    """What is counted: distinct users (one wholesaler counts once), events, or the sum of rewards."""


class Popularity(Recommender[PopularityConfig]):
    """The number of users who have item i, less those who dislike it:

        s_ui = P_i if R_i >= 0, else min(P_i, R_i),    P_i = Σ_v p(r_vi),  R_i = Σ_v r_vi

    r_vi is the summed reward of user v and item i, p(r) = 1 where r > 0 and max(r, -1) elsewhere. By events,
    the sums are over events.

    Negative reward: counts against the item by its size, one user's (or event's) at most as 1 against 1 for
    it. An item whose rewards sum below 0 ranks below items without events; items that some users
    dislike and none likes rank last.
    """

    name = "popularity"
    reference = (
        "Cremonesi, Koren, Turrin, Performance of recommender algorithms on top-N tasks, RecSys 2010 (TopPop)"
    )
    config_type = PopularityConfig
    state = ("scores",)

    def fit(self, data: TrainingData) -> Self:
        if self.config.by == "users":
            self.scores = popularity_by_user(data.history)
        elif self.config.by == "events":
            self.scores = item_popularity(data.events.items, data.events.rewards, data.n_items)
        else:
            rewards = np.bincount(data.events.items, data.events.rewards, data.n_items)
            self.scores = rewards.astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.scores, (len(batch), 1)), batch, k)
