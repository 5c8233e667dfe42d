"""The order of ranking, and what a failing row costs the others of its batch."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from support import served_homes
from tastemaker.api.schemas import Request
from tastemaker.event_log.records import ItemRecord
from tastemaker.plugins import Batch, History
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.serving.ranking.sound_rows import Row
from tastemaker.serving.ranking.stages import RankedBatch, RankedList, RequestAbandoned, isolate_failures
from tastemaker.serving.writes import catalog_overrides
from tastemaker.util.failure_log import FailureLog

N = 16


@pytest.fixture(scope="module")
def popularity(tmp_path_factory: pytest.TempPathFactory) -> LoadedVersion:
    return load_version(served_homes.make_home(tmp_path_factory.mktemp("home"))["popularity"].folder)


def batch_of(n: int) -> Batch:
    """Rows that differ by their seed."""
    users = np.full(n, -1, np.int32)
    return Batch(users=users, history=History.empty(n, 3), seeds=np.arange(n, dtype=np.uint64), now=0)


def unused(row: Row | None, batch: Batch, number: int, k: int) -> RankedList:
    raise AssertionError


@pytest.mark.parametrize("failing", [set(), {0}, {5}, {0, 15}, {3, 4, 11}, set(range(N))])
def test_only_the_rows_that_fail_are_lost(failing: set[int]) -> None:
    calls: list[list[int]] = []

    def stage(pipeline: Pipeline, ranked: RankedBatch) -> None:
        rows = ranked.batch.seeds.tolist()
        assert [request.user_id for request in ranked.requests] == [str(row) for row in rows]
        calls.append(rows)
        if failing & set(rows):
            raise SystemExit("a plugin may raise anything")
        ranked.rows = [Row([row], [1.0], [1.0], True) for row in rows]

    failures = FailureLog(logging.getLogger("test"), "again")
    ranked = RankedBatch([Request(str(n), 3) for n in range(N)], batch_of(N), unused, 0.0)
    isolate_failures(stage)(cast(Any, SimpleNamespace(failures=failures)), ranked)
    assert [None if row is None else row.items for row in ranked.rows] == [
        None if n in failing else [n] for n in range(N)
    ]
    assert len(calls) <= 1 + 2 * 4 * len(failing)  # 4 = log2(N)
    assert (failures.trouble is None) == (not failing or N - 1 not in failing)


def test_a_request_that_was_abandoned_ends_the_batch() -> None:
    def stage(pipeline: Pipeline, ranked: RankedBatch) -> None:
        raise RequestAbandoned

    ranked = RankedBatch([Request("a"), Request("b")], batch_of(2), unused, 0.0)
    with pytest.raises(RequestAbandoned):
        isolate_failures(stage)(cast(Any, None), ranked)


def test_a_full_list_gives_up_the_last_item_of_its_last_source() -> None:
    full = RankedList([1, 2, 3, 4], [4.0] * 4, [1.0] * 4, "model", None, filled=[("popular", 2)])
    assert full.without_last(4).items == [1, 2, 3]
    assert full.without_last(4).filled == [("popular", 1)]
    assert full._replace(filled=[("popular", 1)]).without_last(4).filled == []
    assert full.without_last(5) == full, "it has room"


def test_the_order_is_the_documented_one(popularity: LoadedVersion, tmp_path: Path) -> None:
    """A sold out item is filtered first, a gap is filled next, and a new item takes the last place."""
    first, *_ = popularity.snapshot.item_ids.decode(popularity.snapshot.popular[:1])
    changes = [ItemRecord(first, 2e9, available=False), ItemRecord("fresh", 2e9, "Item 1")]
    catalog_overrides.put(tmp_path, changes)
    pipeline = Pipeline(popularity, changes=tmp_path)
    seen: list[tuple[Row | None, int]] = []

    def fill_gap(row: Row | None, batch: Batch, number: int, k: int) -> RankedList:
        assert batch.available is not None
        seen.append((row, int((~batch.available).sum())))
        items = [] if row is None else row.items
        return RankedList([*items, 24][:k], [2.0] * k, [1.0] * k, "model", None)

    snapshot = popularity.snapshot
    batch = snapshot.batch(np.array([-1], np.int32), seeds=np.array([7], np.uint64))
    requests = [Request("unknown", 6)]
    ranked = pipeline.rank(batch, requests, fill_gap)
    row, unavailable = seen[0]
    assert row is not None
    assert unavailable == 1
    assert len(row.items) == 6
    assert int(snapshot.popular[0]) not in row.items
    assert ranked.lists[0].items == row.items[:5]
    assert ranked.lists[0].new is not None
    assert (ranked.lists[0].new.item_id, ranked.lists[0].new.propensity) == ("fresh", 1.0)

    without = pipeline.rank_without_model(batch, requests, fill_gap)
    assert seen[1] == (None, 1)
    assert without.lists[0].items == [24]
    assert without.lists[0].new is not None
    pipeline.close()
