"""EASE: a linear model of each item by all others, in closed form."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import lapack
from scipy.sparse import csr_array

from tastemaker.errors import PluginError
from tastemaker.plugins import Batch, Capabilities, Ranking, Recommender, Search, TrainingData
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.preferences import popularity_by_user
from tastemaker_collaborative.interactions import (
    CollaborativeConfig,
    Weights,
    best_products,
    dislikes,
    gram_rows,
    interactions,
    last_of_all,
    likes,
)


class EASEConfig(CollaborativeConfig):
    """Hyperparameters of `ease`."""

    regularization: Annotated[float, Field(gt=0, le=1e9), Search(3, 10_000, log=True)] = 300.0
    """λ: the higher, the more users a pair of items must share to count."""
    weights: Weights = "log"
    """The weight of a pair with n events: 1, or 1 + ln n."""
    max_items: Annotated[int, Field(ge=1, le=40_000)] = 12_000
    """Refuse a larger catalogue: fitting n items needs 12 n² bytes (1.7 GB for 12,000) and n³ operations."""


class EASE(Recommender[EASEConfig]):
    """Embarrassingly shallow autoencoder: each item is a linear sum of all the others.

        min_B ‖X - X⁺B‖² + λ‖B‖²   subject to diag(B) = 0
        P = (X⁺ᵀX⁺ + λI)⁻¹,   C = P X⁺ᵀX⁻
        B_ij = -(P_ij / P_jj) (1 - C_jj) - C_ij (i ≠ j),   S = X⁺B

    X is the matrix of interactions, X⁺ its entries above 0, X⁻ = X⁺ - X, S the scores. Without dislikes C is
    0, and this is Steck's closed form.

    Negative reward: a disliked item is a target below 0, by its size, to be predicted from the liked items,
    so that its score falls for users of the same taste. It is not an input. Items that some users dislike and
    none likes rank last.
    """

    name = "ease"
    reference = "Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019, arXiv:1905.03375"
    config_type = EASEConfig
    capabilities = Capabilities(personalizes=True)
    state = ("weights", "popularity", "last")

    def fit(self, data: TrainingData) -> Self:
        if data.n_items > self.config.max_items:
            raise PluginError(
                f"ease: the catalogue has {data.n_items:,} items, max_items is {self.config.max_items:,}; "
                f"fitting would take {12 * data.n_items**2 / 1e9:,.1f} GB",
                fix="narrow the catalogue, raise max_items where there is memory, or use item_knn or ials",
            )
        matrix = interactions(data.history, self.config.max_user_items, self.config.weights)
        liked, disliked = likes(matrix), dislikes(matrix)
        gram = np.empty((data.n_items, data.n_items), order="F")
        for rows, block in gram_rows(liked, liked):
            gram[:, rows] = block.toarray().T
        np.fill_diagonal(gram, gram.diagonal() + self.config.regularization)
        inverse = _inverse(gram)
        self.weights = _weights(inverse)
        for columns, against in gram_rows(disliked, liked) if disliked.nnz else ():
            _learn_dislikes(self.weights, inverse, columns, against)
        np.fill_diagonal(self.weights, 0)
        self.popularity = popularity_by_user(data.history)
        self.last = last_of_all(data.history)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        liked = likes(interactions(batch.history, self.config.max_user_items, self.config.weights))
        return best_products(liked, self.weights, liked, self.popularity, batch, k, self.last)


def _learn_dislikes(
    weights: Float32, inverse: NDArray[np.float64], columns: slice, against: csr_array
) -> None:
    """Subtract C - P diag(C) / diag(P) from some columns of B, in place; `against`: their X⁻ᵀX⁺."""
    correction = (against @ inverse).T  # P is symmetric
    own = correction.diagonal(-columns.start) / inverse.diagonal()[columns]
    weights[:, columns] -= correction - inverse[:, columns] * own


def _inverse(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P from X⁺ᵀX⁺ + λI, float64[n_items, n_items] in Fortran order, which is overwritten."""
    factor, not_positive = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse: NDArray[np.float64]
    inverse, singular = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if not_positive or singular:
        raise PluginError("ease: XᵀX + λI can't be inverted", fix="raise regularization")
    for row in range(len(inverse) - 1):  # LAPACK fills the lower triangle only
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    return inverse


def _weights(inverse: NDArray[np.float64]) -> Float32:
    """Return B without dislikes; its diagonal is still to be set to 0."""
    weights = np.empty(inverse.shape, np.float32)
    np.divide(inverse, -inverse.diagonal(), out=weights, casting="same_kind")
    return weights
