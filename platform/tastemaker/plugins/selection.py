"""Selection of the k best allowed items of each row: the last step of every model."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import csr_array

from tastemaker.errors import PluginError
from tastemaker.plugins.arrays import NO_ITEM, Batch, Float32, Int64, Ranking

FEW = 2**13
"""At most so many scores are partitioned directly."""

LAYERS = 8
"""At least so many columns per block: with more, there are fewer maxima, and more scores are read twice."""

AT_ONCE = 3 * 2**19
"""Scores in memory per thread: 6 MB. With fewer the product is slower, with more the selection."""


class ScoresError(PluginError):
    """The scores of a model have a wrong shape or type, or are not finite."""


ROWS = 64
"""At least so many rows per block: a product of fewer rows reads its other factor for little work."""


def select(scores: Float32, batch: Batch, k: int) -> Ranking:
    """Return the k best allowed items of each row, by score, then by item number.

    Items that the batch excludes, that are not among its candidates or not available are left out. The
    propensity of each item is 1, as of a deterministic policy.

    Args:
        scores: float32[n, n_items], finite or -inf, which rules an item out. It is overwritten.
        batch: n requests.
        k: The length of the lists.

    Raises:
        ScoresError: The scores have another shape or type, or contain NaN or +inf. It is a PluginError.

    >>> from tastemaker.plugins import History
    >>> batch = Batch(
    ...     np.array([-1], np.int32),
    ...     History.empty(1, 4),
    ...     np.zeros(1, np.uint64),
    ...     now=0,
    ...     available=np.array([True, True, True, False]),
    ... )
    >>> ranking = select(np.array([[0.5, 0.9, 0.5, 2.0]], np.float32), batch, k=2)
    >>> ranking.items.tolist(), ranking.propensities.tolist()
    ([[1, 0]], [[1.0, 1.0]])
    """
    _check_form(scores, (len(batch), batch.history.n_items))
    return select_rows(scores.__getitem__, batch, k)


def select_rows(score: Callable[[slice], Float32], batch: Batch, k: int) -> Ranking:
    """Return the k best allowed items of each row, computing the scores block by block.

    Use it instead of `select` where all scores of a batch do not fit into memory. The blocks of a large batch
    are computed by several threads, since numpy releases Python's lock.

    Args:
        score: Returns the scores of a slice of rows: float32[rows, n_items], finite or -inf; it is
            overwritten.
        batch: n requests.
        k: The length of the lists.

    Raises:
        ScoresError: The scores have another shape or type, or contain NaN or +inf. It is a PluginError.
    """
    ranking = empty_ranking(len(batch), k)
    size = max(AT_ONCE // max(batch.history.n_items, 1), ROWS)
    starts = range(0, len(batch), size)

    def fill(start: int) -> None:
        rows = slice(start, min(start + size, len(batch)))
        part = Ranking(ranking.items[rows], ranking.scores[rows], ranking.propensities[rows])
        scores = score(rows)
        _check_form(scores, (rows.stop - rows.start, batch.history.n_items))
        _fill(part, scores, batch, start)

    if len(starts) <= 1:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, starts))  # the list, so that an error is raised here
    return ranking


def _check_form(scores: object, shape: tuple[int, int]) -> None:
    """Raise ScoresError unless the scores are float[rows of the batch, items of the catalogue]."""
    if not isinstance(scores, np.ndarray):
        raise ScoresError(
            f"the scores are a {type(scores).__name__}, must be an array",
            fix="for a sparse matrix, pass scores.toarray()",
        )
    if scores.shape != shape:
        raise ScoresError(
            f"the scores have shape {scores.shape}, must be {shape}: a row for each row of the batch, in its "
            "order, and a column for each item of the catalogue",
            fix="index users by batch.users; the number of items is batch.history.n_items",
        )
    if scores.dtype.kind != "f":
        raise ScoresError(
            f"the scores are {scores.dtype}, must be float32", fix="pass scores.astype(np.float32)"
        )


def _check_length(k: int) -> None:
    """Raise PluginError for a negative length of lists."""
    if k < 0:
        raise PluginError(
            f"k, the length of the lists, is {k}, must be at least 0", fix="pass the k of `recommend`"
        )


def _check_finite(scores: Float32, looked_at: Float32 | None = None) -> None:
    """Raise ScoresError for NaN and +inf; with -inf a model rules an item out.

    Args:
        scores: The scores, of which the message says how many are not finite.
        looked_at: Values that hold a NaN or the greatest score if any of the scores is NaN or infinite; by
            default all scores, which takes one pass over them.
    """
    best = (scores if looked_at is None else looked_at).max(initial=-np.inf)  # NaN where there is any
    if not best < np.inf:
        n = np.count_nonzero(np.isnan(scores)) or np.count_nonzero(np.isposinf(scores))
        raise ScoresError(
            f"{n:,} of {scores.size:,} scores are {best}, must be finite",
            fix="look for a division by zero or a missing feature; np.nan_to_num gives such scores a number",
        )


def _fill(ranking: Ranking, scores: Float32, batch: Batch, start: int) -> None:
    """Write the ranking of the batch's rows from `start` on."""
    whole = batch.available is not None or batch.candidates is not None
    if whole:
        _check_finite(scores)
    if batch.available is not None:
        np.copyto(scores, -np.inf, where=~batch.available)
    if batch.excluded is not None:
        scores = np.ascontiguousarray(scores)
        flat, places = scores.reshape(-1), _excluded(batch.excluded, start, len(scores))
        if not whole:  # `best_columns` checks what is left
            _check_finite(scores, flat.take(places))
        flat[places] = -np.inf
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
    """Set to -inf, in place, the scores of items that the batch does not allow.

    Args:
        scores: float32[n, n_items].
        batch: n requests.
    """
    if batch.available is not None:
        np.copyto(scores, -np.inf, where=~batch.available)
    if batch.excluded is not None:
        rows, columns = np.divmod(_excluded(batch.excluded, 0, len(scores)), max(scores.shape[1], 1))
        scores[rows, columns] = -np.inf
    if batch.candidates is not None:
        allowed = np.zeros(scores.shape, np.bool_)
        rows, columns = np.nonzero(batch.candidates != NO_ITEM)
        allowed[rows, batch.candidates[rows, columns]] = True
        np.copyto(scores, -np.inf, where=~allowed)


def empty_ranking(n: int, k: int) -> Ranking:
    """Return a ranking that holds only padding, to be filled in place.

    Args:
        n: The number of rows.
        k: The length of the lists.

    Raises:
        PluginError: k is negative.
    """
    _check_length(k)
    return Ranking(
        np.full((n, k), NO_ITEM, np.int32),
        np.full((n, k), -np.inf, np.float32),
        np.zeros((n, k), np.float32),
    )


def best_columns(scores: Float32, k: int) -> Int64:
    """Return each row's k greatest columns, greatest first, equal ones by number.

    Wide rows are dealt into b blocks, column c to block c mod b, so that whole runs of columns are compared,
    and the blocks into groups in the same way, at last by halving. Let t be the k-th greatest of the groups'
    maxima: at least k columns reach t, so the k best are among those that do. Few blocks hold one of these.

    Args:
        scores: float32[n, width], -inf where a column may not be chosen.
        k: How many columns; 0 for none.

    Returns:
        int64[n, min(k, width)].

    Raises:
        ScoresError: A score is NaN or +inf.
        PluginError: k is negative.
    """
    n, width = scores.shape
    _check_length(k)
    k = min(k, width)
    if k == 0:
        _check_finite(scores)
        return np.empty((n, 0), np.int64)
    layers = max(int(np.sqrt(width / max(k, 1)) / 3), LAYERS)
    n_blocks = -(-width // layers)
    if scores.size <= FEW or n_blocks < 2 * k:
        _check_finite(scores)
        return _best_of_few(scores, k)
    maxima = _maxima_of_blocks(scores, n_blocks)
    _check_finite(scores, maxima)
    groups = maxima
    while groups.shape[1] >= 8 * k * LAYERS:
        groups = _maxima_of_blocks(groups, groups.shape[1] // LAYERS)
    while groups.shape[1] >= 8 * k:
        groups = _maxima_of_halves(groups)
    threshold = np.partition(groups, groups.shape[1] - k, axis=1)[:, groups.shape[1] - k]
    chosen = np.flatnonzero(maxima >= threshold[:, None])
    rows = chosen // n_blocks
    tied = np.bincount(rows, minlength=n) > 4 * k
    if tied.any():
        best = np.empty((n, k), np.int64)
        best[tied], best[~tied] = _best_of_tied(scores[tied], k), best_columns(scores[~tied], k)
        return best
    first = chosen + rows * (width - n_blocks)  # the place of a block's first column among all scores
    places = first[:, None] + np.arange(0, n_blocks * layers, n_blocks)
    values = scores.reshape(-1).take(places, mode="clip")
    reach = np.flatnonzero(values >= threshold[rows, None])
    rows = rows[reach // layers]
    columns, values = places.reshape(-1)[reach] - rows * width, values.reshape(-1)[reach]
    if n_blocks * layers > width:  # the last layer is shorter: what follows it belongs to the next row
        own = columns < width
        rows, columns, values = rows[own], columns[own], values[own]
    return _best_of_ragged(rows, columns, values, scores.shape, k)


def _maxima_of_blocks(scores: Float32, n_blocks: int) -> Float32:
    """Return float32[n, n_blocks]: the greatest score of the columns c with c mod n_blocks = 0, 1, ..."""
    layers = scores.shape[1] // n_blocks
    whole = n_blocks * layers
    maxima: Float32 = scores[:, :whole].reshape(len(scores), layers, n_blocks).max(axis=1)
    rest = scores[:, whole:]
    np.maximum(maxima[:, : rest.shape[1]], rest, out=maxima[:, : rest.shape[1]])
    return maxima


def _maxima_of_halves(scores: Float32) -> Float32:
    """Return `_maxima_of_blocks` for half as many blocks as columns, by a few long comparisons per row."""
    half = scores.shape[1] // 2
    maxima: Float32 = np.maximum(scores[:, :half], scores[:, half : 2 * half])
    if scores.shape[1] % 2:
        np.maximum(maxima[:, 0], scores[:, -1], out=maxima[:, 0])
    return maxima


def _best_of_ragged(rows: Int64, columns: Int64, values: Float32, shape: tuple[int, int], k: int) -> Int64:
    """Return the k best of some columns: int64[n, k].

    Args:
        rows: int64[m], ascending; each of the n rows has at least k entries.
        columns: int64[m].
        values: float32[m], their scores.
        shape: n and the number of all columns.
        k: How many columns.
    """
    n, width = shape
    lengths = np.bincount(rows, minlength=n)
    starts = np.cumsum(lengths) - lengths
    keys = np.full((n, lengths.max(initial=k)), np.iinfo(np.int64).min)
    keys[rows, np.arange(len(rows)) - starts[rows]] = _keys(values, columns, width)
    keys.sort(axis=1)
    return _columns_of(keys[:, : -k - 1 : -1], width)


def _best_of_tied(scores: Float32, k: int) -> Int64:
    """Return `best_columns` by blocks of adjacent columns: of equal blocks the first ones hold the result."""
    n, width = scores.shape
    size = int(np.sqrt(width / k))
    maxima = np.maximum.reduceat(scores, np.arange(0, width, size), axis=1)
    blocks = np.sort(_best_of_few(maxima, k), axis=1)
    columns = (blocks[:, :, None] * size + np.arange(size)).reshape(n, k * size)  # ascending
    places = np.minimum(columns, width - 1) + width * np.arange(n)[:, None]
    values = scores.reshape(-1).take(places)
    values[columns >= width] = -np.inf  # k blocks hold at least k true columns, so none of these is taken
    best: Int64 = np.take_along_axis(columns, _best_of_few(values, k), axis=1)
    return best


def _best_of_few(scores: Float32, k: int) -> Int64:
    """Return `best_columns` by sorting all columns."""
    width = scores.shape[1]
    keys = _keys(scores, np.arange(width), width)
    if k < width:
        keys = np.partition(keys, width - k, axis=1)[:, width - k :]
    return _columns_of(np.sort(keys, axis=1)[:, ::-1], width)


def _keys(scores: Float32, columns: Int64, width: int) -> Int64:
    """Return integers that order as (score, -column) do, so that ties are exact."""
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.int32)  # + 0 turns -0 into 0, its equal
    ordered = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64)
    keys: Int64 = (ordered << 32) + (width - 1 - columns)
    return keys


def _columns_of(keys: Int64, width: int) -> Int64:
    """Return the columns that some keys were made of."""
    columns: Int64 = width - 1 - (keys & 0xFFFFFFFF)
    return columns


def _excluded(excluded: csr_array, start: int, n: int) -> Int64:
    """Return what n rows from `start` on exclude, as places among the scores of these rows."""
    offsets = excluded.indptr[start : start + n + 1]
    stored = slice(offsets[0], offsets[-1])
    places = np.repeat(np.arange(n) * excluded.shape[1], np.diff(offsets)) + excluded.indices[stored]
    true = np.asarray(excluded.data[stored], np.bool_)
    return places if true.all() else places[true]
