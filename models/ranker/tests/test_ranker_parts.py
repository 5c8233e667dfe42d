"""The ranker's parts: grades, pair features, candidates, and what it does where there is little to go by."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from tastemaker.errors import ArtifactError, PluginError
from tastemaker.plugins import Batch, Events, History, TrainingData, discovery
from tastemaker_ranker.candidates import Candidates
from tastemaker_ranker.features import DAY, columns, item_statistics, pair_features
from tastemaker_ranker.ranker import Ranker, RankerConfig
from tastemaker_ranker.training_set import TrainingSet
from tastemaker_ranker.trees import GRADES, Ensemble, grade, train

SMALL = RankerConfig(retrievers=("bought_again", "popularity"), trees=5, min_leaf_rows=2, label_days=10)


def events(rows: list[tuple[int, int, float, int]]) -> Events:
    users, items, rewards, times = (np.array(column) for column in zip(*rows, strict=True))
    return Events(users.astype(np.int32), items.astype(np.int32), rewards.astype(np.float32), times)


def shop(n_users: int = 40, n_items: int = 30, repeats: bool = True) -> TrainingData:
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 100 * DAY, 1_500))
    users, items = (rng.integers(0, n, 1_500, dtype=np.int32) for n in (n_users, n_items))
    return TrainingData(
        Events(users, items, np.ones(1_500, np.float32), times), n_users, n_items, 100 * DAY, repeats
    )


def requests(data: TrainingData, **parts: object) -> Batch:
    users = np.append(np.arange(data.n_users), -1).astype(np.int32)
    return Batch(users, data.history[users], np.arange(len(users), dtype=np.uint64), data.end, **parts)  # type: ignore[arg-type]


@given(
    arrays.arrays(
        np.float32, st.integers(1, 60), elements=st.sampled_from([0, 0.5, 1, 2, 2.5, 9, 1e4])
    ).filter(np.any)
)
def test_grades_keep_the_order_of_rewards_and_gains_are_their_means(rewards: np.ndarray) -> None:
    labels, gains = grade(rewards)

    order = np.argsort(rewards, kind="stable")
    assert (np.diff(labels[order]) >= 0).all()
    assert (labels == 0).tolist() == (rewards == 0).tolist()
    assert labels.max() <= GRADES
    assert (np.diff(gains) > 0).all()
    # the gains add up to what the rewards add up to, in units of the lowest grade's mean
    unit = rewards[labels == 1].mean(dtype=np.float64)
    assert gains[labels].sum() * unit == pytest.approx(rewards.sum(dtype=np.float64))


@given(
    arrays.arrays(
        np.float32, st.integers(2, 60), elements=st.sampled_from([-40, -1, -0.25, 0, 0.5, 2, 1e4])
    ).filter(lambda rewards: (rewards > 0).any() and (rewards < 0).any())
)
def test_negative_rewards_have_a_grade_below_zero_reward(rewards: np.ndarray) -> None:
    """Above it, grades and the distances of their gains are those of the same rewards without the harm."""
    labels, gains = grade(rewards)
    plain, plain_gains = grade(np.maximum(rewards, 0))
    np.testing.assert_array_equal(labels, np.where(rewards < 0, 0, plain + 1))
    np.testing.assert_allclose(np.diff(gains[1:]), np.diff(plain_gains))
    unit = rewards[plain == 1].mean(dtype=np.float64)
    assert gains[0] == 0
    assert gains[1] == pytest.approx(-rewards[rewards < 0].mean(dtype=np.float64) / unit)


def test_trees_do_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(4_000, 6)).astype(np.float32)
    rewards = np.where(rng.random(4_000) < 0.2, np.exp2(np.round(features[:, 0])), 0).astype(np.float32)
    training_set = TrainingSet(features, rewards, np.full(40, 100))

    one, four = (
        Ensemble.of(train(training_set, list("abcdef"), {"num_threads": n}, 20), 6).score(features)
        for n in (1, 4)
    )

    np.testing.assert_array_equal(one, four)


def test_pair_features_by_hand() -> None:
    past = events([(0, 1, 2.0, 0), (0, 1, 4.0, 2 * DAY), (0, 2, 2.0, 4 * DAY), (1, 2, 1.0, 50 * DAY)])
    data = TrainingData(past, 2, 4, 60 * DAY)
    batch = Batch(
        np.array([0, -1], np.int32), data.history[np.array([0, -1])], np.zeros(2, np.uint64), 60 * DAY
    )
    scores = np.array([[1.0], [0.5], [np.nan]], np.float32)
    candidates = Candidates(np.array([0, 0, 1]), np.array([1, 3, 2], np.int32), scores, scores)

    features = pair_features(candidates, batch, item_statistics(data), ("u",), ("i",))

    names = columns(("one",), ("u",), ("i",))
    row = dict(zip(names, features.T.tolist(), strict=True))
    nan = pytest.approx(np.nan, nan_ok=True)
    assert row["pair_events"] == [2, 0, 0]
    assert row["pair_events_share"] == pytest.approx([2 / 3, 0, 0])
    assert row["pair_reward_share"] == pytest.approx([6 / 8, 0, 0])
    assert row["pair_since_last_days"] == [58, nan, nan]
    assert row["row_events"] == [3, 3, 0]
    assert row["row_items"] == [2, 2, 0]
    assert row["row_since_last_days"] == [56, 56, nan]
    assert row["item_events_share"] == [0.5, 0, 0.5]
    assert row["item_users_share"] == [0.5, 0, 1]
    assert row["item_events_per_user"] == [2, 0, 1]
    assert row["item_recent_share"] == [0, 0, 1]
    assert row["one_score"] == [1, 0.5, nan]
    assert row["u"] + row["i"] == [nan] * 6


def test_short_lists_are_filled_by_popularity_below_the_candidates() -> None:
    data = shop()
    config = SMALL.model_copy(update={"depth": 2, "retrievers": ("popularity",)})
    ranking = Ranker(config).fit(data).recommend(requests(data), data.n_items + 5)

    popularity = np.bincount(data.events.items, minlength=data.n_items)
    for items, scores in zip(ranking.items, ranking.scores, strict=True):
        assert sorted(items) == [-1] * 5 + list(range(data.n_items))
        assert (np.diff(scores[: data.n_items]) <= 0).all()
        assert (np.diff(popularity[items[2 : data.n_items]]) <= 0).all()


def test_lists_are_filled_with_allowed_items_only() -> None:
    data = shop()
    available = np.arange(data.n_items) % 2 == 0
    batch = requests(
        data, available=available, excluded=data.history[requests(data).users].matrix().astype(np.bool_)
    )
    ranking = Ranker(SMALL.model_copy(update={"depth": 1})).fit(data).recommend(batch, 10)

    rows, at = np.nonzero(ranking.items >= 0)
    items = ranking.items[rows, at]
    assert available[items].all()
    assert not batch.excluded.toarray()[rows, items].any()  # type: ignore[union-attr]
    allowed = available & ~batch.excluded.toarray()  # type: ignore[union-attr]
    assert ((ranking.items >= 0).sum(axis=1) == np.minimum(allowed.sum(axis=1), 10)).all()


@pytest.mark.parametrize(
    "rows", [[(0, 0, 1.0, 5)], [(0, 0, 1.0, 5), (0, 1, 1.0, 5)], [(u, 0, 0.0, u * DAY) for u in range(9)]]
)
def test_without_labels_the_first_retriever_ranks(
    rows: list[tuple[int, int, float, int]], caplog: pytest.LogCaptureFixture
) -> None:
    data = TrainingData(events(rows), 9, 4, rows[-1][3] + 1)
    model = Ranker(SMALL).fit(data)

    items = model.recommend(requests(data), 4).items

    first = discovery.get("bought_again").recommender().fit(data).recommend(requests(data), 4).items
    np.testing.assert_array_equal(items, first)
    assert "only bought_again ranks" in caplog.text


def test_recommend_works_in_a_shop_without_events() -> None:
    none = Events(
        np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64)
    )
    model = Ranker(SMALL).fit(TrainingData(none, 0, 1, 0))
    batch = Batch(np.array([-1], np.int32), History.empty(1, 1), np.zeros(1, np.uint64), 0)

    assert model.recommend(batch, 3).items.tolist() == [[0, -1, -1]]


def test_a_missing_retriever_is_named() -> None:
    with pytest.raises(PluginError, match=r"the ranker's retriever no_such_model can't be used"):
        Ranker(SMALL.model_copy(update={"retrievers": ("no_such_model",)})).fit(shop())


@pytest.mark.parametrize(
    ("retrievers", "message"),
    [
        (("ranker",), "can't be a retriever of itself"),
        (("popularity", "popularity"), "named twice"),
        ((), "at least 1"),
    ],
)
def test_invalid_retrievers_are_refused(retrievers: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RankerConfig(retrievers=retrievers)


def test_an_artifact_is_arrays_json_text_and_a_graph(tmp_path: Path) -> None:
    Ranker(SMALL).fit(shop()).save(tmp_path)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".npy", ".json", ".txt", ".onnx"}
    for path in files:
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)


@pytest.mark.parametrize("damage", ["", "no trees", "tree\nversion=v4\n", "half", "binary"])
def test_damaged_trees_are_refused(tmp_path: Path, damage: str) -> None:
    Ranker(SMALL).fit(shop()).save(tmp_path)
    path = tmp_path / "trees.txt"
    whole = path.read_bytes()
    path.write_bytes({"half": whole[: len(whole) // 2], "binary": b"\xff\xfe"}.get(damage, damage.encode()))

    with pytest.raises(ArtifactError, match=r"trees\.txt"):
        Ranker.load(tmp_path, SMALL)


def test_trees_of_other_columns_are_refused(tmp_path: Path) -> None:
    data = shop()
    Ranker(SMALL).fit(data).save(tmp_path)
    fewer = SMALL.model_copy(update={"retrievers": ("popularity",)})

    with pytest.raises(ArtifactError, match="no ranking trees for"):
        Ranker.load(tmp_path, fewer)
