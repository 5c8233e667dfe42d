"""Figures within slices: who is compared in which, in which order, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

from tastemaker.evaluation.results import UserResults
from tastemaker.evaluation.slices import LARGEST, OTHER, compare_slices, lost
from tastemaker.stats.bootstrap import intervals, paired_difference


def users_of(values: list[list[float]], labels: list[str]) -> list[UserResults]:
    keys = np.arange(len(labels), dtype=np.uint64)
    return [
        UserResults(5, keys, {"ndcg": np.array(one)}, {"country": np.array(labels)}, {}) for one in values
    ]


def test_a_slice_is_its_users_alone() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(90), rng.random(90)
    labels = ["AT"] * 50 + ["IT"] * 40
    slices = compare_slices(users_of([first.tolist(), second.tolist()], labels), ["m", "p"], "p", "ndcg")
    assert [(one.name, one.users) for one in slices] == [("country=AT", 50), ("country=IT", 40)]
    (expected,) = intervals(first[50:, None])
    row = slices[1].rows[0]
    np.testing.assert_allclose(row.figure, expected)
    assert row.difference is not None
    np.testing.assert_allclose(row.difference, paired_difference(first[50:], second[50:], resamples=1000))
    assert [found.verdict for found in slices[1].rows] == ["tied", "baseline"]


def test_one_value_is_not_a_slice_and_small_ones_go_together() -> None:
    one = users_of([[0.1, 0.2], [0.2, 0.3]], ["AT", "AT"])
    assert compare_slices(one, ["m", "p"], "p", "ndcg") == ()
    labels = [f"c{n:02}" for n in range(20) for _ in range(21 - n)]
    many = users_of([[0.1] * len(labels)] * 2, labels)
    names = [found.value for found in compare_slices(many, ["m", "p"], "p", "ndcg", {"country=c19": 0.1})]
    assert names == [*(f"c{n:02}" for n in range(LARGEST)), "c19", OTHER]
    assert sum(found.users for found in compare_slices(many, ["m", "p"], "p", "ndcg")) == len(labels)
    others = users_of([[0.1] * len(labels)] * 2, [OTHER if one == "c00" else one for one in labels])
    found = compare_slices(others, ["m", "p"], "p", "ndcg")
    assert [one.value for one in found] == [*(f"c{n:02}" for n in range(1, LARGEST)), OTHER]
    assert found[-1].users == sum(one == "c00" or one >= f"c{LARGEST:02}" for one in labels)


@pytest.mark.slow
def test_models_that_are_alike_differ_in_any_slice_in_at_most_5_percent_of_cases() -> None:
    """100 cases of 4 slices and 3 rivals: the share's standard error is 2.2 %."""
    rng = np.random.default_rng(1)
    labels = np.repeat([f"c{n}" for n in range(4)], 11).tolist()
    false = 0
    for _case in range(100):
        values = (rng.exponential(1, 44) + rng.exponential(1, (4, 44))).tolist()
        slices = compare_slices(users_of(values, labels), ["a", "b", "c", "p"], "p", "ndcg")
        false += any(row.verdict in ("better", "worse") for one in slices for row in one.rows)
    assert false / 100 <= 0.05 + 2 * 0.022


def test_coverage_has_no_slices() -> None:
    assert compare_slices(users_of([[0.1, 0.2]], ["AT", "IT"]), ["p"], "p", "coverage") == ()


@pytest.mark.parametrize(
    "in_their_order",
    [
        ["9 to 10", "10 to 20", "20 to 100", "unknown", OTHER],
        ["[1.5,9)", "[9,10)", "[10,20)", "unknown"],
        ["<18", "18-24", "25-34", "65+", "unknown"],
        ["-10 to -3", "-2 to 3", "9", "10 to 12"],
        ["2023-12-01", "2024-01-10 to 2024-02-01", "2024-02-02"],
        ["0", "2", "11"],
    ],
)
def test_ranges_stand_in_the_order_of_their_values_whatever_their_sizes(in_their_order: list[str]) -> None:
    kept = [label for label in in_their_order if label != OTHER]
    sizes = np.random.default_rng(0).permutation(np.arange(2, 2 + len(kept)))
    labels = [label for label, size in zip(kept, sizes, strict=True) for _ in range(size)]
    slices = compare_slices(users_of([[0.1] * len(labels)] * 2, labels), ["m", "p"], "p", "ndcg")
    assert [one.value for one in slices] == kept
    assert [one.users for one in slices] == sizes.tolist()


def test_words_stand_by_their_users() -> None:
    labels = ["B"] * 3 + ["A"] * 2 + ["10 to 20"] * 4
    slices = compare_slices(users_of([[0.1] * 9] * 2, labels), ["m", "p"], "p", "ndcg")
    assert [one.value for one in slices] == ["10 to 20", "B", "A"]


def test_a_loss_beyond_the_limit_is_not_excused_by_too_few_users_for_an_interval() -> None:
    values = [[0.1, 0.1, 0.1, 0.9], [0.9, 0.9, 0.9, 0.9]]
    slices = compare_slices(users_of(values, ["AT", "AT", "AT", "IT"]), ["m", "p"], "p", "ndcg")
    lost_in = {one.value: lost(one.rows[0], 0.5) for one in slices}
    assert lost_in == {"AT": True, "IT": False}
