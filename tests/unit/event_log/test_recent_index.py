"""The index of recent events in memory, and histories with later events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.event_log.recent import RecentEvent
from tastemaker.plugins.arrays import Events, History
from tastemaker.serving.ranking import recent_feedback
from tastemaker.serving.ranking.recent_feedback import Index
from tastemaker.snapshot.snapshot import extended

NOW = 1_800_000_000.0
WHO = "user-01"


def event(number: int, user_id: str = WHO, item_id: str = "item-00", **more: Any) -> RecentEvent:
    return RecentEvent(
        f"e{number}", item_id, more.pop("event_type", "purchase"), 1.0, NOW, NOW, user_id, **more
    )


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 3)), max_size=60),
    st.integers(1, 7),
)
def test_the_index_holds_what_a_list_would_and_each_event_once(
    done: list[tuple[int, int, int]], tail: int
) -> None:
    """An independent look-up by loops; events come twice, and are sorted in every few."""
    index, events = Index(), [event(n, f"u{user}", f"i{item}") for n, user, item in done]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recent_feedback, "TAIL", tail)
        for one in events:
            index.add([one])
    asked = ["u3", "unknown", "u0"]
    expected = {
        (row, each, hash(item))
        for row, user in enumerate(asked)
        for each, item in {
            one.event_id: one.item_id for one in reversed(events) if one.user_id == user
        }.items()
    }
    found = index.of(asked)
    assert (found is None) == (not expected)
    if found is not None:
        pairs = sorted((row, item) for row, _, item in expected)
        assert sorted(zip(found.rows.tolist(), found.items.tolist(), strict=True)) == pairs


def test_the_index_is_bounded_and_the_oldest_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_feedback, "TAIL", 16)
    index = Index(most=100)
    for n in range(1_000):
        timestamp = NOW + n
        index.add([RecentEvent(f"e{n}", f"i{n}", "purchase", 1.0, timestamp, timestamp, f"u{n}")])
        assert len(index) <= 125 + 16
    assert index.of(["u999"]) is not None
    assert index.of(["u0"]) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(-2, 2), st.integers(0, 9)), max_size=20
    ),
    st.integers(0, 20),
)
def test_a_history_with_later_events_is_the_history_of_all(
    rows: list[tuple[int, int, int, int]], first: int
) -> None:
    """However many of the later events it has already."""
    rows.sort(key=lambda row: row[3])
    events = _events(rows)
    whole = History.from_events(events, 3, 4)
    cut = min(first, len(rows))
    # A pair's events of one second are known all or not at all: else none could say which are.
    while 0 < cut < len(rows) and rows[cut][3] == rows[cut - 1][3]:
        cut -= 1
    made = extended(History.from_events(events[:cut], 3, 4), events)
    for name in ("offsets", "items", "rewards", "counts", "last_times"):
        assert getattr(made, name).tolist() == getattr(whole, name).tolist(), name


def _events(rows: Sequence[tuple[int, int, int, int]]) -> Events:
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Events(
        columns[0].astype(np.int32), columns[1].astype(np.int32), columns[2].astype(np.float32), columns[3]
    )
