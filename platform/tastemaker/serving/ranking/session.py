"""Neighbours of the items of an anonymous session, for models that do not personalize."""

from __future__ import annotations

import numpy as np

from tastemaker.plugins import Batch, Ranking, select
from tastemaker.plugins.arrays import Float32
from tastemaker.snapshot.item_neighbours import Neighbours

FADING = 0.8
"""The weight of each item relative to the one after it."""


def by_neighbours(neighbours: Neighbours, batch: Batch, k: int, rest: Float32) -> Ranking:
    """Return the k best items of each row by the neighbours of its history's items.

        s_i = Σ over items j of the history of FADING^(items after j) · w_ji

    Args:
        neighbours: The most similar items of each item, with their similarities w.
        batch: n requests.
        k: The length of the lists.
        rest: float32[n_items] in [0, 1), the order of the items that no neighbour leads to, such as their
            popularity.
    """
    scores = np.tile(rest - 1, (len(batch), 1)).astype(np.float32)
    history = batch.history
    for row in range(len(batch)):
        mine = slice(int(history.offsets[row]), int(history.offsets[row + 1]))
        latest_first = np.argsort(-history.last_times[mine], kind="stable")
        weights = FADING ** np.arange(len(latest_first))
        items = history.items[mine][latest_first]
        found, alike = neighbours.items[items], neighbours.scores[items] * weights[:, None]
        known = found >= 0
        sums = np.bincount(found[known], alike[known], minlength=history.n_items)
        scores[row] = np.where(sums > 0, sums, scores[row])
    return select(scores, batch, k)
