"""A few late or early events do not move the test period unnoticed."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from support.small_lakes import DAY, Row, make_lake, make_problem
from tastemaker import load, split
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import SourceError

pytestmark = pytest.mark.slow
USERS = 60
BUSY_DAYS = 40


def rows(*more: Row) -> list[Row]:
    """60 users, each with a purchase on every second of 40 days, and some more."""
    regular = [
        Row(f"u{user}", f"i{(user + day) % 9}", day * DAY + user)
        for day in range(BUSY_DAYS)
        for user in range(USERS)
        if (user + day) % 2 == 0
    ]
    return sorted([*regular, *more], key=lambda row: row.seconds)


def dataset(root: Path, *more: Row, **split: object) -> Dataset:
    problem = make_problem(split={"test_days": 10, **split})
    return Dataset.load(make_lake(root, rows(*more)), problem)


@pytest.mark.parametrize("late_days", [12, 30, 400])
@pytest.mark.parametrize("people", [1, 3, 11])
def test_a_few_late_events_are_refused_with_the_date_to_set(
    tmp_path: Path, late_days: int, people: int
) -> None:
    late = [Row(f"u{n}", "i3", (BUSY_DAYS + late_days) * DAY + n) for n in range(people)]
    late_set = dataset(tmp_path, *late)
    with pytest.raises(SourceError, match="A few late events") as refused:
        late_set.split()
    assert f"has {people} user" in refused.value.problem
    assert "have 60" in refused.value.problem
    [until] = re.findall(r"split: {until: ([\d-]+)}", str(refused.value.fix))
    assert until == "2023-12-24"  # the fortieth day from 2023-11-15 on
    followed = Dataset.load(late_set.lake, make_problem(split={"test_days": 10, "until": until}))
    expected = dataset(tmp_path / "regular")
    assert followed.split().user_ids == expected.split().user_ids
    assert (followed.split().cut, followed.split().end) == (expected.split().cut, expected.split().end)
    assert len(followed.events) == len(expected.events)  # nor are they trained on


def test_the_same_in_a_notebook() -> None:
    late = Row("u1", "i3", (BUSY_DAYS + 100) * DAY)
    table = pa.table(
        {
            "user_id": [row.user for row in rows(late)],
            "item_id": [row.item for row in rows(late)],
            "occurred_at": [f"{1_700_006_400 + row.seconds}" for row in rows(late)],
        }
    )
    data = load(table)
    with pytest.raises(SourceError, match="has 1 user;") as refused:
        split(data, test_days=10)
    assert 'split(data, until="2023-12-24")' in str(refused.value)
    parts = split(data, test_days=10, until="2023-12-24")
    assert len(parts.split.users) == USERS


def test_a_regular_end_is_not_refused(tmp_path: Path) -> None:
    assert len(dataset(tmp_path).split().users) == USERS
    thirteen = [Row(f"u{n}", "i3", (BUSY_DAYS + 20) * DAY + n) for n in range(13)]
    assert len(dataset(tmp_path / "fewer", *thirteen).split().users) == 13  # more than a fifth


def test_one_event_years_early_changes_nothing_of_the_test_period(tmp_path: Path) -> None:
    early = dataset(tmp_path / "early", Row("u1", "i3", -3000 * DAY)).split()
    regular = dataset(tmp_path / "regular").split()
    assert (early.cut, early.end, early.user_ids) == (regular.cut, regular.end, regular.user_ids)


def test_an_end_beyond_the_data_is_the_datas_own(tmp_path: Path) -> None:
    assert dataset(tmp_path, until="2030-01-01").split().end == dataset(tmp_path / "other").split().end


def test_an_end_before_all_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no event happened before 2001-01-02"):
        dataset(tmp_path, until="2001-01-01")
