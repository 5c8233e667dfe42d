"""Filters: items that must not be shown, beyond those that the version's snapshot excludes.

The snapshot excludes what a user had (where the problem allows no repeats) and what was sold out or blocked
at its time; the request names what its caller excludes. Here, what was sold out since and what a user blocked
are added. All of it is in the batch before any item is chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from tastemaker.plugins import Batch
from tastemaker.plugins.arrays import Bool
from tastemaker.serving.writes.catalog_overrides import CatalogOverrides
from tastemaker.snapshot.snapshot import Snapshot


class Filters:
    """The filters of one version."""

    def __init__(self, snapshot: Snapshot, overlay: CatalogOverrides) -> None:
        """Filter by what the snapshot allows, until callers' changes are read.

        Args:
            snapshot: The version's, with the availability of items at its time.
            overlay: What callers changed since: items that are sold out, and items that users block.
        """
        self._snapshot, self._overlay = snapshot, overlay
        self._made: tuple[int, Bool | None] = (0, snapshot.available)

    def restrict(self, batch: Batch, user_ids: Sequence[str]) -> Batch:
        """Return the batch without what was excluded since the training.

        Args:
            batch: n requests; not changed.
            user_ids: n ids, that of row i at place i.

        Returns:
            The batch itself where nothing further is excluded, else a copy with other filters.
        """
        self._overlay.refresh()
        blocked = self._overlay.blocked(user_ids)
        available = self.available
        if available is self._snapshot.available and not blocked:
            return batch
        excluded = batch.excluded
        if blocked:
            rows = self._blocked([blocked.get(user_id, ()) for user_id in user_ids])
            excluded = rows if excluded is None else csr_array(excluded + rows)
            excluded.sort_indices()
        return replace(batch, available=available, excluded=excluded)

    @property
    def available(self) -> Bool | None:
        """bool[n_items]: what may be shown; the snapshot's own array while no item was sold out since."""
        state, available = self._made
        if state != self._overlay.state:
            state = self._overlay.state
            available = self._without(self._overlay.sold_out)
            self._made = state, available
        return available

    def _without(self, sold_out: Collection[str]) -> Bool | None:
        known, n_items = self._snapshot.available, len(self._snapshot.item_ids)
        numbers = self._snapshot.item_ids.lookup(list(sold_out))
        numbers = numbers[numbers >= 0]
        if not len(numbers):
            return known
        available = np.ones(n_items, np.bool_) if known is None else known.copy()
        available[numbers] = False
        return available

    def _blocked(self, lists: Sequence[Sequence[str]]) -> csr_array:
        """Return bool n x n_items: the items that each row's user blocks."""
        numbers = [np.unique(self._snapshot.item_ids.lookup(items)) for items in lists]
        numbers = [row[row >= 0] for row in numbers]
        offsets = np.concatenate(([0], np.cumsum([len(row) for row in numbers], dtype=np.int64)))
        columns = np.concatenate(numbers)
        ones = np.ones(len(columns), np.bool_)
        return csr_array((ones, columns, offsets), shape=(len(lists), len(self._snapshot.item_ids)))
