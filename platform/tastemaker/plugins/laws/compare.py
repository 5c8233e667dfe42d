"""When two answers are the same, and when two inputs still are."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.plugins.arrays import Ranking
from tastemaker.plugins.laws.subject import LawBroken
from tastemaker.plugins.sameness import difference


def require_same(one: Ranking, other: Ranking, what: str) -> None:
    """Raise LawBroken unless the answers are the same: see `sameness`."""
    if (said := difference(one, other)) is not None:
        raise LawBroken(f"{what}: {said}")


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
