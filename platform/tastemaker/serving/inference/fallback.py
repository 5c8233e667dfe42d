"""The fallback chain: which items fill a list that the model leaves empty or too short, and why it does.

    model -> the model's precomputed list -> popular items -> a static list

Each stage fills the places that are left. No item comes twice, and every item is allowed. Only the model runs
a plugin's code; the other stages are look-ups and need no deadline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tastemaker.event_log.records import Stage
from tastemaker.plugins.arrays import Batch, Bool, Int32


class AllowedItems(NamedTuple):
    """The items that one request may be shown."""

    excluded: Collection[int]
    candidates: Int32 | None
    available: Bool | None

    @classmethod
    def of(cls, batch: Batch, row: int) -> AllowedItems:
        """Return what one request of a batch may be shown.

        Args:
            batch: Requests, with what each excludes and names as candidates.
            row: The number of the request in the batch.
        """
        excluded: Collection[int] = ()
        if batch.excluded is not None:
            start, stop = batch.excluded.indptr[row : row + 2]
            excluded = batch.excluded.indices[start:stop].tolist()
        candidates = None if batch.candidates is None else batch.candidates[row]
        return cls(excluded, candidates, batch.available)

    def among(self, items: Int32, *, but_not: Iterable[int], at_most: int) -> list[int]:
        """Return the allowed ones of `items`, in their order.

        Args:
            items: int32[m], item numbers of the catalogue, each once.
            but_not: Item numbers that are in the list already.
            at_most: The most items to return.
        """
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
    taken: Sequence[int], k: int, allowed: AllowedItems, stages: Iterable[tuple[Stage, Int32]]
) -> tuple[list[int], list[tuple[Stage, int]]]:
    """Return the items that fill a list, and how many of them each stage gave.

    Args:
        taken: The item numbers that are in the list already.
        k: The length of the full list.
        allowed: The items that may be shown.
        stages: Each stage's items, best first and each once, in the order of the stages.

    Returns:
        At most k - len(taken) item numbers, and the stages that gave some, in their order.
    """
    more: list[int] = []
    counts: list[tuple[Stage, int]] = []
    for stage, items in stages:
        missing = k - len(taken) - len(more)
        if missing <= 0:
            break
        found = allowed.among(items, but_not=(*taken, *more), at_most=missing)
        if found:
            counts.append((stage, len(found)))
        more += found
    return more, counts
