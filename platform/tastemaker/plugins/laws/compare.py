"""When two answers are the same, and when two inputs still are."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.plugins.arrays import NO_ITEM, Ranking
from tastemaker.plugins.laws.subject import LawBroken

RELATIVE = 1e-4
"""Sums of floats depend on their order, and a matrix product's order on the number of its rows."""


def require_same(one: Ranking, other: Ranking, what: str) -> None:
    """Raise LawBroken unless the scores agree to 1e-4 and the items agree but for those that tie to 1e-4."""
    if one.items.shape != other.items.shape:
        raise LawBroken(f"{what}: lists of shape {one.items.shape} and {other.items.shape}")
    for name in ("scores", "propensities"):
        first, second = getattr(one, name), getattr(other, name)
        close = (first == second) | _close(first, second)
        if not close.all():
            row, position = np.argwhere(~close)[0]
            raise LawBroken(
                f"{what}: {name} differ in row {row} at position {position}: "
                f"{first[row, position]} and {second[row, position]}"
            )
    for row, position in np.argwhere(one.items != other.items):
        if not _ties(other, row, int(one.items[row, position]), float(one.scores[row, position])):
            raise LawBroken(
                f"{what}: items differ in row {row} at position {position}: "
                f"{one.items[row, position]} and {other.items[row, position]}"
            )


def _close(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.bool_]:
    finite = np.isfinite(first) & np.isfinite(second)
    scale = max(float(np.abs(first[finite]).max(initial=0)), 1e-12)
    return finite & np.isclose(first, second, rtol=RELATIVE, atol=RELATIVE * scale * 1e-2)


def _ties(ranking: Ranking, row: int, item: int, score: float) -> bool:
    """Whether the row has the item at the same score elsewhere, or ends at that score (the item fell off)."""
    if item == NO_ITEM:
        return False
    scores = ranking.scores[row]
    places = scores[ranking.items[row] == item]
    rival = places if len(places) else scores[np.isfinite(scores)][-1:]
    return bool(len(rival)) and bool(_close(np.asarray([score], np.float32), rival[:1])[0])


def arrays_in(value: object, path: str = "") -> dict[str, NDArray[np.generic]]:
    """Every array inside nested dataclasses and CSR matrices, by its path."""
    if isinstance(value, np.ndarray):
        return {path: value}
    if isinstance(value, csr_array):
        parts = {part: getattr(value, part) for part in ("data", "indices", "indptr")}
    elif is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    else:
        return {}
    return {
        name: array
        for part, inner in parts.items()
        for name, array in arrays_in(inner, f"{path}.{part}" if path else part).items()
    }


def copies(value: object) -> dict[str, NDArray[np.generic]]:
    """The arrays as they are now."""
    return {name: array.copy() for name, array in arrays_in(value).items()}


def require_untouched(value: object, before: dict[str, NDArray[np.generic]], what: str) -> None:
    """Raise LawBroken naming the arrays that are no longer what they were."""
    now = arrays_in(value)
    changed = [name for name, array in before.items() if array.tobytes() != now[name].tobytes()]
    if changed:
        raise LawBroken(f"{what} wrote to {', '.join(changed)}")
