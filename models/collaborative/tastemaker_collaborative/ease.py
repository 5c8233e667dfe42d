"""EASE: a linear model of every item by all the others, in closed form."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import lapack

from tastemaker.errors import PluginError
from tastemaker.plugins import Batch, Capabilities, Config, Ranking, Recommender, Search, TrainingData
from tastemaker.plugins.arrays import Float32
from tastemaker_collaborative.interactions import (
    Weights,
    best_products,
    gram_rows,
    interactions,
    item_counts,
)


class EASEConfig(Config):
    """How smooth, and how large a catalogue may be."""

    regularization: Annotated[float, Field(gt=0, le=1e9), Search(3, 10_000, log=True)] = 300.0
    """λ: the higher, the more users a pair of items must share to count."""
    weights: Weights = "log"
    """What a pair with n events counts as: 1, or 1 + ln n."""
    max_items: Annotated[int, Field(ge=1, le=40_000)] = 12_000
    """Refuse a larger catalogue: fitting n items needs 12 n² bytes (1.7 GB for 12,000) and n³ operations."""


class EASE(Recommender[EASEConfig]):
    """Embarrassingly shallow autoencoder: each item is a linear sum of all the others.

        min_B ‖X - XB‖² + λ‖B‖²   subject to diag(B) = 0
        P = (XᵀX + λI)⁻¹,   B_ij = -P_ij / P_jj (i ≠ j),   S = XB

    X is the matrix of interactions, S the scores.
    """

    name = "ease"
    reference = "Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019, arXiv:1905.03375"
    config_type = EASEConfig
    capabilities = Capabilities(personalizes=True)
    state = ("weights", "popularity")

    def fit(self, data: TrainingData) -> Self:
        if data.n_items > self.config.max_items:
            raise PluginError(
                f"ease: the catalogue has {data.n_items:,} items, max_items is {self.config.max_items:,}; "
                f"fitting would take {12 * data.n_items**2 / 1e9:,.1f} GB",
                fix="narrow the catalogue, raise max_items where there is memory, or use item_knn or ials",
            )
        matrix = interactions(data.history, self.config.weights)
        gram = np.empty((data.n_items, data.n_items), order="F")
        for rows, block in gram_rows(matrix):
            gram[:, rows] = block.T
        np.fill_diagonal(gram, gram.diagonal() + self.config.regularization)
        self.weights = _weights(gram)
        self.popularity = item_counts(matrix)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        matrix = interactions(batch.history, self.config.weights)
        return best_products(matrix, self.weights, matrix, self.popularity, batch, k)


def _weights(gram: NDArray[np.float64]) -> Float32:
    """B from XᵀX + λI, float64[n_items, n_items] in Fortran order, which is overwritten with P."""
    factor, not_positive = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, singular = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if not_positive or singular:
        raise PluginError("ease: XᵀX + λI can't be inverted", fix="raise regularization")
    for row in range(len(inverse) - 1):  # LAPACK fills the lower triangle only
        inverse[row, row + 1 :] = inverse[row + 1 :, row]
    weights = np.empty(inverse.shape, np.float32)
    np.divide(inverse, -inverse.diagonal(), out=weights, casting="same_kind")
    np.fill_diagonal(weights, 0)
    return weights
