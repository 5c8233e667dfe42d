"""What the caller is shown of what a plugin returned, and what fills the gap that it leaves.

    model -> the model's precomputed list -> popular items -> a static list

Each stage adds to what the one before it left over; no item comes twice, and none that is not allowed. Only
the model runs code of a plugin. The stages behind it are look-ups, so they need no deadline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.event_log.records import Stage
from tastemaker.plugins.arrays import NO_ITEM, Batch, Bool, Float32, Int32, Int64, Ranking

MODEL_ERROR: Final = "model_error"
"""The model raised, or what it returned is no ranking."""
MODEL_INVALID: Final = "model_invalid"
"""The model returned items that do not exist, are forbidden or repeated, or have no score: dropped."""
MODEL_SHORT: Final = "model_short"
"""The model returned fewer items than it might have."""
MODEL_TIMEOUT: Final = "model_timeout"
"""The model had not answered at its deadline."""
MODEL_OVERLOADED: Final = "model_overloaded"
"""More requests waited for the model than it can answer in time."""
MODEL_RESTING: Final = "model_resting"
"""The model did not answer several times, so it is not asked for a while."""
NO_MODEL: Final = "no_model"
"""No version could be loaded."""
FALLBACKS: Final = (
    MODEL_ERROR, MODEL_INVALID, MODEL_SHORT, MODEL_TIMEOUT, MODEL_OVERLOADED, MODEL_RESTING, NO_MODEL,
)  # fmt: skip
STAGES: Final[tuple[Stage, ...]] = ("model", "precomputed", "popular", "static")


class Row(NamedTuple):
    """The items of one list, by number, and what they are worth."""

    items: list[int]
    scores: list[float]
    propensities: list[float]
    sound: bool
    """Whether all that the model returned for this row may be shown."""


def sound_rows(ranking: Ranking, batch: Batch, k: int, n_items: int) -> list[Row]:
    """What may be shown of each row. Raises ValueError if `ranking` is no ranking of this batch at all.

    Known to the catalogue, allowed by the batch, each once, with a finite score and a propensity in (0, 1].
    """
    items, scores, propensities = _checked(ranking, len(batch), k)
    padding = items == NO_ITEM
    good = (items >= 0) & (items < n_items) & np.isfinite(scores) & (propensities > 0) & (propensities <= 1)
    safe = np.where(good, items, 0)
    good &= _allowed(safe, batch, n_items)
    if (repeated := _repeated(items)) is not None:
        good &= ~repeated
    sound = (good | padding).all(axis=1).tolist()
    rows = zip(items.tolist(), scores.tolist(), propensities.tolist(), good.tolist(), sound, strict=True)
    return [
        Row(i, s, p, True)
        if all(keep)
        else Row(list(compress(i, keep)), list(compress(s, keep)), list(compress(p, keep)), whole)
        for i, s, p, keep, whole in rows
    ]


def _checked(ranking: Ranking, n: int, k: int) -> tuple[Int32, Float32, Float32]:
    """The three parts as n x k arrays of the types that the interface promises. Raises ValueError."""
    if not isinstance(ranking, tuple) or len(ranking) != 3:
        raise ValueError(f"a {type(ranking).__name__} is no ranking")
    parts: list[NDArray[Any]] = [np.asarray(part) for part in ranking]
    shape = parts[0].shape
    if len(shape) != 2 or shape[0] != n or any(part.shape != shape for part in parts):
        raise ValueError(f"a ranking of shapes {[part.shape for part in parts]} for {n} rows")
    if [part.dtype.kind for part in parts] != ["i", "f", "f"]:
        raise ValueError(f"a ranking of types {[str(part.dtype) for part in parts]}")
    items, scores, propensities = (part[:, :k] for part in parts)
    return items, scores, propensities


def _allowed(items: Int32, batch: Batch, n_items: int) -> Bool:
    """bool[n, k]: what the batch lets be shown; `items` lie in [0, n_items)."""
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
    """Which of the places occur in an ascending array."""
    if not len(ordered):
        return np.zeros(places.shape, np.bool_)
    found = np.searchsorted(ordered, places)
    same: Bool = np.take(ordered, found, mode="clip") == places
    return same


def _repeated(items: Int32) -> Bool | None:
    """bool[n, k]: entries whose item stands further left already; None if there are none."""
    rows = [row for row, listed in enumerate(items.tolist()) if len(set(listed)) < len(listed)]
    if not rows:
        return None
    repeated: Bool = np.zeros(items.shape, np.bool_)
    for row in rows:
        repeated[row] = True
        repeated[row, np.unique(items[row], return_index=True)[1]] = False
    return repeated


class CandidateRules(NamedTuple):
    """Which items one request may be shown."""

    excluded: Collection[int]
    candidates: Int32 | None
    available: Bool | None

    @classmethod
    def of(cls, batch: Batch, row: int) -> CandidateRules:
        """Those of one row of a batch."""
        excluded: Collection[int] = ()
        if batch.excluded is not None:
            start, stop = batch.excluded.indptr[row : row + 2]
            excluded = batch.excluded.indices[start:stop].tolist()
        candidates = None if batch.candidates is None else batch.candidates[row]
        return cls(excluded, candidates, batch.available)

    def among(self, items: Int32, *, but_not: Iterable[int], at_most: int) -> list[int]:
        """Those of `items` (known to the catalogue) that are allowed and not taken, in their order."""
        out = {*self.excluded, *but_not}
        if self.candidates is None and self.available is None:
            head = items[: at_most + len(out)].tolist()
            return [item for item in head if item not in out][:at_most]
        keep = ~np.isin(items, list(out))
        if self.candidates is not None:
            keep &= np.isin(items, self.candidates)
        if self.available is not None:
            keep &= self.available[items]
        found: list[int] = items[keep][:at_most].tolist()
        return found


def fill(
    taken: Sequence[int], k: int, rules: CandidateRules, stages: Iterable[tuple[Stage, Int32]]
) -> tuple[list[int], Stage | None]:
    """Up to k - len(taken) more items, and the first stage that gave one.

    `stages` holds, in order, each stage's items, best first and each once.
    """
    more: list[int] = []
    first: Stage | None = None
    for stage, items in stages:
        missing = k - len(taken) - len(more)
        if missing <= 0:
            break
        found = rules.among(items, but_not=(*taken, *more), at_most=missing)
        if found and first is None:
            first = stage
        more += found
    return more, first
