"""The metrics against plain loops over the same lists, one a library's variant, and against implicit itself.

Where a variant is ours, the figures are the same to 1e-9. Where it is not, the test's docstring says how it
differs, and the two agree once that is undone. Of these libraries only implicit fits the platform's
environment; the loops are written from the definitions of the others, and ranx's own figures stand below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix

from tastemaker.evaluation import metrics
from tastemaker.evaluation.item_statistics import ItemStatistics
from tastemaker.evaluation.metrics import HITS, RankedLists
from tastemaker.plugins import Events, TrainingData

EXACT = 1e-9
Relevance = dict[int, float]
Loop = Callable[[Sequence[int], Relevance], float]


def _world(
    seed: int, n: int, n_items: int, k: int, density: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Random lists, some of them short, and rewards, some of them 0."""
    rng = np.random.default_rng(seed)
    lists = np.argsort(rng.random((n, n_items)), axis=1)[:, :k].astype(np.int32)
    lengths = np.where(rng.random(n) < 0.2, rng.integers(0, k + 1, n), k)
    lists[np.arange(lists.shape[1]) >= lengths[:, None]] = -1
    rewards = np.where(rng.random((n, n_items)) < density, rng.exponential(3, (n, n_items)), 0.0)
    rewards[rewards.sum(axis=1) == 0, 0] = 1.0
    return lists, rewards.astype(np.float32).astype(np.float64)


WORLDS = {
    "fewer wanted than shown": _world(0, 60, 50, 10, 0.05),
    "more wanted than shown": _world(1, 60, 50, 10, 0.6),
    "one place": _world(2, 60, 20, 1, 0.3),
    "the whole catalogue": _world(3, 40, 12, 12, 0.3),
}


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> tuple[RankedLists, list[list[int]], list[Relevance]]:
    lists, rewards = WORLDS[request.param]
    n_items = rewards.shape[1]
    one = Events(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.float32), np.zeros(1, np.int64))
    ranked = RankedLists(lists, csr_array(rewards), ItemStatistics(TrainingData(one, 1, n_items, 1)))
    shown = [[item for item in row if item >= 0] for row in lists.tolist()]
    wanted = [{item: worth for item, worth in enumerate(row) if worth > 0} for row in rewards.tolist()]
    return ranked, shown, wanted


def loop(measure: Loop, shown: list[list[int]], wanted: list[Relevance]) -> NDArray[np.float64]:
    return np.array([measure(items, relevant) for items, relevant in zip(shown, wanted, strict=True)])


RANX = {
    "fewer wanted than shown": {
        "ndcg": 0.09103818458951306,
        "mrr": 0.09049603174603174,
        "hit_rate": 0.35,
        "map": 0.04573082010582011,
        "recall": 0.16865079365079363,
    },
    "more wanted than shown": {
        "ndcg": 0.5621811455022832,
        "mrr": 0.7547222222222222,
        "hit_rate": 1.0,
        "map": 0.13139508893722682,
        "recall": 0.1871346697077193,
    },
    "one place": {
        "ndcg": 0.3269230769230769,
        "mrr": 0.3269230769230769,
        "hit_rate": 0.3269230769230769,
        "map": 0.06552960927960928,
        "recall": 0.06552960927960928,
    },
    "the whole catalogue": {
        "ndcg": 0.5644685893295905,
        "mrr": 0.43937728937728937,
        "hit_rate": 0.9230769230769231,
        "map": 0.38512705548419834,
        "recall": 0.9128205128205129,
    },
}
"""What ranx 0.3.21 itself said of these lists, in an environment of its own with numpy 1.26: means over the
users with a list that is not empty, gains of 1."""


def test_ranx_itself(
    world: tuple[RankedLists, list[list[int]], list[Relevance]], request: pytest.FixtureRequest
) -> None:
    """ranx divides recall and MAP by |R|, ours by min(|R|, k)."""
    ranked, _, _ = world
    theirs = RANX[request.node.callspec.params["world"]]
    some = ranked.shown.any(axis=1)
    for name, expected in theirs.items():
        ours = HITS[name](ranked)
        if name in ("recall", "map"):
            ours = ours * ranked.reachable / ranked.wanted
        assert ours[some].mean() == pytest.approx(expected, abs=EXACT), name


def test_hit_rate_as_ranx(world: tuple[RankedLists, list[list[int]], list[Relevance]]) -> None:
    """ranx `hit_rate`, RecTools `HitRate`: 1 if anything is hit."""
    ranked, shown, wanted = world

    def hit_rate(items: Sequence[int], relevant: Relevance) -> float:
        for item in items:
            if item in relevant:
                return 1.0
        return 0.0

    np.testing.assert_allclose(metrics.hit_rate(ranked), loop(hit_rate, shown, wanted), rtol=0, atol=EXACT)


def test_mrr_as_ranx(world: tuple[RankedLists, list[list[int]], list[Relevance]]) -> None:
    """ranx `mrr`, RecTools `MRR`, trec_eval `recip_rank`: 1 / place of the first hit."""
    ranked, shown, wanted = world

    def reciprocal_rank(items: Sequence[int], relevant: Relevance) -> float:
        for place, item in enumerate(items, start=1):
            if item in relevant:
                return 1.0 / place
        return 0.0

    expected = loop(reciprocal_rank, shown, wanted)
    np.testing.assert_allclose(metrics.reciprocal_rank(ranked), expected, rtol=0, atol=EXACT)


def test_recall_as_ranx_but_for_its_divisor(
    world: tuple[RankedLists, list[list[int]], list[Relevance]],
) -> None:
    """ranx `recall`, RecTools `Recall`: hits / |R|. Ours: hits / min(|R|, k)."""
    ranked, shown, wanted = world

    def recall(items: Sequence[int], relevant: Relevance) -> float:
        return sum(1 for item in items if item in relevant) / len(relevant)

    ours = metrics.recall(ranked) * ranked.reachable / ranked.wanted
    np.testing.assert_allclose(ours, loop(recall, shown, wanted), rtol=0, atol=EXACT)


def test_map_as_ranx_but_for_its_divisor(world: tuple[RankedLists, list[list[int]], list[Relevance]]) -> None:
    """ranx `map`, RecTools `MAP`, trec_eval `map_cut`: Σ precision at hits / |R|. Ours: / min(|R|, k)."""
    ranked, shown, wanted = world

    def average_precision(items: Sequence[int], relevant: Relevance) -> float:
        hits, total = 0, 0.0
        for place, item in enumerate(items, start=1):
            if item in relevant:
                hits += 1
                total += hits / place
        return total / len(relevant)

    ours = metrics.average_precision(ranked) * ranked.reachable / ranked.wanted
    np.testing.assert_allclose(ours, loop(average_precision, shown, wanted), rtol=0, atol=EXACT)


def dcg(gains: Sequence[float]) -> float:
    """Järvelin and Kekäläinen: Σ gain / log₂(place + 1). Burges' 2^gain - 1 is the same for gains 0 and 1."""
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))


def test_ndcg_as_ranx_with_binary_relevance(
    world: tuple[RankedLists, list[list[int]], list[Relevance]],
) -> None:
    """ranx `ndcg`: the ideal list is R, best first, cut at k: min(|R|, k) places. Gains of 1, as ours."""
    ranked, shown, wanted = world
    k = ranked.k

    def ndcg(items: Sequence[int], relevant: Relevance) -> float:
        ideal = sorted((1.0 for _ in relevant), reverse=True)[:k]
        return dcg([1.0 if item in relevant else 0.0 for item in items]) / dcg(ideal)

    np.testing.assert_allclose(metrics.ndcg(ranked), loop(ndcg, shown, wanted), rtol=0, atol=EXACT)


def test_ndcg_as_rectools_but_for_its_ideal(
    world: tuple[RankedLists, list[list[int]], list[Relevance]],
) -> None:
    """RecTools `NDCG` by default: the ideal list has k hits, however many R has."""
    ranked, shown, wanted = world
    k = ranked.k

    def ndcg(items: Sequence[int], relevant: Relevance) -> float:
        return dcg([1.0 if item in relevant else 0.0 for item in items]) / dcg([1.0] * k)

    achievable = np.array([dcg([1.0] * int(best)) for best in ranked.reachable])
    ours = metrics.ndcg(ranked) * achievable / dcg([1.0] * k)
    np.testing.assert_allclose(ours, loop(ndcg, shown, wanted), rtol=0, atol=EXACT)


def test_reward_is_the_cumulative_gain(world: tuple[RankedLists, list[list[int]], list[Relevance]]) -> None:
    """Järvelin and Kekäläinen's CG: the graded gains of what is shown, not discounted."""
    ranked, shown, wanted = world

    def gain(items: Sequence[int], relevant: Relevance) -> float:
        return sum(relevant.get(item, 0.0) for item in items)

    np.testing.assert_allclose(metrics.reward(ranked), loop(gain, shown, wanted), rtol=0, atol=EXACT)


@pytest.mark.parametrize("k", [1, 3, 10, 40])
@pytest.mark.parametrize("density", [0.03, 0.5])
def test_implicit_itself(k: int, density: float) -> None:
    """Its MAP and NDCG are ours; its `precision` is our recall, pooled over users before it divides."""
    from implicit.evaluation import ranking_metrics_at_k

    lists, rewards = _world(k, 200, 60, k, density)
    rng = np.random.default_rng(k)
    lists = np.argsort(rng.random(rewards.shape), axis=1)[:, :k].astype(np.int32)  # implicit wants full lists

    class Fixed:
        def recommend(
            self, userids: NDArray[np.int64], *_args: object, **_options: object
        ) -> tuple[object, None]:
            return lists[userids], None

    theirs = ranking_metrics_at_k(
        Fixed(), csr_matrix(rewards.shape), csr_matrix(rewards), K=k, show_progress=False, num_threads=1
    )
    one = Events(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.float32), np.zeros(1, np.int64))
    ranked = RankedLists(lists, csr_array(rewards), ItemStatistics(TrainingData(one, 1, rewards.shape[1], 1)))
    assert metrics.average_precision(ranked).mean() == pytest.approx(theirs["map"], abs=EXACT)
    assert metrics.ndcg(ranked).mean() == pytest.approx(theirs["ndcg"], abs=EXACT)
    assert ranked.hits.sum() / ranked.reachable.sum() == pytest.approx(theirs["precision"], abs=EXACT)


def test_no_metric_of_hits_is_left_out() -> None:
    assert set(HITS) == {"ndcg", "recall", "map", "mrr", "hit_rate", "reward"}
