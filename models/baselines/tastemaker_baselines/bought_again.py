"""Repeat purchases: the items that a user is due to buy again."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field

from tastemaker.plugins import Batch, Capabilities, Config, Ranking, Recommender, Search, TrainingData, select
from tastemaker.plugins.arrays import Int64
from tastemaker.plugins.preferences import popularity_by_user


class BoughtAgainConfig(Config):
    """Hyperparameters of `bought_again`."""

    prior_events: Annotated[float, Field(gt=0, le=1000), Search(0.03, 100, log=True)] = 1.0
    """c: the weight of the item's general repeat rate, in events of the user."""
    memory_gaps: Annotated[float, Field(gt=0, le=1000), Search(0.3, 100, log=True)] = 4.0
    """m: after this many typical gaps without the item, its score has halved."""


class BoughtAgain(Recommender[BoughtAgainConfig]):
    """Repeat purchases, by how often and how long ago; other items follow by popularity.

        s_ui = (n_ui - 1 + c·r_i) · 2^(-Δ_ui / (m·g_i))     if u had and liked i (n_ui times, last Δ_ui ago)
        s_ui = -1 + p_i / (1 + max p)                        otherwise

    r_i is the share of i's users who came back for it and like it, g_i the typical gap between events with it
    (both smoothed by the catalogue's), p_i the number of users who have i less those who dislike it, as in
    `popularity`. u likes i if the rewards of u's events with it sum above 0.

    Negative reward: an item whose rewards sum below 0 for a user is not recommended to them as a repeat, does
    not count as a repeat in r_i, and counts against the item's popularity by its size.
    """

    name = "bought_again"
    reference = "Bhagat et al., Buy it again: modeling repeat purchase recommendations, KDD 2018"
    config_type = BoughtAgainConfig
    capabilities = Capabilities(
        personalizes=True,
        exempt={"checkerboard_is_recovered": "it ranks items that a user had, not the held-out one"},
    )
    state = ("popularity", "repeat_rate", "gap_seconds")

    def fit(self, data: TrainingData) -> Self:
        history, n_items = data.history, data.n_items
        users = np.bincount(history.items, minlength=n_items)
        again = np.bincount(history.items, history.counts - 1, n_items)
        returned = np.bincount(history.items, (history.counts > 1) & (history.rewards > 0), n_items)
        gaps_seconds = np.bincount(history.items, history.last_times - _first_times(data), n_items)
        prior = self.config.prior_events
        overall_rate = returned.sum() / max(users.sum(), 1)
        overall_gap = max(gaps_seconds.sum() / max(again.sum(), 1), 1.0)
        self.popularity = popularity_by_user(history)
        self.repeat_rate = ((returned + prior * overall_rate) / (users + prior)).astype(np.float32)
        self.gap_seconds = ((gaps_seconds + prior * overall_gap) / (again + prior)).astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores = np.tile(self.popularity / (1 + self.popularity.max(initial=0)) - 1, (len(batch), 1))
        history = batch.history
        liked = history.rewards > 0
        rows, items = history.rows[liked], history.items[liked]
        waited = np.maximum(batch.now - history.last_times[liked], 0)
        decay = np.exp2(-waited / (self.config.memory_gaps * self.gap_seconds[items]))
        wanted = history.counts[liked] - 1 + self.config.prior_events * self.repeat_rate[items]
        scores[rows, items] = wanted * decay
        return select(scores, batch, k)


def _first_times(data: TrainingData) -> Int64:
    """Return int64[m]: when each (user, item) pair of the history first happened."""
    history = data.history
    keys = history.rows * data.n_items + history.items
    pairs = data.events.users.astype(np.int64) * data.n_items + data.events.items
    first = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(first, np.searchsorted(keys, pairs), data.events.times)
    return first
