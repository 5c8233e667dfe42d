"""The baselines against answers that are known or worked out another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tastemaker.plugins import Batch, Events, History, TrainingData
from tastemaker_baselines.bought_again import BoughtAgain, BoughtAgainConfig
from tastemaker_baselines.popularity import Popularity, PopularityConfig
from tastemaker_baselines.random import Random
from tastemaker_baselines.trending import Trending, TrendingConfig

DAY = 86_400


def events_of(*rows: tuple[int, int, float, int]) -> Events:
    """(user, item, reward, day)"""
    users, items, rewards, days = zip(*sorted(rows, key=lambda row: row[3]), strict=True)
    return Events(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.array(rewards, np.float32),
        np.array(days) * DAY,
    )


def anyone(data: TrainingData, n: int = 1) -> Batch:
    return Batch(
        np.full(n, -1, np.int32), History.empty(n, data.n_items), np.arange(n, dtype=np.uint64), now=data.end
    )


def test_popularity_counts_by_users_events_or_reward() -> None:
    """Three counts, three orders: a wholesaler buys item 2 four times, someone pays most for item 0."""
    events = events_of(
        (0, 0, 9.0, 1),
        (0, 1, 1.0, 2),
        (1, 1, 1.0, 3),
        (2, 1, 1.0, 3),
        *[(3, 2, 1.0, day) for day in range(4)],
    )
    data = TrainingData(events, n_users=4, n_items=4, end=10 * DAY)

    def order(config: PopularityConfig) -> list[int]:
        ranking = Popularity(config).fit(data).recommend(anyone(data), 4)
        return [int(item) for item in ranking.items[0]]

    assert order(PopularityConfig(by="users")) == [1, 0, 2, 3]
    assert order(PopularityConfig(by="events")) == [2, 1, 0, 3]
    assert order(PopularityConfig(by="reward")) == [0, 2, 1, 3]


def test_popularity_is_a_count_of_distinct_pairs() -> None:
    rng = np.random.default_rng(0)
    events = Events(
        rng.integers(0, 30, 500).astype(np.int32),
        rng.integers(0, 20, 500).astype(np.int32),
        np.ones(500, np.float32),
        np.sort(rng.integers(0, 9, 500)),
    )
    data = TrainingData(events, 30, 20, end=9)
    pairs = {(int(user), int(item)) for user, item in zip(events.users, events.items, strict=True)}
    expected = np.bincount([item for _, item in pairs], minlength=20)
    np.testing.assert_array_equal(Popularity().fit(data).scores, expected)


def test_trending_halves_with_each_half_life() -> None:
    """Item 0: two users 20 days ago; item 1: one on the last day. With a half-life of 10 days, 2/4 < 1."""
    events = events_of((0, 0, 1.0, 80), (1, 0, 1.0, 80), (2, 1, 1.0, 100))
    data = TrainingData(events, n_users=3, n_items=3, end=100 * DAY)
    ranking = Trending(TrendingConfig(half_life_days=10)).fit(data).recommend(anyone(data), 3)
    assert ranking.items.tolist() == [[1, 0, 2]]
    assert ranking.scores[0] == pytest.approx([1.0, 0.5, 0.0])


def test_bought_again_by_hand() -> None:
    """User 0 has item 0 on days 0, 10, 20 and item 1 on day 30; user 1 has item 1 on day 0; user 2 item 2."""
    events = events_of(
        (0, 0, 1.0, 0), (0, 0, 1.0, 10), (0, 0, 1.0, 20), (0, 1, 1.0, 30), (1, 1, 1.0, 0), (2, 2, 1.0, 5)
    )
    data = TrainingData(events, n_users=3, n_items=4, end=40 * DAY)
    model = BoughtAgain(BoughtAgainConfig(prior_events=1, memory_gaps=2)).fit(data)
    # One of four pairs came back; the gaps of item 0 add up to 20 days over two returns.
    assert model.repeat_rate == pytest.approx([(1 + 1 / 4) / 2, (1 / 4) / 3, (1 / 4) / 2, 1 / 4])
    assert model.gap_seconds / DAY == pytest.approx([(20 + 10) / 3, 10, 10, 10])
    batch = Batch(np.array([0], np.int32), data.history[np.array([0])], np.zeros(1, np.uint64), now=data.end)
    ranking = model.recommend(batch, 4)
    assert ranking.items.tolist() == [[0, 1, 2, 3]]
    due = [(3 - 1 + 0.625) * 2 ** -(20 / 20), (1 / 12) * 2 ** -(10 / 20)]
    assert ranking.scores[0] == pytest.approx([*due, 1 / 3 - 1, -1])


def test_bought_again_falls_back_on_popularity() -> None:
    """Without a past, or where the past may not be repeated, the most popular of the rest come."""
    events = events_of((0, 3, 1.0, 0), (0, 3, 1.0, 9), (1, 1, 1.0, 1), (2, 1, 1.0, 2), (1, 2, 1.0, 3))
    data = TrainingData(events, n_users=3, n_items=4, end=10 * DAY)
    model = BoughtAgain().fit(data)
    assert model.recommend(anyone(data), 4).items.tolist() == [[1, 2, 3, 0]]
    past = data.history[np.array([0])]
    batch = Batch(np.array([0], np.int32), past, np.zeros(1, np.uint64), now=data.end)
    assert model.recommend(batch, 1).items.tolist() == [[3]]
    batch = replace(batch, excluded=past.matrix(np.ones(1, np.bool_)))
    assert model.recommend(batch, 4).items.tolist() == [[1, 2, 0, -1]]


def test_random_is_uniform_over_allowed_items() -> None:
    """χ² of 20,000 first places over 15 allowed items lies between its 0.01 % and its 99.99 % quantile."""
    data = TrainingData(events_of((0, 0, 1.0, 0)), n_users=1, n_items=20, end=DAY)
    batch = replace(anyone(data, 20_000), available=np.arange(20) >= 5)
    ranking = Random().fit(data).recommend(batch, 3)
    counts = np.bincount(ranking.items[:, 0], minlength=20)
    assert counts[:5].tolist() == [0] * 5
    expected = 20_000 / 15
    assert 2.0 < ((counts[5:] - expected) ** 2 / expected).sum() < 42.6
    assert ranking.propensities == pytest.approx(1 / 15)


def test_random_depends_only_on_the_seed() -> None:
    data = TrainingData(events_of((0, 0, 1.0, 0)), n_users=1, n_items=50, end=DAY)
    batch = anyone(data, 200)
    again = Random().fit(data).recommend(replace(batch, users=np.zeros(200, np.int32), now=0), 5)
    first = Random().fit(data).recommend(batch, 5)
    np.testing.assert_array_equal(first.items, again.items)
    assert len({tuple(row) for row in first.items.tolist()}) > 195
