"""Labels of slices: the head of the items, users by events and columns, ranges of numbers and dates."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.dataset.slices import Labels, head_items, in_ranges, user_slices
from tastemaker.evaluation.slices import LARGEST


def test_head_by_hand() -> None:
    counts = np.array([1, 5, 0, 3, 1])
    assert head_items(counts, 0.5).tolist() == [False, True, False, False, False]
    assert head_items(counts, 0.51).tolist() == [False, True, False, True, False]
    assert head_items(counts, 0.85).tolist() == [True, True, False, True, False]  # of equals, the first
    assert not head_items(np.zeros(3, np.int64), 0.5).any()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_the_head_is_the_smallest_that_reaches_its_share(counts: list[int], share: float) -> None:
    had = np.array(counts)
    head = head_items(had, share)
    if had.any():
        assert had[head].sum() >= share * had.sum() * (1 - 1e-12)
        assert had[head].sum() - had[head].min() < share * had.sum()
        assert had[head].min() >= had[~head].max(initial=0)


def test_users_by_events_and_by_column() -> None:
    labels = {"country": Labels(("AT", "IT"), np.array([1, -1, 0], np.int32))}
    found = user_slices(np.array([0, 5, 4]), 5, labels, np.array([0, 1, 2], np.int32))
    assert {name: values.tolist() for name, values in found.items()} == {
        "users": ["new", "old", "new"],
        "country": ["IT", "unknown", "AT"],
    }


def labels_of(values: list[str]) -> list[str]:
    found: list[str] = in_ranges(np.array(values)).tolist()
    return found


def test_many_numbers_and_dates_become_four_ranges_of_as_many_users_each() -> None:
    ages = labels_of([*map(str, range(1, 101)), "unknown"])
    assert ages[0::25] == ["1 to 25", "26 to 50", "51 to 75", "76 to 100", "unknown"]
    assert [ages.count(one) for one in ages[0:100:25]] == [25] * 4
    days = labels_of([f"2024-01-{day:02d} {10 + hour}:00:00+00" for day in range(1, 17) for hour in range(9)])
    assert dict.fromkeys(days) == dict.fromkeys(
        f"2024-01-{first:02d} to 2024-01-{first + 3:02d}" for first in (1, 5, 9, 13)
    )
    spent = labels_of([f"{n / 7:.15f}" for n in range(1, 1_001)])
    assert (spent[0], spent[-1]) == ("0.142857 to 35.7143", "107.286 to 142.857")
    mostly = labels_of(["0"] * 80 + [str(n) for n in range(1, 16)] + ["-2.5", "1e3"])
    assert (mostly[0], mostly[-1], mostly.count("0")) == ("0", "1 to 1e3", 80), "a value is never parted"


def test_few_numbers_codes_and_words_stay_as_they_are() -> None:
    words = [f"word {n}" for n in range(40)]
    codes = [f"{n:05d}" for n in range(40)]
    few = [str(n) for n in range(12)] * 3
    for values in (
        words,
        codes,
        few,
        [*few, "n/a"] * 3,
        ["unknown"] * 3,
        [f"{n}" for n in range(20)] + ["x"],
    ):
        assert labels_of(values) == values
    assert labels_of(["2024-01-05T10:00:00Z", "unknown"]) == ["2024-01-05", "unknown"]


@given(st.lists(st.integers(-9_999, 9_999).map(lambda n: n / 4), min_size=1, max_size=60))
def test_ranges_part_the_values_in_their_order(values: list[float]) -> None:
    in_order = labels_of([repr(one) for one in sorted(values)])
    runs = 1 + sum(one != before for one, before in zip(in_order[1:], in_order, strict=False))
    assert runs == len(set(in_order))
    assert runs == len(set(values)) if len(set(values)) <= LARGEST else runs <= 4
