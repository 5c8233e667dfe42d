"""What the models of this family share: the matrix of interactions, and the answer to someone without any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, csr_matrix

from tastemaker.plugins import Batch, Choice, Config, History, Ranking, select_rows
from tastemaker.plugins.arrays import Bool, Float32
from tastemaker.plugins.preferences import disliked_only, preferences, rank_last

Weights = Annotated[Literal["one", "log"], Choice("one", "log")]
"""What a (user, item) pair with n events counts as: 1, or 1 + ln n."""

ROWS_AT_ONCE = 256

BELOW_ALL = np.float32(-100)
"""The score of what is disliked by some and liked by none, where scores are dot products.

iALS predicts 0 or 1: of what u did not turn to, |x_u·y_i| <= √(Σ c_ui over u's liked items), by its objective
at x_u = 0, and far below it. BPR's log-odds of items that are liked stay within some tens.
"""


class CollaborativeConfig(Config):
    """What the configs of this family share."""

    max_user_items: Annotated[int, Field(ge=1, le=100_000)] = 2_500
    """N: of a user with more items, the N of the latest events count, in training and in requests. Above what
    people have: it bounds what one robot or reseller costs."""


def interactions(history: History, max_user_items: int, weights: Weights = "one") -> csr_array:
    """X, float32[n, n_items]: for each pair of a user's latest `max_user_items`

        x_ui = v(r_ui) w_ui,    v(r) = 1 if r > 0, else max(r, -1)

    r_ui is the pair's summed reward, w_ui what its number of events counts as. Pairs of 0 are left out.
    """
    history = history.latest(max_user_items)
    values = preferences(history.rewards) * event_weights(history, weights)
    return _without_zeros(history.matrix(values))


def event_weights(history: History, weights: Weights) -> Float32:
    """float32[m]: w, what each pair's number of events counts as."""
    values = np.ones(len(history.items)) if weights == "one" else 1 + np.log(history.counts)
    return values.astype(np.float32)


def likes(matrix: csr_array) -> csr_array:
    """X⁺: the entries above 0. A purchase that was returned is no taste."""
    if not (matrix.data < 0).any():
        return matrix
    liked = np.maximum(matrix.data, 0)
    return _without_zeros(csr_array((liked, matrix.indices, matrix.indptr), shape=matrix.shape))


def dislikes(matrix: csr_array) -> csr_array:
    """X⁻ = X⁺ - X: how much is against each pair."""
    return likes(-matrix)


def _without_zeros(matrix: csr_array) -> csr_array:
    copy = matrix.copy()
    copy.eliminate_zeros()
    return copy


def last_of_all(history: History) -> Bool:
    """bool[n_items]: the items that some users dislike, by summed reward, and none likes."""
    return disliked_only(history.items, history.rewards, history.n_items)


def best_products(
    users: Float32 | csr_array,
    items: Float32,
    liked: csr_array,
    popularity: Float32,
    batch: Batch,
    k: int,
    last: Bool | None = None,
) -> Ranking:
    """The best by `users` @ `items`, [n, d] @ [d, n_items]; by popularity for a row that likes nothing.

    Below all others come the items that are `last`, bool[n_items], by popularity.
    """
    lonely = np.diff(liked.indptr) == 0

    def score(rows: slice) -> Float32:
        scores = np.asarray(users[rows] @ items, np.float32)
        scores[lonely[rows]] = popularity
        if last is not None:
            rank_last(scores, last, popularity)
        return scores

    return select_rows(score, batch, k)


def with_past(vectors: Float32, liked: csr_array) -> Float32:
    """The users' vectors, in place NaN where a row likes nothing: it is answered by popularity."""
    vectors[np.diff(liked.indptr) == 0] = np.nan
    return vectors


def gram_rows(left: csr_array, right: csr_array) -> Iterator[tuple[slice, csr_array]]:
    """LᵀR a few rows at a time: (rows, csr[rows, n_items]). The whole is never held."""
    columns = csr_array(left.T)
    for start in range(0, columns.shape[0], ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, columns.shape[0]))
        yield rows, csr_array(columns[rows] @ right)


def for_implicit(matrix: csr_array) -> csr_matrix:
    """The same matrix in the older class with 32-bit indices that implicit asks for."""
    return csr_matrix(
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape
    )


def known(batch: Batch, n_users: int) -> Bool:
    """bool[n]: the rows whose user training saw."""
    return (batch.users >= 0) & (batch.users < n_users)
