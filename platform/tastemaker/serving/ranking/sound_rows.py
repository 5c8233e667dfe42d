"""Checks of a model's ranking: a plugin may return anything, and a caller is shown allowed items only."""

from __future__ import annotations

from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins.arrays import NO_ITEM, Batch, Bool, Float32, Int32, Int64, Ranking


class Row(NamedTuple):
    """The items of one list, by number, best first."""

    items: list[int]
    scores: list[float]
    propensities: list[float]
    sound: bool
    """Whether all that the model returned for this row may be shown."""


def sound_rows(ranking: Ranking, batch: Batch, k: int, n_items: int) -> list[Row]:
    """Return the items of each row that may be shown.

    They are known to the catalogue, allowed by the batch and not repeated, with a finite score and a
    propensity in (0, 1].

    Args:
        ranking: What the plugin returned: anything.
        batch: What it was called with, n rows.
        k: The most items per row.
        n_items: The size of the catalogue.

    Raises:
        ValueError: If `ranking` is not a ranking of this batch: other types or shapes.
    """
    items, scores, propensities = _checked(ranking, len(batch), k)
    good = (items >= 0) & (items < n_items) & np.isfinite(scores) & (propensities > 0) & (propensities <= 1)
    safe = np.where(good, items, 0)
    good &= _allowed(safe, batch, n_items)
    if (repeated := _repeated(items)) is not None:
        good &= ~repeated
    parts = items.tolist(), scores.tolist(), propensities.tolist()
    if good.all():
        return [Row(i, s, p, True) for i, s, p in zip(*parts, strict=True)]
    sound = (good | (items == NO_ITEM)).all(axis=1).tolist()
    return [
        Row(i, s, p, True)
        if all(keep)
        else Row(list(compress(i, keep)), list(compress(s, keep)), list(compress(p, keep)), whole)
        for i, s, p, keep, whole in zip(*parts, good.tolist(), sound, strict=True)
    ]


def _checked(ranking: Ranking, n: int, k: int) -> tuple[Int32, Float32, Float32]:
    """Return items, scores and propensities, n x k, of the interface's types. Raises ValueError."""
    if not isinstance(ranking, tuple) or len(ranking) != 3:
        raise ValueError(f"a {type(ranking).__name__} is not a ranking")
    parts: list[NDArray[Any]] = [np.asarray(part) for part in ranking]
    shape = parts[0].shape
    if len(shape) != 2 or shape[0] != n or any(part.shape != shape for part in parts):
        raise ValueError(f"a ranking of shapes {[part.shape for part in parts]} for {n} rows")
    if [part.dtype.kind for part in parts] != ["i", "f", "f"]:
        raise ValueError(f"a ranking of types {[str(part.dtype) for part in parts]}")
    items, scores, propensities = (part[:, :k] for part in parts)
    return items, scores, propensities


def _allowed(items: Int32, batch: Batch, n_items: int) -> Bool:
    """Return bool[n, k]: which of `items`, in [0, n_items), the batch allows."""
    allowed: Bool = np.ones(items.shape, np.bool_) if batch.available is None else batch.available[items]
    places = np.arange(len(items))[:, np.newaxis] * n_items + items
    if batch.excluded is not None and batch.excluded.nnz:
        excluded = batch.excluded
        rows = np.repeat(np.arange(len(items)), np.diff(excluded.indptr))
        allowed &= ~_among(places, np.sort(rows * n_items + excluded.indices))
    if batch.candidates is not None:
        listed = np.arange(len(items))[:, np.newaxis] * n_items + batch.candidates
        allowed &= _among(places, np.sort(listed[batch.candidates >= 0]))
    return allowed


def _among(places: Int64, ordered: Int64) -> Bool:
    """Return which of the places occur in an ascending array."""
    if not len(ordered):
        return np.zeros(places.shape, np.bool_)
    found = np.searchsorted(ordered, places)
    same: Bool = np.take(ordered, found, mode="clip") == places
    return same


def _repeated(items: Int32) -> Bool | None:
    """Return bool[n, k]: entries whose item stands further left already; None if there are none."""
    ordered = np.sort(items, axis=1)
    rows = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1)).tolist()
    if not rows:
        return None
    repeated: Bool = np.zeros(items.shape, np.bool_)
    for row in rows:
        repeated[row] = True
        repeated[row, np.unique(items[row], return_index=True)[1]] = False
    return repeated
