"""Item neighbourhoods: people who had this had that too."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, vstack

from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    Ranking,
    Recommender,
    Search,
    TrainingData,
    select_rows,
)
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.selection import best_columns
from tastemaker_collaborative.interactions import Weights, gram_rows, interactions, item_counts


class ItemKNNConfig(Config):
    """How many neighbours, and how sure of them."""

    neighbours: Annotated[int, Field(ge=1, le=10_000), Search(10, 1000, log=True)] = 100
    """n: how many of its most similar items each item keeps."""
    shrinkage: Annotated[float, Field(ge=0, le=1e6), Search(0.3, 1000, log=True)] = 10.0
    """β: pulls the similarity of items with few users towards 0."""
    weights: Weights = "one"
    """What a pair with n events counts as: 1, or 1 + ln n."""


class ItemKNN(Recommender[ItemKNNConfig]):
    """Item-based k-nearest neighbours with shrunk cosine similarity.

        w_ji = x_j·x_i / (‖x_j‖ ‖x_i‖ + β)     if j is among the n most similar items of i, else 0
        s_ui = Σ_j x_uj w_ji

    x_i is item i's column of the interactions X. Items with s_ui = 0 follow in order of popularity.
    """

    name = "item_knn"
    reference = "Deshpande, Karypis, Item-based top-N recommendation algorithms, ACM TOIS 22(1), 2004"
    config_type = ItemKNNConfig
    capabilities = Capabilities(personalizes=True)
    state = ("similarity", "popularity")

    def fit(self, data: TrainingData) -> Self:
        matrix = interactions(data.history, self.config.weights)
        norms = np.sqrt(np.bincount(matrix.indices, matrix.data**2, data.n_items)).astype(np.float32)
        parts = []
        for rows, gram in gram_rows(matrix):
            gram /= np.maximum(norms[rows, None] * norms + np.float32(self.config.shrinkage), 1e-12)
            gram[np.arange(len(gram)), np.arange(rows.start, rows.stop)] = 0
            parts.append(_most_similar(gram, self.config.neighbours))
        self.similarity = csr_array(vstack(parts, format="csr").T)
        self.popularity = item_counts(matrix)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        matrix = interactions(batch.history, self.config.weights)
        rest = self.popularity / (1 + self.popularity.max(initial=0)) - 1  # in [-1, 0)

        def score(rows: slice) -> Float32:
            scores: Float32 = (matrix[rows] @ self.similarity).toarray()
            np.copyto(scores, rest, where=scores <= 0)
            return scores

        return select_rows(score, batch, k)


def _most_similar(similarity: Float32, n: int) -> csr_array:
    """Each row's n greatest positive entries."""
    columns = np.sort(best_columns(similarity, n), axis=1)
    values = np.take_along_axis(similarity, columns, axis=1)
    kept = values > 0
    offsets = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
    return csr_array((values[kept], columns[kept].astype(np.int32), offsets), shape=similarity.shape)
