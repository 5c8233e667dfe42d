"""Choosing the k best allowed items of a batch, the last step of every model."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import PluginError
from tastemaker.plugins.arrays import NO_ITEM, Batch, Float32, Int64, Ranking

FEW = 2048
"""Rows that are no wider than this many columns are partitioned at once."""

AT_ONCE = 2**21
"""Scores that are worked on at a time: 8 MB. With fewer rows the product is slower, with more the rest."""


class ScoresError(PluginError):
    """A model handed over scores from which no list can be chosen."""


ROWS = 64
"""No fewer rows at a time, however wide: a matrix product of few rows reads its other factor for little."""


def select(scores: Float32, batch: Batch, k: int) -> Ranking:
    """The k best allowed items of each row, by score, then by item number. A deterministic policy's ranking.

    `scores` is float32[n, n_items], finite or -inf; it is overwritten. What the batch excludes, does not list
    among its candidates or marks as unavailable is never returned. Propensities are 1: the list is certain.
    Raises ScoresError (PluginError) for scores of another shape or type, and for NaN.
    """
    _check_form(scores, (len(batch), batch.history.n_items))
    return select_rows(scores.__getitem__, batch, k)


def select_rows(score: Callable[[slice], Float32], batch: Batch, k: int) -> Ranking:
    """The same for scores that are made when they are needed, and never all at once.

    `score(rows)` gives float32[rows, n_items], finite or -inf and free to be overwritten. It is asked for
    some MB at a time; of a larger batch, by several threads: numpy needs no lock of Python's.
    """
    ranking = empty_ranking(len(batch), k)
    size = max(AT_ONCE // max(batch.history.n_items, 1), ROWS)
    starts = range(0, len(batch), size)

    def fill(start: int) -> None:
        rows = slice(start, min(start + size, len(batch)))
        part = Ranking(ranking.items[rows], ranking.scores[rows], ranking.propensities[rows])
        scores = score(rows)
        _check_form(scores, (rows.stop - rows.start, batch.history.n_items))
        _check_finite(scores)
        _fill(part, scores, batch, start)

    if len(starts) <= 1:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, starts))  # the list, so that an error is raised here
    return ranking


def _check_form(scores: object, shape: tuple[int, int]) -> None:
    """Raise ScoresError for what is no float[rows of the batch, items of the catalogue]."""
    if not isinstance(scores, np.ndarray):
        raise ScoresError(
            f"the scores are a {type(scores).__name__}, must be an array",
            fix="of a sparse matrix, hand over scores.toarray()",
        )
    if scores.shape != shape:
        raise ScoresError(
            f"the scores have shape {scores.shape}, must be {shape}: a row for each row of the batch, in its "
            "order, and a column for each item of the catalogue",
            fix="index users by batch.users; the number of items is batch.history.n_items",
        )
    if scores.dtype.kind != "f":
        raise ScoresError(
            f"the scores are {scores.dtype}, must be float32", fix="hand over scores.astype(np.float32)"
        )


def _check_finite(scores: Float32) -> None:
    """Raise ScoresError where a score is NaN or infinite; -inf is what a model itself rules out."""
    best = scores.max(initial=-np.inf)  # NaN where there is any
    if not best < np.inf:
        n = np.count_nonzero(np.isnan(scores)) or np.count_nonzero(np.isinf(scores))
        raise ScoresError(
            f"{n:,} of {scores.size:,} scores are {best}, must be finite",
            fix="look for a division by zero or a missing feature; np.nan_to_num gives such scores a number",
        )


def _fill(ranking: Ranking, scores: Float32, batch: Batch, start: int) -> None:
    """Write the answer to the batch's rows from `start` on."""
    _forbid_items(scores, batch, start)
    k = ranking.items.shape[1]
    if batch.candidates is None:
        items = columns = best_columns(scores, k)
    else:
        listed = np.sort(batch.candidates[start : start + len(scores)], axis=1)
        scores = np.take_along_axis(scores, np.maximum(listed, 0).astype(np.int64), axis=1)
        scores[listed == NO_ITEM] = -np.inf
        scores[:, 1:][listed[:, 1:] == listed[:, :-1]] = -np.inf
        columns = best_columns(scores, k)
        items = np.take_along_axis(listed, columns, axis=1).astype(np.int64)
    best = np.take_along_axis(scores, columns, axis=1)
    allowed = np.isfinite(best)
    width = columns.shape[1]
    ranking.items[:, :width] = np.where(allowed, items, NO_ITEM)
    ranking.scores[:, :width] = best
    ranking.propensities[:, :width] = allowed


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

    Wide rows are dealt into b blocks, column c to block c mod b, so that whole runs of columns are compared.
    Let t be the k-th greatest of the blocks' maxima. If just k maxima reach t, they stand for k columns that
    reach it, no column of another block does, and those k blocks hold the answer.
    """
    n, width = scores.shape
    k = min(k, width)
    layers = int(np.sqrt(width / max(k, 1)) / 1.5)  # balances the number of blocks with what k blocks hold
    if width <= FEW or layers < 4:
        return _best_of_few(scores, k)
    n_blocks = width // layers
    maxima = _maxima_of_blocks(scores, n_blocks, layers)
    chosen = maxima >= np.partition(maxima, n_blocks - k, axis=1)[:, n_blocks - k, None]
    tied = np.count_nonzero(chosen, axis=1) > k
    if tied.any():
        best = np.empty((n, k), np.int64)
        best[tied], best[~tied] = _best_of_tied(scores[tied], k), best_columns(scores[~tied], k)
        return best
    blocks = (np.flatnonzero(chosen) % n_blocks).reshape(n, 1, k)
    starts = np.arange(0, width, n_blocks)[:, None]
    return _best_of_columns(scores, (starts + blocks).reshape(n, len(starts) * k), k)


def _maxima_of_blocks(scores: Float32, n_blocks: int, layers: int) -> Float32:
    """float32[n, n_blocks]: the greatest score of the columns c with c mod n_blocks = 0, 1, ..."""
    whole = n_blocks * layers
    maxima: Float32 = scores[:, :whole].reshape(len(scores), layers, n_blocks).max(axis=1)
    rest = scores[:, whole:]
    np.maximum(maxima[:, : rest.shape[1]], rest, out=maxima[:, : rest.shape[1]])
    return maxima


def _best_of_tied(scores: Float32, k: int) -> Int64:
    """The same by blocks of neighbours, slower to compare: of equal blocks the first ones hold the answer."""
    n, width = scores.shape
    size = int(np.sqrt(width / k))
    maxima = np.maximum.reduceat(scores, np.arange(0, width, size), axis=1)
    blocks = np.sort(_best_of_few(maxima, k), axis=1)
    return _best_of_columns(scores, (blocks[:, :, None] * size + np.arange(size)).reshape(n, k * size), k)


def _best_of_columns(scores: Float32, columns: Int64, k: int) -> Int64:
    """The k best of some columns of each row, which ascend; those past the last are no columns."""
    n, width = scores.shape
    places = np.minimum(columns, width - 1) + width * np.arange(n)[:, None]
    values = scores.reshape(-1).take(places)
    values[columns >= width] = -np.inf  # k blocks hold at least k true columns, so none of these is taken
    best: Int64 = np.take_along_axis(columns, _best_of_few(values, k), axis=1)
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


def _forbid_items(scores: Float32, batch: Batch, start: int = 0) -> None:
    """The same without the candidates, for the batch's rows from `start` on."""
    if batch.available is not None:
        np.copyto(scores, -np.inf, where=~batch.available)
    if batch.excluded is not None:
        offsets = batch.excluded.indptr[start : start + len(scores) + 1]
        stored = slice(offsets[0], offsets[-1])
        rows = np.repeat(np.arange(len(scores)), np.diff(offsets))
        true = np.asarray(batch.excluded.data[stored], np.bool_)
        scores[rows[true], batch.excluded.indices[stored][true]] = -np.inf
