"""Ranges that shops write themselves, in the order of their values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.util.ranges import in_order

IN_ORDER = [
    ["1-5", "6-20", "21-99", "100+"],
    ["<18", "18-24", "25–64", "65+"],
    ["$0-10", "$10-20", "$100+"],
    ["1-999", "1,000-5,000", "5,001+"],
    ["0-10%", "11-20%", "90-100%"],
    ["<1k", "1k-10k", "10k+", "1m and over"],
    ["1 item", "2-5 items", "6-20 items", "100+ items"],
    ["less than 5", "5 to 10", "more than 10"],
    ["under 10 €", "10 € to 20 €", "over 20 €"],
    ["1", "2", "10"],
    ["1e3", "2e3"],
    ["-10 to -6", "-5 to -1", "0 to 4"],
    ["−5 to −1", "0", "1+"],
    ["1..5", "6..20", "≥100"],
    ["(0, 5]", "(5, 20]", "(20, inf)"],
    ["[9,10)", "[10,100)", "[100,200)"],
    ["1-5 ", "6-20", "100 and more"],
    ["2010-12", "2011-01", "2011-02"],
    ["2011-01-05", "2011-02-01 to 2011-03-01", "2011-03-02"],
    ["≤5", "> 5"],
    ["18 - 24 years", "25 - 64 years", "65 or older"],
    ["5", "5-9", "10"],
]


@pytest.mark.parametrize("labels", IN_ORDER, ids=lambda labels: labels[-1])
@pytest.mark.parametrize("seed", range(3))
def test_ranges_are_in_the_order_of_their_values_and_others_come_after_them(
    labels: list[str], seed: int
) -> None:
    given_labels = np.random.default_rng(seed).permutation([*labels, "none"]).tolist()
    order = in_order(given_labels)
    assert order is not None
    assert [given_labels[at] for at in order] == [*labels, "none"]


@pytest.mark.parametrize(
    "labels",
    [["gold", "silver"], ["gold", "silver", "1"], ["7 days", "1 month"], ["1", "a", "b"], [], ["5"]],
)
def test_labels_that_are_not_ranges_are_not_ordered(labels: list[str]) -> None:
    assert in_order(labels) is None


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True))
def test_numbers_are_ordered_by_value(numbers: list[int]) -> None:
    labels = [f"{number}" for number in numbers]
    order = in_order(labels)
    assert order is not None
    assert [numbers[at] for at in order] == sorted(numbers)


@given(st.lists(st.text(), max_size=8))
def test_any_texts_are_ordered_or_left(labels: list[str]) -> None:
    order = in_order(labels)
    assert order is None or sorted(order) == list(range(len(labels)))
