"""Choosing the k best allowed items of a batch, the last step of every model."""

from __future__ import annotations

import numpy as np

from tastemaker.plugins.arrays import NO_ITEM, Batch, Float32, Ranking


def select(scores: Float32, batch: Batch, k: int) -> Ranking:
    """The k best allowed items of each row, by score, then by item number. A deterministic policy's ranking.

    `scores` is float32[n, n_items], finite; it is overwritten. What the batch excludes, does not list among its
    candidates or marks as unavailable is never returned. Propensities are 1: the list is certain.
    """
    forbid(scores, batch)
    n, n_items = scores.shape
    width = min(k, n_items)
    if width < n_items:
        # argpartition alone breaks ties arbitrarily, so a row could differ from itself in a batch: every
        # item that ties with the k-th best is taken along, and the order decides among them.
        threshold = -np.partition(-scores, width - 1, axis=1)[:, width - 1 : width]
        rows, items = np.nonzero(scores >= threshold)
    else:
        rows, items = np.divmod(np.arange(n * n_items), max(n_items, 1))
    kept = scores[rows, items]
    order = np.lexsort((items, -kept, rows))
    rows, items, kept = rows[order], items[order], kept[order]
    position = np.arange(len(rows)) - np.searchsorted(rows, np.arange(n))[rows]
    taken = (position < width) & np.isfinite(kept)
    ranking = empty_ranking(n, k)
    at = rows[taken], position[taken]
    ranking.items[at] = items[taken]
    ranking.scores[at] = kept[taken]
    ranking.propensities[at] = 1
    return ranking


def forbid(scores: Float32, batch: Batch) -> None:
    """Set to -inf, in place, the score of every item that the batch does not allow."""
    if batch.available is not None:
        scores[:, ~batch.available] = -np.inf
    if batch.excluded is not None:
        rows, items = batch.excluded.nonzero()
        scores[rows, items] = -np.inf
    if batch.candidates is not None:
        allowed = np.zeros(scores.shape, np.bool_)
        rows, columns = np.nonzero(batch.candidates != NO_ITEM)
        allowed[rows, batch.candidates[rows, columns]] = True
        scores[~allowed] = -np.inf


def empty_ranking(n: int, k: int) -> Ranking:
    """n rows of nothing but padding."""
    return Ranking(
        np.full((n, k), NO_ITEM, np.int32),
        np.full((n, k), -np.inf, np.float32),
        np.zeros((n, k), np.float32),
    )
