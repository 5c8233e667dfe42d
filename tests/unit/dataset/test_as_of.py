"""The data set as it was at an earlier time: nothing of the future is left in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from support.small_lakes import DAY, START, Row, make_lake, make_problem
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import SourceError

PAST = [Row("ä", "1", 0), Row("b", "鍋", DAY, "view"), Row("ä", "鍋", 2 * DAY), Row("c", "1", 3 * DAY - 1)]
FUTURE = [Row("a new user with a long name", "0", 4 * DAY), Row("ä", "a new item", 3 * DAY)]
END = START + 3 * DAY
LISTED = {"item_id": "listed", "category": "tea", "first_seen_at": datetime.fromtimestamp(START + 1, UTC)}
LATER = {"item_id": "later", "category": "a new kind", "first_seen_at": datetime.fromtimestamp(END, UTC)}


def load(root: Path, rows: list[Row], *, features: bool = False, later: bool = False) -> Dataset:
    problem = make_problem(split={"test_days": 1})
    lake = make_lake(root, rows, [LISTED, LATER] if later else [LISTED])
    return Dataset.load(lake, problem, feature_root=root / "features" if features else None)


@pytest.mark.parametrize("features", [False, True])
def test_what_comes_later_changes_nothing(tmp_path: Path, features: bool) -> None:
    whole = load(tmp_path / "whole", PAST + FUTURE, features=features, later=True).before(END)
    other = load(tmp_path / "other", [*PAST, Row("b", "1", 9 * DAY)], features=features).before(END)
    assert whole.data_hash == other.data_hash
    assert whole.user_ids.decode([0, 1, 2]) == ["b", "c", "ä"]
    assert whole.item_ids.decode([0, 1, 2]) == ["1", "listed", "鍋"]
    assert whole.end == other.end == END
    assert whole.events.count == 4
    for one, two in zip(vars(whole.events).values(), vars(other.events).values(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_came_before_counts(tmp_path: Path) -> None:
    one = load(tmp_path / "one", PAST + FUTURE)
    two = load(tmp_path / "two", [*PAST, Row("b", "1", 3 * DAY - 2), *FUTURE])
    assert one.before(END).data_hash != two.before(END).data_hash
    assert one.before(END).data_hash != one.before(END - 1).data_hash


def test_the_split_inside_is_that_of_data_that_ends_there(tmp_path: Path) -> None:
    inside = load(tmp_path / "whole", PAST + FUTURE).before(END).split()
    alone = load(tmp_path / "past", PAST).split()
    assert (inside.start, inside.cut, inside.end) == (alone.start, alone.cut, alone.end)
    assert inside.user_ids == alone.user_ids
    np.testing.assert_array_equal(inside.relevant.toarray(), alone.relevant.toarray())
    np.testing.assert_array_equal(inside.train.events.items, alone.train.events.items)


def test_nothing_happened_yet(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no event happened before"):
        load(tmp_path, PAST).before(START)


def test_a_split_elsewhere(tmp_path: Path) -> None:
    data = load(tmp_path, PAST + FUTURE)
    moved = data.windowed(1).split(at=START + 2 * DAY, end=END)
    assert (moved.start, moved.cut, moved.end) == (START + DAY, START + 2 * DAY, END)
    assert moved.user_ids == ["c", "ä"]
    assert moved.train.events.count == 1
    assert data.problem.split.train_days is None
