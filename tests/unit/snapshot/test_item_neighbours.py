"""Item to item, against the definition written out; and on a real shop, whether people would agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.plugins import NO_ITEM, Events, History
from tastemaker.snapshot import item_neighbours
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.item_neighbours import N_NEIGHBOURS, SHRINKAGE, Neighbours

N_ITEMS = 6
PAIRS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, N_ITEMS - 1), st.sampled_from([-1.0, 1.0, 3.0])), max_size=40
)


def history(pairs: list[tuple[int, int, float]], n_items: int = N_ITEMS) -> History:
    users, items, rewards = (np.array([pair[part] for pair in pairs]) for part in range(3))
    times = np.arange(len(pairs))
    events = Events(
        users.astype(np.int32), items.astype(np.int32), rewards.astype(np.float32), times.astype(np.int64)
    )
    return History.from_events(events, 5, n_items)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_neighbours_by_their_definition(pairs: list[tuple[int, int, float]]) -> None:
    past = history(pairs)
    had = [
        {int(item) for item, reward in zip(past[row].items, past[row].rewards, strict=True) if reward > 0}
        for row in (slice(user, user + 1) for user in range(5))
    ]
    found = Neighbours.of(past)
    for item in range(N_ITEMS):
        users = {user for user in range(5) if item in had[user]}
        expected = []
        for other in range(N_ITEMS):
            both = len(users & {user for user in range(5) if other in had[user]})
            if both and other != item:
                others = sum(other in one for one in had)
                expected.append((-both / (np.sqrt(len(users)) * np.sqrt(others) + SHRINKAGE), other))
        expected.sort()
        listed = found.items[item][found.items[item] != NO_ITEM]
        np.testing.assert_allclose(
            found.scores[item, : len(expected)], [-score for score, _ in expected], 1e-5
        )
        assert len(listed) == len(expected)
        assert set(listed.tolist()) == {other for _, other in expected}


def test_the_nearest_neighbours_are_kept_and_ties_go_by_number() -> None:
    found = Neighbours.of(history([(0, item, 1.0) for item in range(80)], 80))
    assert found.items[79].tolist() == list(range(N_NEIGHBOURS))
    assert found.items[0].tolist() == list(range(1, N_NEIGHBOURS + 1))


def test_only_the_latest_items_of_a_long_history_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_neighbours, "MAX_ITEMS_PER_USER", 3)
    found = Neighbours.of(history([(0, item, 1.0) for item in (5, 4, 3, 2, 1)]))
    assert (found.items[5] == NO_ITEM).all()
    assert set(found.items[1][:2].tolist()) == {2, 3}


def test_saved_and_loaded(tmp_path: Path) -> None:
    made = Neighbours.of(history([(0, 1, 1.0), (0, 2, 1.0)]))
    made.save(tmp_path)
    loaded = Neighbours.load(tmp_path)
    np.testing.assert_array_equal(loaded.items, made.items)
    np.testing.assert_array_equal(loaded.scores, made.scores)


@pytest.fixture(scope="module")
def shop(online_retail: Path) -> tuple[History, IdIndex, dict[str, str]]:
    """The customers' histories in the real shop, the items' codes, and their titles."""
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT CustomerID, StockCode, Description FROM read_parquet(?) "
            "WHERE CustomerID IS NOT NULL AND Quantity > 0",
            [str(online_retail)],
        ).fetchall()
    codes, people = IdIndex.build(row[1] for row in rows), IdIndex.build(str(row[0]) for row in rows)
    users, items = people.lookup([str(row[0]) for row in rows]), codes.lookup([row[1] for row in rows])
    events = Events(users, items, np.ones(len(rows), np.float32), np.arange(len(rows)))
    return History.from_events(events, len(people), len(codes)), codes, {row[1]: row[2] for row in rows}


@pytest.mark.slow
def test_a_real_shop(shop: tuple[History, IdIndex, dict[str, str]]) -> None:
    """Lunch bags go with lunch bags; and one item's likeness, counted by hand."""
    history, codes, titles = shop
    found = Neighbours.of(history)
    (bag,) = codes.lookup(["20725"])
    assert titles["20725"].startswith("LUNCH BAG RED")
    nearest = codes.decode(found.items[bag][:5])
    assert all(titles[code].startswith("LUNCH BAG") for code in nearest)

    had = {user for user in range(len(history)) if bag in _latest(history, user)}
    other = int(found.items[bag][0])
    theirs = {user for user in range(len(history)) if other in _latest(history, user)}
    expected = len(had & theirs) / (np.sqrt(len(had)) * np.sqrt(len(theirs)) + SHRINKAGE)
    assert found.scores[bag][0] == pytest.approx(expected, rel=1e-5)


def _latest(history: History, user: int) -> set[int]:
    mine = slice(int(history.offsets[user]), int(history.offsets[user + 1]))
    pairs = sorted(zip((-history.last_times[mine]).tolist(), history.items[mine].tolist(), strict=True))
    return {item for _, item in pairs[: item_neighbours.MAX_ITEMS_PER_USER]}
