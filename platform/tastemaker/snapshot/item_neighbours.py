"""Item to item: what people who had one item had besides, worked out for the whole catalogue at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from tastemaker.plugins.arrays import NO_ITEM, Float32, History, Int32
from tastemaker.plugins.recommender import load_array
from tastemaker.plugins.selection import best_columns

N_NEIGHBOURS = 50
SHRINKAGE = 10.0
"""β: pulls the likeness of items with few users towards 0."""
MAX_ITEMS_PER_USER = 500
"""Only the latest items of a longer history count: a reseller's thousands cost most and say little."""
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The items most like each item.

        w_ij = x_i·x_j / (‖x_i‖ ‖x_j‖ + β)

    x_i is item i's column of the users' histories, 1 where the summed reward is positive.
    """

    items: Int32
    """int32[n_items, N_NEIGHBOURS], most alike first, padded with -1."""
    scores: Float32
    """float32[n_items, N_NEIGHBOURS]: w, descending; 0 where padded."""

    @classmethod
    def of(cls, history: History) -> Neighbours:
        """Compute the neighbours of all items from users' histories, in O(Σ over users of items²) time."""
        matrix = _recent(history)
        norms = np.sqrt(np.bincount(matrix.indices, minlength=history.n_items)).astype(np.float32)
        items = np.full((history.n_items, N_NEIGHBOURS), NO_ITEM, np.int32)
        scores = np.zeros(items.shape, np.float32)
        columns = csr_array(matrix.T)
        for start in range(0, history.n_items, _ROWS_AT_ONCE):
            block = csr_array(columns[start : start + _ROWS_AT_ONCE] @ matrix)
            block.sort_indices()
            for item, (first, last) in enumerate(pairwise(block.indptr), start):
                others = block.indices[first:last]
                alike = block.data[first:last] / (norms[item] * norms[others] + np.float32(SHRINKAGE))
                alike[others == item] = 0
                best = best_columns(alike[np.newaxis], N_NEIGHBOURS)[0]
                best = best[alike[best] > 0]
                items[item, : len(best)], scores[item, : len(best)] = others[best], alike[best]
        return cls(items, scores)

    def __len__(self) -> int:
        return len(self.items)

    def save(self, folder: Path) -> None:
        """Write .npy files, all named neighbours.*."""
        np.save(folder / "neighbours.items.npy", self.items, allow_pickle=False)
        np.save(folder / "neighbours.scores.npy", self.scores, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Neighbours:
        """Memory-map what `save` wrote. Raises ArtifactError."""
        return cls(load_array(folder / "neighbours.items.npy"), load_array(folder / "neighbours.scores.npy"))


def _recent(history: History) -> csr_array:
    """Return float32 CSR[n, n_items]: 1 for each user's latest liked items, at most MAX_ITEMS_PER_USER."""
    liked = history.rewards > 0
    rows, items, times = history.rows[liked], history.items[liked], history.last_times[liked]
    order = np.lexsort((items, -times, rows))
    place = np.arange(len(order)) - np.searchsorted(rows, np.arange(len(history)))[rows]
    kept = order[place < MAX_ITEMS_PER_USER]
    return csr_array(
        (np.ones(len(kept), np.float32), (rows[kept], items[kept])), shape=(len(history), history.n_items)
    )
