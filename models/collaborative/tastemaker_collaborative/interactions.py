"""What the models of this family share: the matrix of interactions, and the answer to someone without any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from tastemaker.plugins import Batch, Choice, History, Ranking, select_rows
from tastemaker.plugins.arrays import Bool, Float32

Weights = Annotated[Literal["one", "log"], Choice("one", "log")]
"""What a (user, item) pair with n events counts as: 1, or 1 + ln n."""

ROWS_AT_ONCE = 256


def interactions(history: History, weights: Weights = "one") -> csr_array:
    """X, float32[n, n_items]: the pairs whose summed reward is positive (a returned purchase is no taste)."""
    values = np.ones(len(history.items)) if weights == "one" else 1 + np.log(history.counts)
    matrix = history.matrix(np.where(history.rewards > 0, values, 0).astype(np.float32)).copy()
    matrix.eliminate_zeros()
    return matrix


def item_counts(matrix: csr_array) -> Float32:
    """p, float32[n_items]: the number of users who have each item."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float32)


def best_products(
    users: Float32 | csr_array, items: Float32, matrix: csr_array, popularity: Float32, batch: Batch, k: int
) -> Ranking:
    """The best by `users` @ `items`, [n, d] @ [d, n_items]; by popularity for a row without interactions."""
    lonely = np.diff(matrix.indptr) == 0

    def score(rows: slice) -> Float32:
        scores = np.asarray(users[rows] @ items, np.float32)
        scores[lonely[rows]] = popularity
        return scores

    return select_rows(score, batch, k)


def with_past(vectors: Float32, matrix: csr_array) -> Float32:
    """The users' vectors, in place NaN where a row has no interactions: it is answered by popularity."""
    vectors[np.diff(matrix.indptr) == 0] = np.nan
    return vectors


def gram_rows(matrix: csr_array) -> Iterator[tuple[slice, Float32]]:
    """XᵀX a few rows at a time, dense: (rows, float32[rows, n_items]). The whole is never held sparse."""
    columns = csr_array(matrix.T)
    for start in range(0, columns.shape[0], ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, columns.shape[0]))
        yield rows, (columns[rows] @ matrix).toarray()


def for_implicit(matrix: csr_array) -> csr_matrix:
    """The same matrix in the older class with 32-bit indices that implicit asks for."""
    return csr_matrix(
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape
    )


def known(batch: Batch, n_users: int) -> Bool:
    """bool[n]: the rows whose user training saw."""
    return (batch.users >= 0) & (batch.users < n_users)
