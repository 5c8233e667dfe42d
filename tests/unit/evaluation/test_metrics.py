"""The metrics against answers worked by hand, plain Python, and implicit."""

from __future__ import annotations

import math
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix

from tastemaker.evaluation import metrics
from tastemaker.evaluation.item_statistics import ItemStatistics
from tastemaker.evaluation.metrics import METRICS, RankedLists
from tastemaker.plugins import Events, TrainingData
from tastemaker.problem import Metric
from tastemaker.stats.bootstrap import intervals, paired_difference


def training(users: list[int], items: list[int], n_users: int, n_items: int) -> TrainingData:
    m = len(users)
    events = Events(
        np.array(users, np.int32),
        np.array(items, np.int32),
        np.ones(m, np.float32),
        np.arange(m, dtype=np.int64),
    )
    return TrainingData(events, n_users, n_items, m + 1)


def ranked_lists(
    items: list[list[int]], relevant: list[list[float]], catalogue: ItemStatistics | None = None
) -> RankedLists:
    rewards = np.array(relevant, np.float32)
    known = catalogue or ItemStatistics(training([0], [0], 1, rewards.shape[1]))
    return RankedLists(np.array(items, np.int32), csr_array(rewards), known)


ONE = ranked_lists([[3, 0, 2, 4]], [[5.0, 0, 1.5, 0, 0, 2.0, 1.0]])
"""One list of 4: the hits are in places 2 and 3; four items were relevant."""


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("recall", 2 / 4),
        ("ndcg", (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5))),
        ("map", (1 / 2 + 2 / 3) / 4),
        ("mrr", 1 / 2),
        ("hit_rate", 1.0),
        ("reward", 6.5),
    ],
)
def test_by_hand(metric: str, expected: float) -> None:
    per_user = METRICS[metric].per_user
    assert per_user is not None
    np.testing.assert_allclose(per_user(ONE), [expected], rtol=1e-12)


def test_a_list_longer_than_what_is_relevant_can_be_perfect() -> None:
    perfect = ranked_lists([[1, 0, 2]], [[0, 3.0, 0]])
    for metric in ("recall", "ndcg", "map", "mrr", "hit_rate"):
        per_user = METRICS[metric].per_user
        assert per_user is not None
        assert per_user(perfect).tolist() == [1.0], metric


def test_nothing_relevant_and_nothing_shown_score_zero() -> None:
    ranked = ranked_lists([[0, 1], [-1, -1]], [[0, 0, 0], [1, 0, 0]])
    for name, metric in METRICS.items():
        if metric.per_user:
            scores = metric.per_user(ranked)
            assert np.isfinite(scores).all(), name
            assert scores[1] == 0, name


def test_an_item_that_came_back_counts_against_the_reward_and_is_not_a_hit() -> None:
    ranked = ranked_lists([[0, 1]], [[-2.0, 5.0]])
    assert metrics.reward(ranked).tolist() == [3.0]
    assert metrics.recall(ranked).tolist() == [1.0]


def plain(items: list[int], rewards: list[float]) -> dict[str, float]:
    """The definitions in plain Python."""
    k = len(items)
    relevant = {item for item, reward in enumerate(rewards) if reward > 0}
    ideal = min(len(relevant), k)
    hits = [item in relevant for item in items]
    if not ideal:
        return dict.fromkeys(("recall", "ndcg", "map", "mrr", "hit_rate", "reward"), 0.0)
    gains = sum(hit / math.log2(j + 2) for j, hit in enumerate(hits))
    return {
        "recall": sum(hits) / ideal,
        "ndcg": gains / sum(1 / math.log2(j + 2) for j in range(ideal)),
        "map": sum(hit * sum(hits[: j + 1]) / (j + 1) for j, hit in enumerate(hits)) / ideal,
        "mrr": 1 / (hits.index(True) + 1) if any(hits) else 0.0,
        "hit_rate": float(any(hits)),
        "reward": sum(rewards[item] for item in items if item >= 0),
    }


@given(st.data())
def test_equals_plain_python(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(1, 12))
    k = data.draw(st.integers(1, 15))
    rows = data.draw(st.integers(1, 4))
    lists, rewards = [], []
    for _ in range(rows):
        order = data.draw(st.permutations(range(n_items)))
        shown = data.draw(st.integers(0, min(k, n_items)))
        lists.append(order[:shown] + [-1] * (k - shown))
        rewards.append(
            data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 4.0]), min_size=n_items, max_size=n_items))
        )
    ranked = ranked_lists(lists, rewards)
    for row, (items, worth) in enumerate(zip(lists, rewards, strict=True)):
        for name, expected in plain(items, worth).items():
            per_user = METRICS[name].per_user
            assert per_user is not None
            assert per_user(ranked)[row] == pytest.approx(expected, abs=1e-12), name


@given(
    shape=st.tuples(
        st.integers(0, 5), st.sampled_from([1, 20, metrics.TABLE_WIDTH, 3 * metrics.TABLE_WIDTH + 1])
    ),
    k=st.integers(0, 30),
    density=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_entries_are_those_of_the_dense_matrix(
    shape: tuple[int, int], k: int, density: float, seed: int
) -> None:
    """Also where several columns share a place in the table, which holds two rows at a time."""
    rng = np.random.default_rng(seed)
    dense = rng.integers(-3, 4, shape) * (rng.random(shape) < density)
    columns = rng.integers(0, shape[1], (shape[0], k)).astype(np.int32)
    for dtype in (np.bool_, np.float32):
        matrix = dense.astype(dtype)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(metrics, "TABLE_ROWS", 2)
            found = metrics.entries(csr_array(matrix), columns)
        np.testing.assert_array_equal(found, np.take_along_axis(matrix, columns, axis=1), strict=True)


@pytest.mark.parametrize("column", [-1, 3, 3 + metrics.TABLE_WIDTH])
def test_an_entry_of_a_column_that_does_not_exist_is_an_error(column: int) -> None:
    with pytest.raises(IndexError, match="from 0 to 2"):
        metrics.entries(csr_array(np.zeros((1, 3))), np.array([[0, column]], np.int32))


def test_equals_implicit() -> None:
    """implicit's `precision` divides by min(|R|, k): our recall. Its MAP and NDCG are ours."""
    from implicit.evaluation import ranking_metrics_at_k

    rng = np.random.default_rng(1)
    n, n_items, k = 300, 80, 10
    lists = np.argsort(rng.random((n, n_items)), axis=1)[:, :k].astype(np.int32)
    rewards = np.where(rng.random((n, n_items)) < 0.15, 1.0, 0.0)
    rewards[:, 0] = 1

    class Fixed:
        def recommend(
            self, userids: NDArray[np.int64], *_args: object, **_options: object
        ) -> tuple[object, None]:
            return lists[userids], None

    seen = csr_matrix((n, n_items))
    theirs = ranking_metrics_at_k(Fixed(), seen, csr_matrix(rewards), K=k, show_progress=False, num_threads=1)
    ranked = RankedLists(lists, csr_array(rewards), ItemStatistics(training([0], [0], 1, n_items)))
    assert metrics.average_precision(ranked).mean() == pytest.approx(theirs["map"], abs=1e-9)
    assert metrics.ndcg(ranked).mean() == pytest.approx(theirs["ndcg"], abs=1e-9)
    hits, best = ranked.hits.sum(), ranked.reachable.sum()  # implicit pools over users before it divides
    assert hits / best == pytest.approx(theirs["precision"], abs=1e-9)


CATALOGUE = training([0, 1, 2, 0, 1, 0], [0, 0, 0, 1, 1, 2], n_users=3, n_items=4)
"""Item 0 was had by three users of three, item 1 by two, item 2 by one, item 3 by none."""


def test_novelty_and_popularity_by_hand() -> None:
    ranked = ranked_lists([[0, 3], [2, -1]], [[0.0] * 4] * 2, ItemStatistics(CATALOGUE))
    bits = [0.0, -math.log2(3 / 4), 1.0, 2.0]
    np.testing.assert_allclose(metrics.novelty(ranked), [(bits[0] + bits[3]) / 2, bits[2]])
    np.testing.assert_allclose(metrics.popularity_bias(ranked), [(7 / 8 + 1 / 8) / 2, 3 / 8])


def test_a_repeated_purchase_is_not_a_second_user() -> None:
    once, often = training([0, 1], [0, 1], 2, 2), training([0, 0, 0, 1], [0, 0, 0, 1], 2, 2)
    np.testing.assert_array_equal(
        ItemStatistics(once).self_information, ItemStatistics(often).self_information
    )


def test_popularity_of_the_whole_catalogue_averages_one_half() -> None:
    data = training([0, 1, 2, 0, 1, 0, 3], [0, 0, 0, 1, 1, 5, 6], 4, 9)
    assert ItemStatistics(data).popularity.mean() == pytest.approx(0.5, abs=1e-12)


def cosine(data: TrainingData, i: int, j: int) -> float:
    users = [
        {int(u) for u, item in zip(data.events.users, data.events.items, strict=True) if item == one}
        for one in (i, j)
    ]
    size = math.sqrt(len(users[0]) * len(users[1]))
    return len(users[0] & users[1]) / size if size else 0.0


@pytest.mark.parametrize(("n_users", "n_items"), [(30, 12), (12, 90), (200, 60)])
def test_diversity_is_exact_where_the_rank_is_small(n_users: int, n_items: int) -> None:
    rng = np.random.default_rng(2)
    m = 5 * n_users
    data = training(
        rng.integers(0, n_users, m).tolist(), rng.integers(0, n_items, m).tolist(), n_users, n_items
    )
    lists = np.argsort(rng.random((7, n_items)), axis=1)[:, :6].astype(np.int32)
    lists[0, 2:] = -1
    lists[1, 1:] = -1
    ranked = RankedLists(lists, csr_array((7, n_items)), ItemStatistics(data))
    expected = []
    for row in lists.tolist():
        pairs = [cosine(data, i, j) for i, j in combinations([item for item in row if item >= 0], 2)]
        expected.append(1 - sum(pairs) / len(pairs) if pairs else 0.0)
    np.testing.assert_allclose(metrics.diversity(ranked), expected, atol=1e-9)


def test_coverage_has_the_jackknife_for_its_spread() -> None:
    rng = np.random.default_rng(3)
    n, n_items, k = 40, 100, 3
    lists = np.argsort(rng.random((n, n_items)), axis=1)[:, :k]
    exposures = np.bincount(lists.ravel(), minlength=n_items)
    shown_to = np.zeros(n_items, np.int64)
    shown_to[lists] = np.arange(n)[:, None]
    values = metrics.coverage(exposures, shown_to, n, n_items)
    left_out = np.array([len(np.unique(np.delete(lists, one, axis=0))) / n_items for one in range(n)])
    jackknife = (n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()
    assert values.mean() == pytest.approx(len(np.unique(lists)) / n_items, abs=1e-12)
    assert values.var() / n == pytest.approx(jackknife * (n - 1) / n, rel=1e-9)
    (interval,) = intervals(values[:, None])
    assert interval.low < interval.value < interval.high
    assert paired_difference(values, values) == (0.0, 0.0, 0.0, n)


def test_everything_that_a_problem_can_name_is_here() -> None:
    assert set(METRICS) == set(get_args(Metric))
