"""Item-based k-nearest neighbours: similar items have the same users."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, vstack

from tastemaker.plugins import Batch, Capabilities, Ranking, Recommender, Search, TrainingData, select_rows
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.preferences import popularity_by_user
from tastemaker.plugins.selection import best_columns
from tastemaker_collaborative.interactions import (
    CollaborativeConfig,
    Weights,
    event_weights,
    gram_rows,
    interactions,
    likes,
)


class ItemKNNConfig(CollaborativeConfig):
    """Hyperparameters of `item_knn`."""

    neighbours: Annotated[int, Field(ge=1, le=10_000), Search(10, 1000, log=True)] = 100
    """n: how many of its most similar items each item keeps."""
    shrinkage: Annotated[float, Field(ge=0, le=1e6), Search(0.3, 1000, log=True)] = 10.0
    """β: pulls the similarity of items with few users towards 0."""
    weights: Weights = "one"
    """The weight of a pair with n events: 1, or 1 + ln n."""


class ItemKNN(Recommender[ItemKNNConfig]):
    """Item-based k-nearest neighbours with shrunk cosine similarity.

        w_ji = x⁺_j·x_i / (‖x_j‖ ‖x_i‖ + β)    if j is among the n most similar items of i, else 0
        s_ui = Σ_j x_uj w_ji

    x_i is item i's column of the interactions X: above 0 for users who like it, below 0 for users who dislike
    it; x⁺_i is its positive part. The norms count all users who had the item as likes. Items with s_ui <= 0
    follow by popularity.

    Negative reward: users who like j and dislike i lower their similarity, by the size of the reward; an item
    that u dislikes lowers the scores of similar items; and it counts against the item's popularity.
    """

    name = "item_knn"
    reference = "Deshpande, Karypis, Item-based top-N recommendation algorithms, ACM TOIS 22(1), 2004"
    config_type = ItemKNNConfig
    capabilities = Capabilities(personalizes=True)
    state = ("similarity", "popularity")

    def fit(self, data: TrainingData) -> Self:
        history = data.history.latest(self.config.max_user_items)
        matrix = interactions(history, self.config.max_user_items, self.config.weights)
        weights = event_weights(history, self.config.weights)
        norms = np.sqrt(np.bincount(history.items, weights**2, data.n_items)).astype(np.float32)
        parts = []
        for rows, gram in gram_rows(matrix, likes(matrix)):
            item = np.repeat(np.arange(rows.start, rows.stop), np.diff(gram.indptr))
            scale = norms[item] * norms[gram.indices] + np.float32(self.config.shrinkage)
            gram.data /= np.maximum(scale, np.float32(1e-12))
            gram.data[gram.indices == item] = 0
            parts.append(_most_similar(gram, self.config.neighbours))
        self.similarity = csr_array(vstack(parts, format="csr").T)
        self.popularity = popularity_by_user(data.history)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        matrix = interactions(batch.history, self.config.max_user_items, self.config.weights)
        rest = self.popularity / (1 + self.popularity.max(initial=0)) - 1  # in [-1, 0)

        def score(rows: slice) -> Float32:
            scores: Float32 = (matrix[rows] @ self.similarity).toarray()
            np.copyto(scores, rest, where=scores <= 0)
            return scores

        return select_rows(score, batch, k)


def _most_similar(similarity: csr_array, n: int) -> csr_array:
    """Keep each row's n greatest positive entries, of equal ones those of the lowest columns."""
    similarity.sort_indices()
    kept = similarity.data > 0
    for start, stop in pairwise(similarity.indptr.tolist()):
        if stop - start > n:
            best = best_columns(similarity.data[None, start:stop], n)[0]
            among = np.zeros(stop - start, np.bool_)
            among[best] = True
            kept[start:stop] &= among
    offsets = np.concatenate(([0], np.cumsum(kept)))[similarity.indptr]
    return csr_array((similarity.data[kept], similarity.indices[kept], offsets), shape=similarity.shape)
