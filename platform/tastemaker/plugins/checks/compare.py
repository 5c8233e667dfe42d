"""Comparison of rankings, and of inputs before and after a call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins.arrays import Ranking
from tastemaker.plugins.checks.subject import CheckFailed
from tastemaker.plugins.ranking_diff import difference
from tastemaker.plugins.read_only import arrays_in


def require_same(one: Ranking, other: Ranking, what: str) -> None:
    """Compare two rankings of the same requests, with the tolerance of `ranking_diff`.

    Args:
        one: A ranking.
        other: The ranking to compare it with.
        what: What is compared, in words, for the message.

    Raises:
        CheckFailed: They differ; the message says in what and where.
    """
    if (said := difference(one, other)) is not None:
        raise CheckFailed(f"{what}: {said}")


def copies(value: object) -> dict[str, NDArray[np.generic]]:
    """Return copies of the arrays in a value, by their paths."""
    return {name: array.copy() for name, array in arrays_in(value).items()}


def require_untouched(value: object, before: dict[str, NDArray[np.generic]], what: str) -> None:
    """Compare the arrays in a value with their copies from before a call.

    Args:
        value: What was passed to the model's method: an array, a CSR matrix or a dataclass that holds some.
        before: The `copies` of its arrays, taken before the call.
        what: The method that must not write to them, for the message.

    Raises:
        CheckFailed: Arrays have changed; the message names them.
    """
    now = arrays_in(value)
    changed = [name for name, array in before.items() if array.tobytes() != now[name].tobytes()]
    if changed:
        raise CheckFailed(f"{what} wrote to {', '.join(changed)}")
