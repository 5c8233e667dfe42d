"""Team draft: the lists that coins can make, and their exact probabilities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import TastemakerError
from tastemaker.experiments.team_draft import NO_TEAM, MixedList, preference, team_draft


def drafted(
    first: Sequence[str], second: Sequence[str], k: int, coins: Sequence[int]
) -> list[tuple[str, int]]:
    """The (item, side) of one sequence of coins, one a round, as a person would draft."""
    mixed: list[tuple[str, int]] = []
    for coin in coins:
        for side in (coin, 1 - coin):
            left = [item for item in (first, second)[side] if item not in [one for one, _ in mixed]]
            if left and len(mixed) < k:
                mixed.append((left[0], side))
    return mixed


def enumerated(first: Sequence[str], second: Sequence[str], k: int) -> dict[tuple[int, str], Fraction]:
    """The probability of each (place, item), by all sequences of coins: k rounds fill any list."""
    chances: dict[tuple[int, str], Fraction] = defaultdict(Fraction)
    for coins in product((0, 1), repeat=k):
        for place, (item, _) in enumerate(drafted(first, second, k, coins)):
            chances[place, item] += Fraction(1, 2**k)
    return chances


def seeds(first: Sequence[str], second: Sequence[str], k: int, count: int) -> list[MixedList]:
    return [team_draft({"control": first, "treatment": second}, k, seed) for seed in range(count)]


def assert_exact(first: Sequence[str], second: Sequence[str], k: int) -> None:
    """Propensities are those of the enumeration, and each list and its teams come from some coins."""
    expected = enumerated(first, second, k)
    possible = {tuple(drafted(first, second, k, coins)) for coins in product((0, 1), repeat=k)}
    names = ("control", "treatment")
    alike = 0
    while alike < min(len(first), len(second)) and first[alike] == second[alike]:
        alike += 1
    for mixed in seeds(first, second, k, 8):
        assert [expected[at] for at in enumerate(mixed.items)] == [Fraction(p) for p in mixed.propensities]
        assert set(mixed.teams[:alike]) <= {NO_TEAM}
        credited = list(zip(mixed.items, mixed.teams, strict=True))[alike:]
        assert any(
            [item for item, _ in one] == list(mixed.items)
            and [(item, names[side]) for item, side in one][alike:] == credited
            for one in possible
        )


def test_known_propensities() -> None:
    """Of all coins: a or d first, then the other, then b, then c or f."""
    chances: dict[tuple[int, str], float] = {}
    for mixed in seeds("abcdef", "dbfaec", 4, 64):
        chances |= dict(zip(enumerate(mixed.items), mixed.propensities, strict=True))
    assert chances == {
        (0, "a"): 0.5,
        (0, "d"): 0.5,
        (1, "a"): 0.5,
        (1, "d"): 0.5,
        (2, "b"): 1.0,
        (3, "c"): 0.5,
        (3, "f"): 0.5,
    }


LETTERS = "abcdefghij"


@pytest.mark.slow
@settings(max_examples=40)
@given(st.permutations(LETTERS), st.permutations(LETTERS), st.integers(1, 8))
def test_random_lists(first: list[str], second: list[str], k: int) -> None:
    assert_exact(first, second, k)


@settings(max_examples=25)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8))
def test_lists_that_differ_by_one_exchange(one: int, other: int, k: int) -> None:
    second = list(LETTERS)
    second[one], second[other] = second[other], second[one]
    assert_exact(LETTERS, second, k)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("abcdefgh", "abcdefgh"),
        ("abcdefgh", "bacdefgh"),
        ("abcdefgh", "badcfehg"),
        ("abcdefgh", "hgfedcba"),
        ("abcdefgh", "bcdefgha"),
        ("abcdefgh", "ijklmnop"),
        ("abcdefgh", "abcdijkl"),
        ("abcdefgh", "aibjckdl"),
        ("abcdefgh", "ab"),
        ("abc", "xyzuvw"),
        ("", "abcd"),
        ("a", "a"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_adversarial_lists(first: str, second: str, k: int) -> None:
    assert_exact(first, second, k)


def test_propensities_of_a_place_sum_to_one() -> None:
    """Over long lists, which can't be enumerated: of what many seeds show at each place."""
    rng = Random(3)
    items = [f"i{number}" for number in range(40)]
    first, second = rng.sample(items, 40), rng.sample(items, 40)
    shown: dict[int, dict[str, float]] = defaultdict(dict)
    for mixed in seeds(first, second, 20, 300):
        for place, (item, chance) in enumerate(zip(mixed.items, mixed.propensities, strict=True)):
            shown[place][item] = chance
    assert all(sum(chances.values()) == 1 for chances in shown.values())


def test_lists_are_shown_as_often_as_their_propensities_say() -> None:
    count = 4_000
    often: dict[tuple[int, str], int] = defaultdict(int)
    chances: dict[tuple[int, str], float] = {}
    for mixed in seeds("abcdefgh", "cahgfbed", 6, count):
        for at, chance in zip(enumerate(mixed.items), mixed.propensities, strict=True):
            often[at] += 1
            chances[at] = chance
    for at, chance in chances.items():
        assert often[at] / count == pytest.approx(chance, abs=4.5 * (chance * (1 - chance) / count) ** 0.5)


def test_a_seed_decides_everything() -> None:
    assert seeds("abcdef", "dbfaec", 4, 20) == seeds("abcdef", "dbfaec", 4, 20)
    assert len(set(seeds("abcdef", "dbfaec", 4, 20))) == 4


def test_the_same_list_gives_no_credit() -> None:
    mixed = team_draft({"control": "abcd", "treatment": "abcd"}, 3, seed=5)
    assert mixed == MixedList(("a", "b", "c"), ("", "", ""), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("first", "second", "alike"), [("abcdefgh", "dbfaecgh", 0), ("zabcdefg", "zdbfaecg", 1)]
)
def test_a_click_on_a_place_counts_for_either_alike(first: str, second: str, alike: int) -> None:
    """Users who click without looking prefer no variant: each place is each team's half of the time."""
    count = 4_000
    often = [0] * (7 - alike)
    for mixed in seeds(first, second, 7, count):
        for place, team in enumerate(mixed.teams[alike:]):
            often[place] += team == "treatment"
    for wins in often:
        assert wins / count == pytest.approx(0.5, abs=4.5 * 0.5 / count**0.5)


@pytest.mark.parametrize(
    ("control", "treatment", "expected"), [(0, 0, None), (3, 1, -0.5), (0, 2, 1.0), (2, 2, 0.0)]
)
def test_preference(control: float, treatment: float, expected: float | None) -> None:
    assert preference(control, treatment) == expected


def test_lists_that_can_not_be_mixed_are_refused() -> None:
    with pytest.raises(TastemakerError, match="the list of b repeats an item"):
        team_draft({"a": "xy", "b": "xyx"}, 2, 0)
    with pytest.raises(TastemakerError, match="3 lists are to be mixed, must be 2"):
        team_draft({"a": "x", "b": "y", "c": "z"}, 2, 0)
