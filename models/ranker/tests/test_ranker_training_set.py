"""The ranker's training set holds no feature from the label period, and the right labels."""

from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.plugins import (
    Batch,
    Config,
    Events,
    FeatureTable,
    Ranking,
    Recommender,
    TrainingData,
    discovery,
    select,
)
from tastemaker_ranker import trees
from tastemaker_ranker.features import DAY, columns
from tastemaker_ranker.ranker import ITEM_FEATURES, USER_FEATURES, Ranker, RankerConfig
from tastemaker_ranker.training_set import TrainingSet, label_periods

N_USERS, N_ITEMS, DAYS = 30, 20, 100
CUT = 90 * DAY
CONFIG = RankerConfig(retrievers=("popularity", "bought_again"), label_days=10, label_periods=1, trees=3)


def shop(seed: int, later_seed: int) -> Events:
    """Events on 100 days, the items of the last ten days drawn from another seed."""
    rng, later = np.random.default_rng(seed), np.random.default_rng(later_seed)
    times = np.sort(rng.integers(0, DAYS * DAY, 2_000))
    users = rng.integers(0, N_USERS, 2_000, dtype=np.int32)
    items = rng.integers(0, N_ITEMS, 2_000, dtype=np.int32)
    items[times >= CUT] = later.integers(0, N_ITEMS, int((times >= CUT).sum()))
    return Events(users, items, np.ones(2_000, np.float32), times)


class Watched:
    """Feature tables that record for which cutoffs they were read."""

    def __init__(self) -> None:
        self.asked: set[int] = set()

    def users(self, before: int) -> FeatureTable:
        self.asked.add(before)
        return FeatureTable(USER_FEATURES, np.zeros((N_USERS, len(USER_FEATURES)), np.float32))

    def items(self, before: int) -> FeatureTable:
        self.asked.add(before)
        return FeatureTable(ITEM_FEATURES, np.zeros((N_ITEMS, len(ITEM_FEATURES)), np.float32))


def training_set_of(monkeypatch: pytest.MonkeyPatch, data: TrainingData) -> TrainingSet:
    """Return the training set that a fit passes to the trees."""
    seen: list[TrainingSet] = []
    train = trees.train

    def watch(labelled: TrainingSet, *rest: Any) -> str:
        seen.append(labelled)
        return train(labelled, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(trees, "train", watch)
        Ranker(CONFIG).fit(data)
    return seen[0]


def test_no_feature_sees_the_label_period(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (
        training_set_of(monkeypatch, TrainingData(shop(1, later), N_USERS, N_ITEMS, DAYS * DAY))
        for later in (2, 3)
    )

    assert len(one.groups) == len(other.groups) == N_USERS
    np.testing.assert_array_equal(one.features, other.features)
    assert (one.rewards != other.rewards).any()


def test_features_are_read_as_of_the_cutoff() -> None:
    watched = Watched()

    Ranker(CONFIG).fit(TrainingData(shop(1, 2), N_USERS, N_ITEMS, DAYS * DAY, features=watched))

    assert watched.asked == {CUT}


def test_labels_are_rewards_of_the_label_period(monkeypatch: pytest.MonkeyPatch) -> None:
    events = shop(1, 2)
    labelled = training_set_of(monkeypatch, TrainingData(events, N_USERS, N_ITEMS, DAYS * DAY))

    # every item is a candidate here (20 items, depth 50), so each reward of the period must turn up
    assert labelled.groups.tolist() == [N_ITEMS] * N_USERS
    assert labelled.rewards.sum() == (events.times >= CUT).sum()


def test_without_repeats_items_of_the_history_are_not_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    events = shop(1, 2)
    events = events[((events.items + events.users) % 3 > 0) | (events.times >= CUT)]

    labelled = training_set_of(monkeypatch, TrainingData(events, N_USERS, N_ITEMS, DAYS * DAY, repeats=False))

    times_bought = columns(CONFIG.retrievers, USER_FEATURES, ITEM_FEATURES).index("pair_events")
    assert len(labelled.groups) > N_USERS / 2
    assert (labelled.features[:, times_bought] == 0).all()


class Spy(Recommender[Config]):
    """A retriever that records what it is given."""

    name: ClassVar[str] = "spy"
    reference: ClassVar[str] = "none"
    config_type: ClassVar[type[Config]] = Config
    seen: ClassVar[list[tuple[int, int]]] = []

    def fit(self, data: TrainingData) -> Self:
        self.seen.append((int(data.events.times.max()), data.end))
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        self.seen.append((int(batch.history.last_times.max()), batch.now))
        return select(np.zeros((len(batch), batch.history.n_items), np.float32), batch, k)


def test_retrievers_see_nothing_after_the_cutoff(monkeypatch: pytest.MonkeyPatch) -> None:
    found = discovery.Plugin("spy", Spy, "tests", "0", "tests:Spy")
    monkeypatch.setattr(discovery, "get", lambda name: found)

    Ranker(CONFIG.model_copy(update={"retrievers": ("spy",)})).fit(
        TrainingData(shop(1, 2), N_USERS, N_ITEMS, DAYS * DAY)
    )

    assert {cutoff for _, cutoff in Spy.seen} == {CUT, DAYS * DAY}
    assert all(latest < cutoff for latest, cutoff in Spy.seen)


@given(
    st.integers(1, 400 * DAY),
    st.integers(1, 365),
    st.integers(1, 12),
)
def test_label_periods_are_consecutive_in_the_second_half_of_the_window(
    window: int, days: int, periods: int
) -> None:
    events = Events(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.float32), np.array([1_000]))
    found = label_periods(TrainingData(events, 1, 1, 1_000 + window), days, periods)

    if window < 2 * periods:
        assert found == []
        return
    assert len(found) == periods
    assert found[-1][1] == 1_000 + window
    assert found[0][0] >= 1_000 + window // 2
    assert all(end == start for (_, end), (start, _) in pairwise(found))
    assert len({end - start for start, end in found}) == 1
    assert found[0][1] - found[0][0] <= days * DAY
