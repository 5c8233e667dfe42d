"""Selection and history, held against slow and obvious versions of themselves."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from tastemaker.errors import PluginError
from tastemaker.plugins import (
    NO_ITEM,
    Batch,
    Events,
    FeatureTable,
    History,
    Ranking,
    TrainingData,
    select,
    select_rows,
)
from tastemaker.plugins import selection as module
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.selection import ScoresError, best_columns, forbid


def batch_of(n: int, n_items: int, **restrictions: Any) -> Batch:
    return Batch(
        np.arange(n, dtype=np.int32),
        History.empty(n, n_items),
        np.arange(n, dtype=np.uint64),
        0,
        **restrictions,
    )


def obvious(scores: Float32, batch: Batch, k: int) -> Ranking:
    """The definition, one row at a time, in Python."""
    n, n_items = scores.shape
    ranking = module.empty_ranking(n, k)
    for row in range(n):
        allowed = set(range(n_items))
        if batch.candidates is not None:
            allowed &= set(batch.candidates[row].tolist())
        if batch.excluded is not None:
            allowed -= set(np.nonzero(batch.excluded.toarray()[row])[0].tolist())
        if batch.available is not None:
            allowed &= set(np.nonzero(batch.available)[0].tolist())
        best = sorted(allowed, key=lambda item: (-scores[row, item], item))[:k]
        ranking.items[row, : len(best)] = best
        ranking.scores[row, : len(best)] = scores[row, best]
        ranking.propensities[row, : len(best)] = 1
    return ranking


@st.composite
def requests(draw: st.DrawFn) -> tuple[Float32, Batch, int]:
    n, n_items = draw(st.integers(0, 4)), draw(st.integers(1, 40))
    values = st.sampled_from([-2.5, -1.0, -0.0, 0.0, 1e-30, 0.5, 1.0, 3e38])  # few values: many ties
    scores = draw(hnp.arrays(np.float32, (n, n_items), elements=values))
    restrictions: dict[str, Any] = {}
    if draw(st.booleans()):
        width = draw(st.integers(0, 12))
        restrictions["candidates"] = draw(
            hnp.arrays(np.int32, (n, width), elements=st.integers(-1, n_items - 1))
        )
    if draw(st.booleans()):
        restrictions["excluded"] = csr_array(draw(hnp.arrays(np.bool_, (n, n_items))))
    if draw(st.booleans()):
        restrictions["available"] = draw(hnp.arrays(np.bool_, n_items))
    return scores, batch_of(n, n_items, **restrictions), draw(st.integers(0, 50))


@given(requests())
def test_select_equals_a_sort(request_: tuple[Float32, Batch, int]) -> None:
    scores, batch, k = request_
    expected = obvious(scores, batch, k)
    for found, wanted in zip(select(scores.copy(), batch, k), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@given(requests(), st.integers(1, 100))
def test_threads_do_not_change_the_ranking(request_: tuple[Float32, Batch, int], at_once: int) -> None:
    scores, batch, k = request_
    expected = obvious(scores, batch, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AT_ONCE", at_once)
        patch.setattr(module, "ROWS", 1)
        found = select_rows(lambda rows: scores[rows].copy(), batch, k)
    for ours, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_scores_that_fail_in_a_thread_fail_the_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(rows: slice) -> Float32:
        if rows.start:
            raise ZeroDivisionError(f"row {rows.start}")
        return np.zeros((1, 4), np.float32)

    monkeypatch.setattr(module, "AT_ONCE", 4)
    monkeypatch.setattr(module, "ROWS", 1)
    with pytest.raises(ZeroDivisionError, match="row 1"):
        select_rows(score, batch_of(8, 4), 2)


@given(requests())
def test_forbid_keeps_the_scores_of_allowed_items(request_: tuple[Float32, Batch, int]) -> None:
    scores, batch, _ = request_
    ranking = obvious(scores, batch, scores.shape[1])
    forbid(scores, batch)
    allowed = [set(np.nonzero(np.isfinite(row))[0].tolist()) for row in scores]
    assert allowed == [set(items[items != NO_ITEM].tolist()) for items in ranking.items]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 7, -1], ids=["excluded", "allowed", "last"])
@pytest.mark.parametrize("n_items", [50, 5003])
@pytest.mark.parametrize("available", [False, True], ids=["all", "some available"])
def test_a_score_that_is_not_finite_is_refused_wherever_it_is(
    bad: float, column: int, n_items: int, available: bool
) -> None:
    """Also where the item may not be shown: its score is of no use, but shows that the model has a fault."""
    scores = np.random.default_rng(0).random((3, n_items), np.float32)
    scores[1, column] = bad
    excluded = csr_array((np.ones(1, np.bool_), ([1], [0])), shape=scores.shape)
    batch = batch_of(
        3, n_items, excluded=excluded, available=np.arange(n_items) % 5 != 2 if available else None
    )
    with pytest.raises(ScoresError, match=f"1 of {scores.size:,} scores are {bad}, must be finite"):
        select_rows(scores.__getitem__, batch, 10)


@pytest.mark.parametrize(("width", "k"), [(2049, 1), (5003, 10), (5003, 300), (5003, 5003), (70_001, 7)])
@pytest.mark.parametrize("levels", [1, 2, 1000, 2**24])
def test_wide_rows_are_sorted_exactly(width: int, k: int, levels: int) -> None:
    """Rows wide enough to be cut into blocks, also where nearly everything ties."""
    scores = np.random.default_rng(width).integers(0, levels, (5, width)).astype(np.float32)
    expected = np.lexsort((np.broadcast_to(np.arange(width), scores.shape), -scores), axis=1)[:, :k]
    np.testing.assert_array_equal(best_columns(scores, k), expected)


@pytest.mark.parametrize("width", [0, 10, 5003], ids=["no column", "sorted", "in blocks"])
@pytest.mark.parametrize("n", [0, 3])
def test_no_column_is_the_best_of_none(n: int, width: int) -> None:
    scores = np.zeros((n, width), np.float32)
    assert best_columns(scores, 0).shape == (n, 0)
    assert select(scores, batch_of(n, width), 0).items.shape == (n, 0)
    with pytest.raises(PluginError, match="k, the length of the lists, is -1, must be at least 0"):
        best_columns(scores, -1)
    with pytest.raises(PluginError, match="k, the length of the lists, is -1, must be at least 0"):
        select(scores, batch_of(n, width), -1)


def test_scores_are_checked_for_empty_lists_too() -> None:
    with pytest.raises(ScoresError, match="1 of 2 scores are nan"):
        best_columns(np.array([[0, np.nan]], np.float32), 0)


@settings(max_examples=150)
@given(
    n=st.integers(0, 6),
    width=st.integers(1, 700),
    k=st.integers(0, 40),
    levels=st.sampled_from([1, 2, 30, 2**20]),
    ruled_out=st.sampled_from([0.0, 0.02, 0.5, 0.99, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_blocks_select_what_a_sort_selects(
    n: int, width: int, k: int, levels: int, ruled_out: float, seed: int
) -> None:
    """Ties, negative scores and rows with fewer allowed columns than k among them."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels, levels, (n, width)).astype(np.float32)
    scores[rng.random((n, width)) < ruled_out] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", 0)
        np.testing.assert_array_equal(best_columns(scores, k), expected)


def some_events(rng: np.random.Generator, n: int, n_users: int, n_items: int) -> Events:
    return Events(
        rng.integers(0, n_users, n).astype(np.int32),
        rng.integers(0, n_items, n).astype(np.int32),
        rng.normal(size=n).astype(np.float32),
        np.sort(rng.integers(0, 1000, n)),
    )


@pytest.mark.parametrize("n", [0, 1, 200])
def test_history_sums_each_pair(n: int) -> None:
    """Against a dictionary."""
    events = some_events(np.random.default_rng(n), n, n_users=7, n_items=5)
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, pair in enumerate(zip(events.users.tolist(), events.items.tolist(), strict=True)):
        pairs[pair].append(index)
    history = History.from_events(events, 7, 5)
    assert list(zip(history.rows.tolist(), history.items.tolist(), strict=True)) == sorted(pairs)
    for at, pair in enumerate(sorted(pairs)):
        assert history.counts[at] == len(pairs[pair])
        assert history.last_times[at] == events.times[pairs[pair]].max()
        assert history.rewards[at] == pytest.approx(events.rewards[pairs[pair]].sum(), abs=1e-5)


def test_history_rows_can_be_picked_in_any_order() -> None:
    history = History.from_events(some_events(np.random.default_rng(2), 60, 6, 8), 6, 8)
    picked = history[np.array([4, -1, 0, 4])]
    dense = history.matrix().toarray()
    np.testing.assert_array_equal(picked.matrix().toarray(), dense[[4, 0, 0, 4]] * [[1], [0], [1], [1]])
    np.testing.assert_array_equal(history[1:5:2].matrix().toarray(), dense[1:5:2])
    assert len(History.empty(3, 8)[np.array([-1])].items) == 0


def test_batch_rows_are_batches() -> None:
    data = TrainingData(some_events(np.random.default_rng(3), 60, 6, 8), 6, 8, end=1000)
    batch = Batch(
        np.array([0, 3, -1], np.int32),
        data.history[np.array([0, 3, -1])],
        np.arange(3, dtype=np.uint64),
        now=1000,
        candidates=np.arange(6, dtype=np.int32).reshape(3, 2),
        excluded=csr_array(np.eye(3, 8, dtype=np.bool_)),
        user_features=FeatureTable(("age_days",), np.arange(3, dtype=np.float32)[:, None]),
    )
    part = batch[np.array([2, 0])]
    assert part.users.tolist() == [-1, 0]
    assert part.history.lengths.tolist() == [0, data.history.lengths[0]]
    assert part.candidates is not None
    assert part.candidates.tolist() == [[4, 5], [0, 1]]
    assert part.excluded is not None
    assert part.excluded.toarray().nonzero()[1].tolist() == [2, 0]
    assert part.user_features is not None
    assert part.user_features.values.tolist() == [[2], [0]]


def test_training_data_before_a_time_has_no_later_event() -> None:
    data = TrainingData(some_events(np.random.default_rng(4), 60, 6, 8), 6, 8, end=1000)
    earlier = data.before(500)
    assert earlier.end == 500
    assert (earlier.events.times < 500).all()
    assert earlier.events.count == (data.events.times < 500).sum()


def test_unknown_rows_of_a_feature_table_are_missing_even_from_an_empty_one() -> None:
    table = FeatureTable(("a", "b"), np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(table[np.array([1, -1])].values, [[3, 4], [np.nan, np.nan]])
    empty = FeatureTable(("a",), np.empty((0, 1), np.float32))
    assert np.isnan(empty[np.array([-1, -1])].values).all()
    assert table.select(["b"])[1:].values.tolist() == [[4]]
    with pytest.raises(PluginError, match="no feature named c"):
        table.select(["c"])
