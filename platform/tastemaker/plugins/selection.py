"""Choosing the k best allowed items of a batch, the last step of every model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins.arrays import NO_ITEM, Batch, Float32, Int64, Ranking

FEW = 2048
"""Rows that are no wider than this many columns are partitioned at once."""


def select(scores: Float32, batch: Batch, k: int) -> Ranking:
    """The k best allowed items of each row, by score, then by item number. A deterministic policy's ranking.

    `scores` is float32[n, n_items], finite; it is overwritten. What the batch excludes, does not list among
    its candidates or marks as unavailable is never returned. Propensities are 1: the list is certain.
    """
    _forbid_items(scores, batch)
    if batch.candidates is None:
        items = columns = best_columns(scores, k)
    else:
        listed = np.sort(batch.candidates, axis=1)
        scores = np.take_along_axis(scores, np.maximum(listed, 0).astype(np.int64), axis=1)
        scores[listed == NO_ITEM] = -np.inf
        scores[:, 1:][listed[:, 1:] == listed[:, :-1]] = -np.inf
        columns = best_columns(scores, k)
        items = np.take_along_axis(listed, columns, axis=1).astype(np.int64)
    best = np.take_along_axis(scores, columns, axis=1)
    allowed = np.isfinite(best)
    ranking = empty_ranking(len(batch), k)
    width = columns.shape[1]
    ranking.items[:, :width] = np.where(allowed, items, NO_ITEM)
    ranking.scores[:, :width] = best
    ranking.propensities[:, :width] = allowed
    return ranking


def forbid(scores: Float32, batch: Batch) -> None:
    """Set to -inf, in place, the score of every item that the batch does not allow."""
    _forbid_items(scores, batch)
    if batch.candidates is not None:
        allowed = np.zeros(scores.shape, np.bool_)
        rows, columns = np.nonzero(batch.candidates != NO_ITEM)
        allowed[rows, batch.candidates[rows, columns]] = True
        np.copyto(scores, -np.inf, where=~allowed)


def empty_ranking(n: int, k: int) -> Ranking:
    """n rows of nothing but padding."""
    return Ranking(
        np.full((n, k), NO_ITEM, np.int32),
        np.full((n, k), -np.inf, np.float32),
        np.zeros((n, k), np.float32),
    )


def best_columns(scores: Float32, k: int) -> Int64:
    """int64[n, min(k, width)]: each row's k greatest columns, greatest first, equal ones by number.

    Wide rows are cut into blocks. The k blocks of the greatest maxima (equal ones by number) hold the answer:
    a column outside of them is beaten by one column in each of those k. So only the maxima are read in full.
    """
    n, width = scores.shape
    k = min(k, width)
    size = int(np.sqrt(width / max(k, 1)))  # balances the number of blocks with what k blocks hold
    if width <= FEW or size < 4:
        return _best_of_few(scores, k)
    starts = np.arange(0, width, size)
    blocks = np.sort(best_columns(np.maximum.reduceat(scores, starts, axis=1), k), axis=1)
    columns = (blocks[:, :, None] * size + np.arange(size)).reshape(n, blocks.shape[1] * size)
    values = np.take_along_axis(scores, np.minimum(columns, width - 1), axis=1)
    values[columns >= width] = -np.inf  # k blocks hold at least k true columns, so none of these is taken
    best: Int64 = np.take_along_axis(columns, best_columns(values, k), axis=1)
    return best


def _best_of_few(scores: Float32, k: int) -> Int64:
    """The same by sorting integers that order as (score, -column) do: a tie can't fall either way."""
    width = scores.shape[1]
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.int32)  # + 0 turns -0 into 0, its equal
    ordered = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64)
    keys = (ordered << 32) + (width - 1 - np.arange(width))
    if k < width:
        keys = np.partition(keys, width - k, axis=1)[:, width - k :]
    keys = np.sort(keys, axis=1)[:, ::-1]
    columns: NDArray[np.int64] = width - 1 - (keys & 0xFFFFFFFF)
    return columns


def _forbid_items(scores: Float32, batch: Batch) -> None:
    if batch.available is not None:
        np.copyto(scores, -np.inf, where=~batch.available)
    if batch.excluded is not None:
        excluded = batch.excluded
        rows = np.repeat(np.arange(len(batch)), np.diff(excluded.indptr))
        stored = np.asarray(excluded.data, np.bool_)
        scores[rows[stored], excluded.indices[stored]] = -np.inf
