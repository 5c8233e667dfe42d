"""Rewards below 0 speak against their items, in every shipped model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.plugins import (
    Batch,
    Events,
    History,
    Recommender,
    TrainingData,
    discovery,
    item_popularity,
    preferences,
)
from tastemaker.plugins.arrays import Float32, Int32
from tastemaker.plugins.checks.subject import MadeUpFeatures

pytestmark = pytest.mark.slow

N_USERS, N_ITEMS = 8, 6
DAY = 86_400
MODELS = [name for name in discovery.find().names if name != "random"]
PUTS_LAST = ["popularity", "trending", "bought_again", "item_knn", "ease", "ials", "bpr", "content", "ranker"]
"""Items that some users dislike and none likes rank after all liked items."""
MONOTONE: dict[str, list[dict[str, Any]]] = {
    "popularity": [{"by": "users"}, {"by": "events"}, {"by": "reward"}],
    "trending": [{}],
    "bought_again": [{}],
    "item_knn": [{}, {"weights": "log", "shrinkage": 0.5}],
    "epsilon_greedy": [{"epsilon": 0}],
    "ucb1": [{}],
    "lin_ucb": [{}],
}
"""The models in which an item's score is made of that item's own rewards: in the others a dislike may say
something good of another taste, or lists are drawn."""

rewards_strategy = st.sampled_from([-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 4.0])
events_strategy = st.lists(
    st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1), rewards_strategy, st.integers(0, 40)),
    min_size=1,
    max_size=40,
)
quiet = settings(max_examples=25, deadline=None)


def made(rows: list[tuple[int, int, float, int]], name: str) -> TrainingData:
    """Events (user, item, reward, day) as training data for a model."""
    rows = sorted(rows, key=lambda row: row[3])
    users, items, rewards, days = (np.array(column) for column in zip(*rows, strict=True))
    events = Events(
        users.astype(np.int32),
        items.astype(np.int32),
        rewards.astype(np.float32),
        days.astype(np.int64) * DAY,
    )
    features = MadeUpFeatures(discovery.get(name).recommender, N_USERS, N_ITEMS)
    return TrainingData(events, N_USERS, N_ITEMS, end=50 * DAY, features=features)


def fitted(name: str, data: TrainingData, config: dict[str, Any]) -> Recommender[Any]:
    return discovery.get(name).recommender(**config).fit(replace(data, rng=np.random.default_rng(0)))


def asked(data: TrainingData, users: Int32, history: History) -> Batch:
    seeds = np.arange(len(users), dtype=np.uint64) + np.uint64(1)
    features = data.features
    assert features is not None
    return Batch(
        users,
        history,
        seeds,
        now=data.end,
        user_features=features.users(data.end)[users],
        item_features=features.items(data.end),
    )


def all_users(data: TrainingData) -> Batch:
    """Every user, and an unknown user without history."""
    users = np.append(np.arange(N_USERS), -1).astype(np.int32)
    return asked(data, users, data.history[users])


def places(items: Int32) -> Int32:
    """int32[n, n_items]: where each item stands in each row's whole list."""
    return np.argsort(items, axis=1, kind="stable").astype(np.int32)


@pytest.mark.parametrize("name", PUTS_LAST)
def test_items_that_are_only_disliked_rank_below_all_liked_items(name: str) -> None:
    @settings(max_examples=6 if name == "ranker" else 25, deadline=None)
    @given(rows=events_strategy)
    def holds(rows: list[tuple[int, int, float, int]]) -> None:
        data = made(rows, name)
        sums = data.history.matrix().toarray()
        good = (sums > 0).any(axis=0)
        bad = (sums < 0).any(axis=0) & ~good
        found = places(fitted(name, data, {}).recommend(all_users(data), N_ITEMS).items)
        for item in np.flatnonzero(bad):
            assert (found[:, [item]] > found[:, good]).all(), (item, found)

    holds()


@pytest.mark.parametrize(
    ("name", "config"), [(name, config) for name in MONOTONE for config in MONOTONE[name]]
)
def test_lower_rewards_never_raise_an_item_for_other_users(name: str, config: dict[str, Any]) -> None:
    @quiet
    @given(
        rows=events_strategy, item=st.integers(0, N_ITEMS - 1), lower=st.lists(rewards_strategy, min_size=40)
    )
    def holds(rows: list[tuple[int, int, float, int]], item: int, lower: list[float]) -> None:
        worse = [
            (user, which, min(reward, new) if which == item else reward, day)
            for (user, which, reward, day), new in zip(rows, lower, strict=False)
        ]
        before, after = made(rows, name), made(worse, name)
        others = np.append(np.setdiff1d(np.arange(N_USERS), [row[0] for row in rows if row[1] == item]), -1)
        batch = asked(before, others.astype(np.int32), before.history[others])
        first, then = (
            places(fitted(name, data, config).recommend(batch, N_ITEMS).items)[:, item]
            for data in (before, after)
        )
        assert (then >= first).all()

    holds()


@pytest.mark.parametrize("name", MODELS)
def test_an_item_that_all_dislike_falls_below_one_that_all_like(name: str) -> None:
    """Whichever has the lower number, and however often they had them; in the mean, where lists are drawn."""
    for bad, good in ((0, 5), (5, 0)):
        rows = [
            (user, item, 1.0, user + item)
            for user in range(N_USERS)
            for item in (1, 2)
            if user % 2 == item % 2
        ]
        rows += [(user, good, 1.0, 20) for user in range(N_USERS)]
        rows += [(user, bad, -1.0, 20 + again) for user in range(N_USERS) for again in range(3)]
        data = made(rows, name)
        batch = all_users(data)[np.repeat(np.arange(N_USERS + 1), 30)]
        batch = replace(batch, seeds=np.arange(len(batch), dtype=np.uint64))
        found = places(fitted(name, data, {}).recommend(batch, N_ITEMS).items)
        if discovery.get(name).recommender.capabilities.stochastic:
            assert found[:, bad].mean() > found[:, good].mean() + 1
        else:
            assert (found[:, bad] > found[:, good]).all()


def test_preferences_by_sign_and_size() -> None:
    rewards = np.array([250.0, 0.1, 0.0, -0.1, -1.0, -40.0], np.float32)
    assert preferences(rewards).tolist() == pytest.approx([1, 1, 0, -0.1, -1, -1])


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([[1, 1, 1], [1, 1], []], [3, 2, 0]),
        ([[1, 1, -1], [1], []], [1, 1, 0]),  # two for, one against
        ([[1, 1, -0.5], [1], []], [1.5, 1, 0]),  # a small dislike counts for less
        ([[1, 1, -5], [1], []], [-3, 1, 0]),  # a large one does more harm than two did good
        ([[-1, -1], [], [1]], [-6, 0, 1]),  # liked by none: below all else by more than their spread
        ([[9, 9], [-7, 0.1], [-1]], [2, -6.9, -10.9]),
    ],
)
def test_item_popularity_by_hand(rewards: list[list[float]], expected: list[float]) -> None:
    items = np.repeat(np.arange(3), [len(each) for each in rewards]).astype(np.int32)
    flat: Float32 = np.array([reward for each in rewards for reward in each], np.float32)
    assert item_popularity(items, flat, 3).tolist() == pytest.approx(expected)


def test_bought_again_does_not_repeat_returned_items() -> None:
    """User 0 had item 0 three times and item 1 once, but item 0's rewards sum below 0."""
    rows = [(0, 0, 1.0, 1), (0, 0, 1.0, 2), (0, 0, -3.0, 3), (0, 1, 1.0, 3), (1, 1, 1.0, 3), (1, 0, 1.0, 3)]
    data = made(rows, "bought_again")
    batch = asked(data, np.zeros(1, np.int32), data.history[np.zeros(1, np.int64)])
    assert fitted("bought_again", data, {}).recommend(batch, 2).items.tolist()[0][0] == 1
