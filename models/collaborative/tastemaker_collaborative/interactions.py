"""The shared parts of the collaborative models: the matrix of interactions, and ranking by products."""

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
"""The weight of a (user, item) pair with n events: 1, or 1 + ln n."""

ROWS_AT_ONCE = 256

BELOW_ALL = np.float32(-100)
"""The score of items that some users dislike and none likes, where scores are dot products.

iALS predicts 0 or 1: for an item that u did not have, |x_u·y_i| <= √(Σ c_ui over u's liked items), by its
objective at x_u = 0, and far below it. BPR's log-odds of items that are liked stay within some tens.
"""


class CollaborativeConfig(Config):
    """Hyperparameters that all collaborative models share."""

    max_user_items: Annotated[int, Field(ge=1, le=100_000)] = 2_500
    """N: for a user with more items, only the N with the latest events count, in training and in requests. It
    bounds the cost of a robot or reseller."""


def interactions(history: History, max_user_items: int, weights: Weights = "one") -> csr_array:
    """Return the matrix X of the preferences of each user's latest items.

        x_ui = p(r_ui) w_ui,    p(r) = 1 if r > 0, else max(r, -1)

    r_ui is the pair's summed reward, w_ui the weight of its number of events. Entries of 0 are left out.

    Args:
        history: n users.
        max_user_items: At most so many items per user.
        weights: The weight of a pair with n events: `one` is 1, `log` is 1 + ln n.

    Returns:
        float32 CSR[n, n_items].
    """
    history = history.latest(max_user_items)
    values = preferences(history.rewards) * event_weights(history, weights)
    return _without_zeros(history.matrix(values))


def event_weights(history: History, weights: Weights) -> Float32:
    """Return float32[m]: the weight w of each pair's number of events.

    Args:
        history: m pairs of a user and an item.
        weights: The weight of a pair with n events: `one` is 1, `log` is 1 + ln n.
    """
    values = np.ones(len(history.items)) if weights == "one" else 1 + np.log(history.counts)
    return values.astype(np.float32)


def likes(matrix: csr_array) -> csr_array:
    """Return X⁺: the entries above 0."""
    if not (matrix.data < 0).any():
        return matrix
    liked = np.maximum(matrix.data, 0)
    return _without_zeros(csr_array((liked, matrix.indices, matrix.indptr), shape=matrix.shape))


def dislikes(matrix: csr_array) -> csr_array:
    """Return X⁻ = X⁺ - X: the sizes of the entries below 0."""
    return likes(-matrix)


def _without_zeros(matrix: csr_array) -> csr_array:
    copy = matrix.copy()
    copy.eliminate_zeros()
    return copy


def last_of_all(history: History) -> Bool:
    """Return bool[n_items]: the items that some users dislike, by summed reward, and none likes."""
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
    """Return the k best items by `users @ items`; by popularity for a row without likes.

    Args:
        users: [n, d], vectors or a CSR matrix.
        items: float32[d, n_items].
        liked: CSR[n, n_items], the likes of each row.
        popularity: float32[n_items].
        batch: n requests.
        k: The length of the lists.
        last: bool[n_items], the items that rank below all others, by popularity; none if None.
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
    """Set the vectors of rows without likes to NaN, in place, and return them: popularity ranks for these.

    Args:
        vectors: float32[n, d], changed in place.
        liked: CSR[n, n_items], the likes of each row.
    """
    vectors[np.diff(liked.indptr) == 0] = np.nan
    return vectors


def gram_rows(left: csr_array, right: csr_array) -> Iterator[tuple[slice, csr_array]]:
    """Yield LᵀR a few rows at a time, as (rows, CSR[rows, n_items]), without holding the whole product.

    The slices of rows ascend and cover all items; each has 256 rows, the last may have fewer.

    Args:
        left: CSR[n_users, n_items], L; its items are the rows of the product.
        right: CSR[n_users, n_items], R; its items are the columns.
    """
    columns = csr_array(left.T)
    for start in range(0, columns.shape[0], ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, columns.shape[0]))
        yield rows, csr_array(columns[rows] @ right)


def for_implicit(matrix: csr_array) -> csr_matrix:
    """Return the matrix in the older class with 32-bit indices that implicit requires."""
    return csr_matrix(
        (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)), shape=matrix.shape
    )


def known(batch: Batch, n_users: int) -> Bool:
    """Return bool[n]: the rows whose user training saw.

    Args:
        batch: n requests.
        n_users: The number of users in training, whose numbers are 0 to n_users - 1.
    """
    return (batch.users >= 0) & (batch.users < n_users)
