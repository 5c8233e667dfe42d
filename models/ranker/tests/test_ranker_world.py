"""A world whose right answer is known, and which no retriever can know alone."""

from typing import NamedTuple

import numpy as np
import pytest

from tastemaker.plugins import Batch, Events, FeatureTable, TrainingData, discovery
from tastemaker_ranker.ranker import ITEM_FEATURES, USER_FEATURES, Ranker, RankerConfig

DAY = 86_400
MONTH = 30 * DAY
MONTHS = 8
USERS, SETTERS = 200, 60
CONFIG = RankerConfig(
    retrievers=("bought_again", "trending"),
    depth=20,
    label_periods=3,
    trees=40,
    learning_rate=0.2,
    min_leaf_rows=20,
)


class Moods:
    """In each month a user is in the mood for the own old favourite or for what trended the month before.

    The mood is drawn again each month, so that only the feature `user_tempo_days` shows it, and no history.
    Item u is the favourite of user u; item USERS + m is what the trendsetters buy in month m.
    """

    def __init__(self) -> None:
        self.adventurous = np.random.default_rng(5).random((MONTHS + 1, USERS)) < 0.5
        self.n_users, self.n_items = USERS + SETTERS, USERS + MONTHS

    def answers(self, month: int) -> np.ndarray:
        """int[USERS]: the item that each user buys in a month."""
        return np.where(self.adventurous[month], USERS + month - 1, np.arange(USERS))

    def events(self) -> Events:
        users, items, times = [], [], []
        for month in range(MONTHS):
            users += [np.arange(USERS), np.arange(USERS, self.n_users)]
            bought = self.answers(month) if month else np.arange(USERS)
            items += [bought, np.full(SETTERS, USERS + month)]
            times += [month * MONTH + np.arange(USERS), month * MONTH + 20 * DAY + np.arange(SETTERS)]
        columns = [np.concatenate(parts) for parts in (users, items, times)]
        rewards = np.ones(len(columns[0]), np.float32)
        return Events(columns[0].astype(np.int32), columns[1].astype(np.int32), rewards, columns[2])

    def users(self, before: int) -> FeatureTable:
        values = np.full((self.n_users, len(USER_FEATURES)), np.nan, np.float32)
        values[:USERS, USER_FEATURES.index("user_tempo_days")] = self.adventurous[before // MONTH]
        return FeatureTable(USER_FEATURES, values)

    def items(self, before: int) -> FeatureTable:
        return FeatureTable(ITEM_FEATURES, np.full((self.n_items, len(ITEM_FEATURES)), np.nan, np.float32))


class World(NamedTuple):
    truth: np.ndarray
    data: TrainingData
    batch: Batch
    ranker: Ranker


@pytest.fixture(scope="module")
def world() -> World:
    moods = Moods()
    end = MONTHS * MONTH
    data = TrainingData(moods.events(), moods.n_users, moods.n_items, end, features=moods)
    users = np.arange(USERS, dtype=np.int32)
    batch = Batch(
        users,
        data.history[users],
        np.zeros(USERS, np.uint64),
        end,
        user_features=moods.users(end)[users],
        item_features=moods.items(end),
    )
    return World(moods.answers(MONTHS), data, batch, Ranker(CONFIG).fit(data))


def test_the_ranker_beats_each_of_its_retrievers(world: World) -> None:
    first = world.ranker.recommend(world.batch, 1).items[:, 0]

    assert (first == world.truth).mean() > 0.98
    for name in CONFIG.retrievers:
        alone = discovery.get(name).recommender().fit(world.data).recommend(world.batch, 1).items[:, 0]
        assert (alone == world.truth).mean() < 0.6


def test_without_features_the_ranker_is_no_better_than_chance(world: World) -> None:
    asked = world.batch

    blind = world.ranker.recommend(Batch(asked.users, asked.history, asked.seeds, asked.now), 2)

    assert (blind.items[:, 0] == world.truth).mean() < 0.7
    assert (blind.items == world.truth[:, None]).any(axis=1).all()
