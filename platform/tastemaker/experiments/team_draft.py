"""Team-draft interleaving: one list of two variants' lists, and the exact probability of each of its items.

In each round a coin decides which variant picks first; each then picks the best item of its list that was
not picked yet. A reaction to an item counts for the variant that picked it. Where the lists begin alike, what
they share there counts for none: both would have shown it at the same place. Places that a short list can't
fill go to the other variant.

The propensities are conditional on the two lists: P(item at its place | both lists). They are exact: of all
sequences of coins, those that picked the same set are one state from there on, and few sets remain.

References: F. Radlinski, M. Kurup, T. Joachims, "How does clickthrough data reflect retrieval quality?",
CIKM 2008; O. Chapelle et al., "Large-scale validation and analysis of interleaved search evaluation", ACM
TOIS 2012.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from random import Random
from typing import NamedTuple

from tastemaker.errors import TastemakerError

NO_TEAM = ""
_SIDES = 2


class MixedList(NamedTuple):
    """A list of the items of two variants, best first."""

    items: tuple[str, ...]
    teams: tuple[str, ...]
    """For each item the name of the variant that picked it; empty where it counts for none."""
    propensities: tuple[float, ...]
    """For each item the probability that it is at its place, given both lists."""


def team_draft(lists: dict[str, Sequence[str]], k: int, seed: int) -> MixedList:
    """Mix the lists of two variants.

    Args:
        lists: For each of two variants, its items, best first, without repetition.
        k: The length of the mixed list; it is shorter where the lists have fewer items together.
        seed: Decides the coins.

    Returns:
        Items in the order in which they were picked, with their teams and propensities. A propensity is the
        probability over the coins, given both lists.

    Raises:
        TastemakerError: There are not two lists, or one repeats an item.

    >>> mixed = team_draft({"control": "abcdef", "treatment": "dbfaec"}, k=4, seed=1)
    >>> mixed.items, mixed.propensities
    (('a', 'd', 'b', 'c'), (0.5, 0.5, 1.0, 0.5))
    >>> mixed.teams
    ('control', 'treatment', 'treatment', 'control')
    """
    names, sides = tuple(lists), tuple(lists.values())
    _check(lists)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*sides, strict=False)))
    coins = Random(seed)
    items: list[str] = []
    teams: list[str] = []
    while picks := _round(sides, frozenset(items), coins.getrandbits(1), k):
        items += [item for item, _ in picks]
        teams += [names[side] for _, side in picks]
    teams[:alike] = [NO_TEAM] * min(alike, len(items))
    chances = _chances(sides, k)
    return MixedList(tuple(items), tuple(teams), tuple(chances[at] for at in enumerate(items)))


def preference(control: float, treatment: float) -> float | None:
    """Return how much a unit preferred the treatment: (w_T - w_C) / (w_T + w_C), in [-1, 1].

    Args:
        control: w_C, reactions to items that control picked, in all lists of the unit.
        treatment: w_T, the same of the treatment.

    Returns:
        None without a reaction that counts: such a unit says nothing about either.
    """
    total = control + treatment
    return (treatment - control) / total if total else None


def _check(lists: dict[str, Sequence[str]]) -> None:
    if len(lists) != _SIDES:
        raise TastemakerError(
            f"{len(lists)} lists are to be mixed, must be 2", fix="pass two variants' lists"
        )
    for name, items in lists.items():
        if len(set(items)) < len(items):
            raise TastemakerError(
                f"the list of {name} repeats an item", fix="pass each item once: the better place counts"
            )


def _round(
    sides: Sequence[Sequence[str]], shown: frozenset[str], first: int, k: int
) -> list[tuple[str, int]]:
    """Return what is picked in one round, with the side that picks it; nothing when the list is full."""
    picks: list[tuple[str, int]] = []
    for side in (first, 1 - first):
        taken = [item for item, _ in picks]
        item = next((one for one in sides[side] if one not in shown and one not in taken), None)
        if item is not None and len(shown) + len(picks) < k:
            picks.append((item, side))
    return picks


def _chances(sides: Sequence[Sequence[str]], k: int) -> dict[tuple[int, str], float]:
    """Return the probability of each (place, item), over all coins."""
    chances: dict[tuple[int, str], float] = defaultdict(float)
    states = {frozenset[str](): 1.0}
    while states:
        following: dict[frozenset[str], float] = defaultdict(float)
        for shown, chance in states.items():
            for first in range(_SIDES):
                picks = _round(sides, shown, first, k)
                for place, (item, _) in enumerate(picks, len(shown)):
                    chances[place, item] += chance / _SIDES
                if picks:
                    following[shown.union(item for item, _ in picks)] += chance / _SIDES
        states = following
    return chances
