"""The best items of a large catalogue without scoring them all: a graph index over a model's item vectors.

HNSW (Malkov, Yashunin, arXiv:1603.09320) in USearch's form, by inner product, in half precision, in one file
that is memory-mapped, so that a server's workers share it. It only proposes: what it finds is scored again by
the model's own vectors, and a row for which too little is left is answered by the model itself.

A graph finds little where queries point elsewhere than items do, as those of iALS do: x = (YᵀY + ...)⁻¹ Yᵀ...
is large where the items are small. Since x·y = (A x)·(A⁻¹ y) for every symmetric A, both are turned first so
that their second moments are the same:

    A = G^½,   G C_x G = C_y,   G = C_x^-½ (C_x^½ C_y C_x^½)^½ C_x^-½

with C_x = E[x xᵀ] over some users and C_y = E[y yᵀ] over the items.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import ArtifactError
from tastemaker.plugins import NO_ITEM, Batch, Ranking, Recommender, empty_ranking, safe_calls
from tastemaker.plugins.arrays import Bool, Float32, Int32, Int64
from tastemaker.plugins.recommender import load_array
from tastemaker.plugins.selection import best_columns

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion

Float64 = NDArray[np.float64]

FILE_NAME = "nearest.usearch"
TURN = "nearest.turn.npy"
MAX_FETCH = 1_000
"""Where more neighbours than this must be fetched, scoring everything is as fast."""
_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 32, 128, 128
_RIDGE = 1e-4
"""Of the mean variance: few users do not span all directions."""
_SPARE = 8
"""Fetched beyond what filters are known to take."""
_LIST = 10
"""The length of the lists by which the index and exact scoring are timed."""
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""The sizes of batches for which they are timed."""
_MORE_PER_ROW = 1.5
"""What a row costs in a service, in times of its search: candidates are filtered and gathered by row in
Python, which keeps the lock from the event loop."""
NEVER = sys.maxsize


class Answers(Protocol):
    """A model, or something that answers batches in place of one."""

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """Return the k best allowed items of each row.

        Args:
            batch: n requests. Its arrays are read-only.
            k: The length of the lists.

        Returns:
            n rows of k items, best first, padded at the end.
        """


def open_retriever(loaded: LoadedVersion) -> Answers:
    """Return the index over the model's vectors if the version has one, else the model."""
    folder = loaded.serving
    if folder is None or not (folder / FILE_NAME).exists():
        return loaded.model
    return Nearest(loaded.model, folder)


def build(folder: Path, item_vectors: Float32, user_vectors: Float32, available: Bool | None) -> None:
    """Write an index of the items that may be shown.

    It is built by one thread, as only then the same vectors give the same file.

    Args:
        folder: The folder that the index is written to.
        item_vectors: float32[n_items, d].
        user_vectors: float32[m, d], the vectors of some users.
        available: bool[n_items], which items may be shown; None if all may.
    """
    from usearch.index import Index

    items = np.arange(len(item_vectors)) if available is None else np.flatnonzero(available)
    vectors = np.asarray(item_vectors[items], np.float64)
    turn = balance(np.asarray(user_vectors, np.float64), vectors)
    index = Index(
        ndim=item_vectors.shape[1],
        metric="ip",
        dtype="f16",
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION_ADD,
    )
    turned = np.linalg.solve(turn, vectors.T).T
    # In half precision nothing may be too large or too small.
    turned /= max(float(np.abs(turned).max(initial=0)), 1e-30)
    index.add(items.astype(np.uint64), np.ascontiguousarray(turned, np.float32), threads=1)
    index.save(str(folder / FILE_NAME))
    np.save(folder / TURN, turn.astype(np.float32), allow_pickle=False)


def balance(user_vectors: Float64, item_vectors: Float64) -> Float64:
    """Return the symmetric matrix A for which A x and A⁻¹ y have the same second moments.

    Args:
        user_vectors: x, float64[m, d].
        item_vectors: y, float64[n, d].

    Returns:
        A, float64[d, d]; the identity matrix if there is no user or all vectors of a side are 0.
    """
    size = item_vectors.shape[1]
    if not len(user_vectors) or not user_vectors.any() or not item_vectors.any():
        return np.eye(size)
    second_moments = [vectors.T @ vectors / len(vectors) for vectors in (user_vectors, item_vectors)]
    c_x, c_y = (each + _RIDGE * np.trace(each) / size * np.eye(size) for each in second_moments)
    root, inverse = _power(c_x, 0.5), _power(c_x, -0.5)
    return _power(inverse @ _power(root @ c_y @ root, 0.5) @ inverse, 0.5)


def _power(matrix: Float64, exponent: float) -> Float64:
    """Return a power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    powered: Float64 = (vectors * np.maximum(values, values[-1] * 1e-12) ** exponent) @ vectors.T
    return powered


class Nearest:
    """The index in place of a model that embeds: the same scores, and sometimes an item missed.

    The index takes the same time for each row; exact scoring reads all item vectors once for all rows. So a
    lone request is answered from the index, and a batch of `exact_from` rows or more by the model.
    """

    def __init__(self, model: Recommender[Any], folder: Path, exact_from: int | None = None) -> None:
        """Memory-map what `build` wrote.

        Args:
            model: The model, whose vectors the index holds.
            folder: Where `build` wrote.
            exact_from: The number of rows from which on a batch is scored exactly; None to measure it here.

        Raises:
            ArtifactError: The folder holds no index, or another model's.
        """
        from usearch.index import Index

        path, self._turn = folder / FILE_NAME, load_array(folder / TURN)
        self._model, size = model, model.item_vectors.shape[1]
        metadata = _metadata(path)
        if metadata is None or metadata["dimensions"] != size:
            raise ArtifactError(
                f"{path} is not an index of vectors of length {size}", fix="train the model again"
            )
        self._index = Index(
            ndim=size,
            metric="ip",
            dtype="f16",
            connectivity=_CONNECTIVITY,
            expansion_search=_EXPANSION_SEARCH,
        )
        self._index.view(str(path))
        self.exact_from = self._measure() if exact_from is None else exact_from

    def _measure(self) -> int:
        """Return the smallest number of rows for which exact scoring is as fast as the index; or NEVER.

        The fastest of some runs of each on item vectors, in milliseconds to tenths of a second all in all.
        """
        items = self._model.item_vectors
        asked = items[np.linspace(0, len(items) - 1, _BATCHES[-1]).astype(np.int64)]
        turned, fetch = asked @ self._turn, min(_LIST + _SPARE, len(self._index))

        def nearest(row: int) -> None:
            found = self._index.search(turned[row], fetch, threads=1).keys.astype(np.int32)[None]
            _best(found, asked[row : row + 1], items, _LIST)

        def exact(rows: int) -> None:
            best_columns(asked[:rows] @ items.T, _LIST)

        per_row = min(_seconds(partial(nearest, row)) for row in range(0, len(asked), 4))
        for rows in _BATCHES:
            if min(_seconds(partial(exact, rows)) for _ in range(3)) <= _MORE_PER_ROW * rows * per_row:
                return rows
        return NEVER

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """Return the best of what the index finds for each row.

        The model itself ranks large batches, and where candidates or filters leave little.

        Args:
            batch: n requests. Its arrays are read-only.
            k: The length of the lists.

        Returns:
            n rows of k items, best first, padded at the end.
        """
        fetch = k + _SPARE + _most_excluded(batch)
        exact = len(batch) >= self.exact_from or batch.candidates is not None
        if exact or fetch > min(MAX_FETCH, len(self._index)) or not len(batch):
            return safe_calls.recommend(self._model, batch, k)
        vectors = safe_calls.embed(self._model, batch)
        asked = np.flatnonzero(np.isfinite(vectors).all(axis=1))
        found = self._find(vectors, batch, asked, fetch)
        enough = (found != NO_ITEM).sum(axis=1) >= k
        ranking, rows = empty_ranking(len(batch), k), asked[enough]
        if len(rows):
            _put(ranking, rows, _best(found[enough], vectors[rows], self._model.item_vectors, k))
        if len(rows) < len(batch):
            rest = np.setdiff1d(np.arange(len(batch)), rows)
            _put(ranking, rest, safe_calls.recommend(self._model, batch[rest], k))
        return ranking

    def _find(self, vectors: Float32, batch: Batch, rows: Int64, fetch: int) -> Int32:
        """Return int32[len(rows), fetch]: what the index finds and the batch allows, NO_ITEM elsewhere."""
        found = np.full((len(rows), fetch), NO_ITEM, np.int32)
        turned = vectors @ self._turn
        for place, row in enumerate(rows.tolist()):
            keys = self._index.search(turned[row], fetch, threads=1).keys
            found[place, : len(keys)] = _without_excluded(keys, batch, row)
        if batch.available is not None:
            found[(found != NO_ITEM) & ~batch.available[found]] = NO_ITEM
        return found


def _without_excluded(keys: NDArray[np.uint64], batch: Batch, row: int) -> list[int]:
    """Return the items, with NO_ITEM in place of those that the row excludes.

    Python's sets are used, as numpy's set functions are slow for so few items.
    """
    items: list[int] = keys.tolist()
    if batch.excluded is None:
        return items
    start, stop = batch.excluded.indptr[row : row + 2].tolist()
    excluded = set(batch.excluded.indices[start:stop].tolist())
    return [NO_ITEM if item in excluded else item for item in items]


def _metadata(path: Path) -> dict[str, Any] | None:
    """Return the metadata in the file; None if it is not an index."""
    from usearch.index import Index

    try:
        return Index.metadata(str(path))
    except Exception:  # USearch raises what its C++ throws
        return None


def _most_excluded(batch: Batch) -> int:
    return 0 if batch.excluded is None else int(np.diff(batch.excluded.indptr).max(initial=0))


def _best(found: Int32, vectors: Float32, item_vectors: Float32, k: int) -> Ranking:
    """Return the k best of each row's items, by the model's score, then by item number."""
    scores = np.einsum("nd,nfd->nf", vectors, item_vectors[found])
    scores[found == NO_ITEM] = -np.inf
    order = np.lexsort((found, -scores))[:, :k]
    items, best = (np.take_along_axis(each, order, axis=1) for each in (found, scores))
    return Ranking(items, best.astype(np.float32), np.ones(items.shape, np.float32))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _put(ranking: Ranking, rows: np.ndarray, part: Ranking) -> None:
    for whole, values in zip(ranking, part, strict=True):
        whole[rows] = values
