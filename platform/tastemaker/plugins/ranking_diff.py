"""Comparison of rankings, with tolerance for rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins.arrays import NO_ITEM, Ranking

RELATIVE = 1e-4
"""The relative tolerance: sums of floats depend on their order, and that on the number of rows."""


def difference(one: Ranking, other: Ranking) -> str | None:
    """Return how two rankings differ, in words.

    Scores and propensities may differ by 1e-4, relative to the greatest, and items whose scores tie to 1e-4
    may be exchanged.

    Args:
        one: A ranking of a batch.
        other: Another ranking of the same batch.

    Returns:
        None if the rankings are the same.
    """
    if one.items.shape != other.items.shape:
        return f"lists of shape {one.items.shape} and {other.items.shape}"
    for name in ("scores", "propensities"):
        first, second = getattr(one, name), getattr(other, name)
        close = (first == second) | _close(first, second)
        if not close.all():
            row, position = np.argwhere(~close)[0]
            return (
                f"{name} differ in row {row} at position {position}: "
                f"{first[row, position]} and {second[row, position]}"
            )
    for row, position in np.argwhere(one.items != other.items):
        if not _ties(other, row, int(one.items[row, position]), float(one.scores[row, position])):
            return (
                f"items differ in row {row} at position {position}: "
                f"{one.items[row, position]} and {other.items[row, position]}"
            )
    return None


def _close(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.bool_]:
    finite = np.isfinite(first) & np.isfinite(second)
    scale = max(float(np.abs(first[finite]).max(initial=0)), 1e-12)
    return finite & np.isclose(first, second, rtol=RELATIVE, atol=RELATIVE * scale * 1e-2)


def _ties(ranking: Ranking, row: int, item: int, score: float) -> bool:
    """Return whether the row has the item elsewhere at that score, or ends at that score without it."""
    if item == NO_ITEM:
        return False
    scores = ranking.scores[row]
    places = scores[ranking.items[row] == item]
    rival = places if len(places) else scores[np.isfinite(scores)][-1:]
    return bool(len(rival)) and bool(_close(np.asarray([score], np.float32), rival[:1])[0])
