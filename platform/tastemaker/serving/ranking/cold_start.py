"""New items: a place in the list for items that no model knows yet.

The last place of a list goes to one of the new items, drawn with

    p_i = ε / n + (1 - ε) w_i / Σ w,   w_i = Σ over items j in the row's list or history of likeness(i, j)

by content, and uniformly where all likenesses are 0. p_i is the propensity: it does not depend on the model,
and every new item has a chance.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.plugins.arrays import Int32
from tastemaker.plugins.seeded_random import mix_one
from tastemaker.serving.ranking.similar_items import by_content
from tastemaker.serving.writes.catalog_overrides import NewItem
from tastemaker.snapshot.snapshot import Snapshot

Float64 = NDArray[np.float64]

UNIFORM_SHARE = 0.2
"""ε"""
MIN_K = 5
"""Shorter lists have no place for a new item."""
_SALT = 0x636F6C64
"""Makes the draw independent of the model's draws from the same seed."""


class Drawn(NamedTuple):
    """A new item, and how probable it was."""

    item_id: str
    propensity: float


class ColdStart:
    """The new items at one time. Building it takes one search by content per item: not within a request."""

    def __init__(self, snapshot: Snapshot, items: Iterable[NewItem]) -> None:
        """Look for the items of the catalogue that are like each new item.

        Args:
            snapshot: The version's, whose catalogue is searched.
            items: The new items that may be drawn, in any order.
        """
        ordered = sorted(items)
        self.ids = [item.item_id for item in ordered]
        self._places = {item_id: place for place, item_id in enumerate(self.ids)}
        numbers = snapshot.item_ids.lookup(self.ids).tolist()
        self._in_catalogue = {
            number: each for number, each in zip(numbers, self.ids, strict=True) if number >= 0
        }
        alike = [by_content(snapshot, item.listed) for item in ordered]
        columns = np.repeat(np.arange(len(alike)), [len(each) for each in alike])
        rows = np.array([one.item for each in alike for one in each], np.int32)
        scores = np.array([one.score for each in alike for one in each], np.float32)
        shape = (len(snapshot.item_ids), len(self.ids))
        self._likeness = csr_array((scores, (rows, columns)), shape=shape)

    def __len__(self) -> int:
        return len(self.ids)

    def ids_of(self, items: Iterable[int]) -> set[str]:
        """Return the ids of the new items among catalogue numbers: an item without a history is new, too."""
        return {self._in_catalogue[item] for item in items if item in self._in_catalogue}

    def draw(
        self, seed: int, near: Int32, *, but_not: Collection[str], among: Collection[str] | None
    ) -> Drawn | None:
        """Return a new item that may be shown; None if there is none.

        Args:
            seed: The row's.
            near: int32[m], the catalogue numbers of the items in the row's list and history.
            but_not: Ids that may not be shown.
            among: The ids that may be shown; None for all.
        """
        probabilities = self._probabilities(near, but_not, among)
        if probabilities is None:
            return None
        point = mix_one(seed ^ _SALT) / 2**64
        place = int(np.searchsorted(np.cumsum(probabilities), point, side="right"))
        place = min(place, int(np.flatnonzero(probabilities)[-1]))  # sums of floats end just below 1
        return Drawn(self.ids[place], min(float(probabilities[place]), 1.0))

    def _probabilities(
        self, near: Int32, but_not: Collection[str], among: Collection[str] | None
    ) -> Float64 | None:
        allowed = np.ones(len(self), np.bool_)
        if among is not None:
            allowed[:] = False
            allowed[[self._places[item_id] for item_id in among if item_id in self._places]] = True
        allowed[[self._places[item_id] for item_id in but_not if item_id in self._places]] = False
        n = int(allowed.sum())
        if n == 0:
            return None
        weights = np.asarray(self._likeness[near].sum(axis=0), np.float64) * allowed
        total = weights.sum()
        if total == 0:
            return allowed / n
        probabilities: Float64 = UNIFORM_SHARE * allowed / n + (1 - UNIFORM_SHARE) * weights / total
        return probabilities
