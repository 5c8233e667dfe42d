"""Overlap of lists: published values, and the definition summed term by term."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.experiments.list_overlap import overlap_at, rank_biased_overlap


def summed(first: str, second: str, p: float, terms: int = 300) -> float:
    """(1 − p) Σ p^(d−1) · agreement at d, with what Webber et al. assume beyond the lists' ends."""
    shorter, longer = sorted((first, second), key=len)
    s, length = len(shorter), len(longer)

    def common(d: int) -> int:
        return len(set(shorter[:d]) & set(longer[:d]))

    def agreement(d: int) -> float:
        if d <= s:
            return common(d) / d
        if d <= length:  # the shorter list continues with its agreement at its end
            return (common(d) + common(s) / s * (d - s)) / d
        return (common(length) - common(s)) / length + common(s) / s

    return (1 - p) * sum(p ** (d - 1) * agreement(d) for d in range(1, terms))


def test_a_published_value() -> None:
    """Of the library rankmeasures."""
    assert rank_biased_overlap("12345", "23415", 0.9) == pytest.approx(0.828, abs=5e-4)


def test_values_by_hand() -> None:
    assert rank_biased_overlap("abc", "cba", 0.9) == pytest.approx(0.1 / 0.9 * (0.81 / 2 + 0.729) + 0.729)
    assert rank_biased_overlap("ab", "ab", 0.5) == pytest.approx(1)
    assert rank_biased_overlap("a", "b", 0.5) == 0


@given(st.permutations("abcdefgh"), st.permutations("abcdefghij"), st.integers(1, 8), st.integers(1, 10))
def test_the_closed_form_is_the_sum(first: list[str], second: list[str], one: int, other: int) -> None:
    left, right = "".join(first[:one]), "".join(second[:other])
    for p in (0.5, 0.9):
        found = rank_biased_overlap(left, right, p)
        assert found == pytest.approx(summed(left, right, p), abs=1e-9)
        assert found == rank_biased_overlap(right, left, p)
        assert -1e-12 <= found <= 1 + 1e-12


def test_the_first_places_weigh_most() -> None:
    assert rank_biased_overlap("abcdef", "bacdef") < rank_biased_overlap("abcdef", "abcdfe")


@pytest.mark.parametrize(("first", "second", "expected"), [("", "", 1), ("", "abc", 0), ("abc", "", 0)])
def test_empty_lists(first: str, second: str, expected: float) -> None:
    assert rank_biased_overlap(first, second) == expected
    assert overlap_at(3, first, second) == expected


@pytest.mark.parametrize(
    ("k", "first", "second", "expected"),
    [(1, "abc", "bac", 0), (2, "abc", "bac", 1), (3, "abc", "cxy", 1 / 3), (10, "abcd", "ab", 0.5)],
)
def test_overlap_at_k(k: int, first: str, second: str, expected: float) -> None:
    assert overlap_at(k, first, second) == overlap_at(k, second, first) == expected


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.5])
def test_a_persistence_outside_its_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"must be above 0 and below 1"):
        rank_biased_overlap("ab", "ab", p)
