"""The best items of a large catalogue without scoring them all: a graph index over a model's item vectors.

HNSW (Malkov, Yashunin, arXiv:1603.09320) in USearch's form, by inner product, in half precision, in one file
that is memory-mapped, so that a server's workers share it. It only proposes: what it finds is scored again by
the model's own vectors, and a row for which too little is left is answered by the model itself.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tastemaker.errors import ArtifactError
from tastemaker.plugins import NO_ITEM, Batch, Ranking, Recommender, empty_ranking
from tastemaker.plugins.arrays import Bool, Float32, Int32

FILE_NAME = "nearest.usearch"
MAX_FETCH = 1_000
"""Where more neighbours than this must be fetched, scoring everything is no slower."""
_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 32, 128, 128
_SPARE = 8
"""Fetched beyond what filters are known to take."""


class Answers(Protocol):
    """What a batch is asked of: a model, or something that stands in for one."""

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """The k best allowed items of each row."""


def build(path: Path, item_vectors: Float32, available: Bool | None) -> None:
    """Index the items that may be shown. One thread, as only then the same vectors give the same file."""
    from usearch.index import Index

    items = np.arange(len(item_vectors)) if available is None else np.flatnonzero(available)
    index = Index(
        ndim=item_vectors.shape[1],
        metric="ip",
        dtype="f16",
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION_ADD,
    )
    index.add(items.astype(np.uint64), np.ascontiguousarray(item_vectors[items]), threads=1)
    index.save(str(path))


class Nearest:
    """Stands in for a model that embeds: the same scores, and now and then an item missed."""

    def __init__(self, model: Recommender[Any], path: Path) -> None:
        """Memory-map the index. Raises ArtifactError if it is no index or none of this model's."""
        from usearch.index import Index

        self._model, size = model, model.item_vectors.shape[1]
        metadata = _metadata(path)
        if metadata is None or metadata["dimensions"] != size:
            raise ArtifactError(
                f"{path} is no index of vectors of length {size}", fix="train the model again"
            )
        self._index = Index(
            ndim=size,
            metric="ip",
            dtype="f16",
            connectivity=_CONNECTIVITY,
            expansion_search=_EXPANSION_SEARCH,
        )
        self._index.view(str(path))

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """The best of what the index finds for each row; exact where the caller or filters leave little."""
        fetch = k + _SPARE + _most_excluded(batch)
        if batch.candidates is not None or fetch > min(MAX_FETCH, len(self._index)) or not len(batch):
            return self._model.recommend(batch, k)
        vectors = self._model.embed(batch)
        asked = np.flatnonzero(np.isfinite(vectors).all(axis=1))
        found = self._find(vectors[asked], batch[asked], fetch)
        enough = (found != NO_ITEM).sum(axis=1) >= k
        ranking, rows = empty_ranking(len(batch), k), asked[enough]
        if len(rows):
            _put(ranking, rows, _best(found[enough], vectors[rows], self._model.item_vectors, k))
        rest = np.setdiff1d(np.arange(len(batch)), rows)
        if len(rest):
            _put(ranking, rest, self._model.recommend(batch[rest], k))
        return ranking

    def _find(self, vectors: Float32, batch: Batch, fetch: int) -> Int32:
        """int32[n, fetch]: what the index finds and the batch allows, NO_ITEM in place of the rest."""
        if not len(vectors):
            return np.empty((0, fetch), np.int32)
        found = np.full((len(vectors), fetch), NO_ITEM, np.int64)
        for row, vector in enumerate(vectors):
            keys = self._index.search(vector, fetch, threads=1).keys
            found[row, : len(keys)] = keys
        if batch.available is not None:
            found[(found != NO_ITEM) & ~batch.available[found]] = NO_ITEM
        if batch.excluded is not None:
            for row, (start, stop) in enumerate(pairwise(batch.excluded.indptr)):
                found[row, np.isin(found[row], batch.excluded.indices[start:stop])] = NO_ITEM
        return found.astype(np.int32)


def _metadata(path: Path) -> dict[str, Any] | None:
    """What the file says of itself; None if it is no index."""
    from usearch.index import Index

    try:
        return Index.metadata(str(path))
    except Exception:  # USearch raises what its C++ throws
        return None


def _most_excluded(batch: Batch) -> int:
    return 0 if batch.excluded is None else int(np.diff(batch.excluded.indptr).max(initial=0))


def _best(found: Int32, vectors: Float32, item_vectors: Float32, k: int) -> Ranking:
    """The k best of each row's items by the model's score, then by item number."""
    scores = np.einsum("nd,nfd->nf", vectors, item_vectors[found])
    scores[found == NO_ITEM] = -np.inf
    order = np.lexsort((found, -scores))[:, :k]
    items, best = (np.take_along_axis(each, order, axis=1) for each in (found, scores))
    return Ranking(items, best.astype(np.float32), np.ones(items.shape, np.float32))


def _put(ranking: Ranking, rows: np.ndarray, part: Ranking) -> None:
    for whole, values in zip(ranking, part, strict=True):
        whole[rows] = values
