"""The one place that builds a batch, and the snapshot on disk."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.errors import ArtifactError, PluginError
from tastemaker.plugins.arrays import Events, FeatureTable, History
from tastemaker.plugins.recommender import Capabilities
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot

N_ITEMS = 4


def make(*, repeats: bool = True, available: bool = False, features: bool = False) -> Snapshot:
    """User a had items 0 and 2, user b had 1, user c had nothing."""
    events = Events(
        np.array([0, 1, 0], np.int32), np.array([2, 1, 0], np.int32), np.ones(3, np.float32), np.arange(3)
    )
    values = np.arange(8, dtype=np.float32).reshape(N_ITEMS, 2)
    return Snapshot(
        user_ids=IdIndex.build("abc"),
        item_ids=IdIndex.build("0123"),
        history=History.from_events(events, 3, N_ITEMS),
        end=100,
        repeats=repeats,
        available=np.array([True, True, False, True]) if available else None,
        popular=np.array([1, 0, 3], np.int32),
        item_features=FeatureTable(("price", "age_days"), values) if features else None,
        data_hash="abc",
    )


def seeds(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64)


users = st.lists(st.integers(-1, 2), min_size=1, max_size=5)


@given(
    users=users,
    repeats=st.booleans(),
    excluded=st.none() | st.lists(st.lists(st.integers(-1, N_ITEMS - 1), max_size=5), min_size=5, max_size=5),
)
def test_exclusions_of_a_batch(users: list[int], repeats: bool, excluded: list[list[int]] | None) -> None:
    had = {-1: set[int](), 0: {0, 2}, 1: {1}, 2: set[int]()}
    unwanted = None if excluded is None else [np.array(row, np.int32) for row in excluded[: len(users)]]
    batch = make(repeats=repeats).batch(np.array(users, np.int32), seeds=seeds(len(users)), exclude=unwanted)
    expected = np.zeros((len(users), N_ITEMS), np.bool_)
    for row, user in enumerate(users):
        banned = set() if excluded is None else set(excluded[row]) - {-1}
        expected[row, sorted(banned | (set() if repeats else had[user]))] = True
        assert set(batch.history[np.array([row])].items.tolist()) == had[user]
    found = np.zeros_like(expected) if batch.excluded is None else batch.excluded.toarray()
    np.testing.assert_array_equal(found, expected)
    assert (batch.excluded is None) == (repeats and excluded is None)


@given(
    rewards=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]), min_size=4, max_size=4),
    unwanted=st.none() | st.lists(st.integers(-1, N_ITEMS - 1), max_size=3),
)
def test_disliked_items_are_excluded_also_with_repeats(
    rewards: list[float], unwanted: list[int] | None
) -> None:
    """User a has three events with item 2 and one with item 0: the pair's sum decides, not a single event."""
    events = Events(
        np.zeros(4, np.int32),
        np.array([2, 0, 2, 2], np.int32),
        np.array(rewards, np.float32),
        np.arange(4),
    )
    snapshot = dataclasses.replace(make(), history=History.from_events(events, 3, N_ITEMS))
    exclude = None if unwanted is None else [np.array([], np.int32), np.array(unwanted, np.int32)]
    batch = snapshot.batch(np.array([1, 0], np.int32), seeds=seeds(2), exclude=exclude)
    sums = {0: rewards[1], 2: rewards[0] + rewards[2] + rewards[3]}
    expected = {item for item, reward in sums.items() if reward < 0} | set(unwanted or ()) - {-1}
    found = np.zeros((2, N_ITEMS), np.bool_) if batch.excluded is None else batch.excluded.toarray()
    assert [np.flatnonzero(row).tolist() for row in found] == [[], sorted(expected)]


def test_arguments_are_passed_to_the_batch() -> None:
    snapshot = make(available=True)
    candidates, context = np.array([[0, -1]], np.int32), np.ones((1, 3), np.float32)
    batch = snapshot.batch(np.array([0]), seeds=seeds(1), now=123, candidates=candidates, context=context)
    for part, handed in ((batch.candidates, candidates), (batch.context, context)):
        assert part is not None
        assert np.shares_memory(part, handed)
        assert not part.flags.writeable
    assert batch.available is snapshot.available
    assert batch.now == 123
    assert snapshot.batch(np.array([0]), seeds=seeds(1)).now == snapshot.end


def test_features_as_declared() -> None:
    needs = Capabilities(user_features=("spend", "orders"), item_features=("age_days",))
    given = FeatureTable(("orders", "other", "spend"), np.array([[1, 2, 3]], np.float32))
    snapshot = make(features=True)
    batch = snapshot.batch(np.array([0]), seeds=seeds(1), capabilities=needs, user_features=given)
    assert batch.user_features is not None
    assert batch.user_features.values.tolist() == [[3, 1]]
    assert batch.item_features is not None
    assert batch.item_features.values.tolist() == [[1], [3], [5], [7]]
    again = snapshot.batch(np.array([1]), seeds=seeds(1), capabilities=needs)
    assert again.item_features is batch.item_features  # not copied for each request
    assert again.user_features is not None
    assert np.isnan(again.user_features.values).all()
    assert again.user_features.values.shape == (1, 2)


def test_undeclared_features_are_not_in_the_batch() -> None:
    given = FeatureTable(("orders",), np.ones((1, 1), np.float32))
    batch = make(features=True).batch(np.array([0]), seeds=seeds(1), user_features=given)
    assert batch.user_features is None
    assert batch.item_features is None


def test_missing_item_features_are_an_error() -> None:
    needs = Capabilities(item_features=("price",))
    with pytest.raises(ArtifactError, match="no item features, but the model reads price"):
        make().batch(np.array([0]), seeds=seeds(1), capabilities=needs)
    with pytest.raises(PluginError, match="no feature named colour"):
        make(features=True).batch(
            np.array([0]), seeds=seeds(1), capabilities=Capabilities(item_features=("colour",))
        )


@pytest.mark.parametrize("rich", [False, True])
def test_saved_and_mapped(tmp_path: Path, rich: bool) -> None:
    snapshot = make(repeats=False, available=rich, features=rich)
    snapshot.save(tmp_path)
    loaded = Snapshot.load(tmp_path)
    assert not loaded.history.items.flags.writeable
    assert loaded.user_ids.decode([0, 1, 2]) == ["a", "b", "c"]
    assert (loaded.end, loaded.repeats, loaded.data_hash) == (100, False, "abc")
    for part in ("offsets", "items", "rewards", "counts", "last_times"):
        np.testing.assert_array_equal(getattr(loaded.history, part), getattr(snapshot.history, part))
    np.testing.assert_array_equal(loaded.popular, snapshot.popular)
    assert (loaded.available is not None, loaded.item_features is not None) == (rich, rich)
    if loaded.item_features and snapshot.item_features:
        assert loaded.item_features.names == snapshot.item_features.names
        np.testing.assert_array_equal(loaded.item_features.values, snapshot.item_features.values)
    excluded = loaded.batch(np.array([0, -1], np.int32), seeds=seeds(2)).excluded
    assert excluded is not None
    assert excluded.toarray().tolist() == [[True, False, True, False], [False] * 4]


@pytest.mark.parametrize("name", ["user_ids.npy", "history.items.npy", "popular.npy", "snapshot.json"])
def test_a_file_that_is_missing_or_malformed(tmp_path: Path, name: str) -> None:
    make().save(tmp_path)
    (tmp_path / name).write_bytes(b"{")
    with pytest.raises(ArtifactError, match=name):
        Snapshot.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        Snapshot.load(tmp_path)


def test_files_that_do_not_fit_together(tmp_path: Path) -> None:
    make(available=True).save(tmp_path)
    np.save(tmp_path / "available.npy", np.ones(9, np.bool_))
    with pytest.raises(ArtifactError, match=r"available\.npy .* has 9 rows, must have 4"):
        Snapshot.load(tmp_path)


def test_another_format(tmp_path: Path) -> None:
    make().save(tmp_path)
    header = tmp_path / "snapshot.json"
    header.write_text(header.read_text().replace('"format":1', '"format":9'))
    with pytest.raises(ArtifactError, match="format 9"):
        Snapshot.load(tmp_path)


def test_an_empty_batch() -> None:
    batch = make(repeats=False).batch(np.empty(0, np.int32), seeds=seeds(0))
    assert len(batch) == 0
    assert batch.excluded is not None
    assert batch.excluded.shape == (0, N_ITEMS)


@pytest.mark.processes
def test_loading_imports_no_heavy_library() -> None:
    """A prediction service has no DuckDB, pandas, Arrow or database."""
    code = """
import sys
for name in ("duckdb", "pandas", "pyarrow", "sqlalchemy", "alembic", "ibis", "ruamel"):
    sys.modules[name] = None
import tastemaker.snapshot.snapshot, tastemaker.registry.artifact
for name in ("tastemaker.problem", "tastemaker.evaluation", "tastemaker.storage"):
    assert name not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_snapshot_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().end = 5  # type: ignore[misc]
