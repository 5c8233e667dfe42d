"""How alike two lists are: the share of common items, and rank-biased overlap, which weighs the first most.

    RBO_ext = (1 − p)/p · ( Σ_{d ≤ l} X_d/d · p^d  +  Σ_{s < d ≤ l} X_s (d − s)/(s d) · p^d )
              + ( (X_l − X_s)/l + X_s/s ) · p^l

X_d: items that the first d of both lists have in common; s, l: the length of the shorter and of the longer
list. Beyond the ends, the lists are assumed to continue as much alike as they were.

Reference: W. Webber, A. Moffat, J. Zobel, "A similarity measure for indefinite rankings", ACM TOIS 2010,
equation 32.
"""

from __future__ import annotations

from collections.abc import Sequence

PERSISTENCE = 0.9
"""p: the first ten places have 86 % of the weight."""


def overlap_at(k: int, first: Sequence[str], second: Sequence[str]) -> float:
    """Return the share of common items among the first k of two lists, 0 to 1.

    Args:
        k: How many items of each list count, at least 1.
        first: A list without repetition.
        second: Another. Of lists shorter than k, the longer one has 100 %; two empty lists are alike.

    >>> overlap_at(4, "abcd", "axyd")
    0.5
    """
    tops = set(first[:k]), set(second[:k])
    longest = max(map(len, tops))
    return len(tops[0] & tops[1]) / longest if longest else 1.0


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float = PERSISTENCE) -> float:
    """Return the extrapolated rank-biased overlap of two lists, 0 (nothing in common) to 1 (the same).

    Args:
        first: A list without repetition.
        second: Another, of any length. Two empty lists are alike, and an empty one is like no other.
        p: The probability of looking at the next place, above 0 and below 1.

    Raises:
        ValueError: p is not in that range.

    >>> round(rank_biased_overlap("abcde", "bcdae", p=0.9), 6)
    0.828
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}, must be above 0 and below 1")
    shorter, longer = sorted((first, second), key=len)
    s, l = len(shorter), len(longer)  # noqa: E741  the symbols of the equation
    if s == 0:
        return float(l == 0)
    overlaps = _overlaps(shorter, longer)
    x_s, x_l = overlaps[s - 1], overlaps[l - 1]
    total = sum(x / d * p**d for d, x in enumerate(overlaps, 1))
    total += sum(x_s * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * total + ((x_l - x_s) / l + x_s / s) * p**l


def _overlaps(shorter: Sequence[str], longer: Sequence[str]) -> list[int]:
    """Return X_d for d = 1 ... l."""
    seen: tuple[set[str], set[str]] = set(), set()
    overlaps = []
    for place, item in enumerate(longer):
        seen[0].update(shorter[place : place + 1])
        seen[1].add(item)
        overlaps.append(len(seen[0] & seen[1]))
    return overlaps
