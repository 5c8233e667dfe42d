"""Implicit alternating least squares: matrix factorization in which pairs without events weigh little."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from pydantic import Field
from scipy.linalg import lapack
from scipy.sparse import csr_array

from tastemaker.plugins import Batch, Capabilities, Ranking, Recommender, Search, TrainingData
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.preferences import popularity_by_user
from tastemaker_collaborative.interactions import (
    BELOW_ALL,
    CollaborativeConfig,
    Weights,
    best_products,
    for_implicit,
    interactions,
    last_of_all,
    likes,
    with_past,
)


class IALSConfig(CollaborativeConfig):
    """Hyperparameters of `ials`."""

    embedding_size: Annotated[int, Field(ge=1, le=1024), Search(8, 256, log=True)] = 64
    """d: the length of the vectors."""
    regularization: Annotated[float, Field(gt=0, le=1e6), Search(0.03, 300, log=True)] = 30.0
    """λ: pulls the vectors towards 0."""
    confidence: Annotated[float, Field(ge=0, le=1e6), Search(0.03, 100, log=True)] = 1.0
    """α: how much more an observed pair counts than an unobserved one."""
    epochs: Annotated[int, Field(ge=1, le=1000), Search(3, 40, log=True)] = 15
    """Passes over users and items."""
    weights: Weights = "log"
    """The weight of a pair with n events: 1, or 1 + ln n."""


class IALS(Recommender[IALSConfig]):
    """Matrix factorization of implicit feedback.

        min Σ_ui c_ui (p_ui - x_u·y_i)² + λ (Σ_u ‖x_u‖² + Σ_i ‖y_i‖²)
        p_ui = [r_ui > 0],   c_ui = 1 + α |r_ui|,   s_ui = x_u·y_i
        x_u = (YᵀY + Yᵀ(C_u - I)Y + λI)⁻¹ Yᵀ C_u p_u

    Only the item vectors Y (and YᵀY) are kept: x_u is solved from the history in the request, so that
    new users and new events count as if training had seen them.

    Negative reward: a disliked pair has p = 0 with a confidence that grows with the size of the reward, and a
    pair without events has p = 0 with confidence 1. Items that some users dislike and none likes rank last,
    by a last component of -100 in y, which is 1 in x.
    """

    name = "ials"
    reference = "Hu, Koren, Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008"
    config_type = IALSConfig
    capabilities = Capabilities(personalizes=True, embeds=True)
    state = ("item_vectors", "gram", "popularity")

    def fit(self, data: TrainingData) -> Self:
        matrix = interactions(data.history, self.config.max_user_items, self.config.weights)
        learned = _factorize(matrix, self.config, seed=int(data.rng.integers(2**31)))
        self.gram = learned.T @ learned
        below = np.where(last_of_all(data.history), BELOW_ALL, np.float32(0))
        self.item_vectors = np.column_stack([learned, below])
        self.popularity = popularity_by_user(data.history)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        vectors, liked = self._vectors(batch)
        return best_products(vectors, self.item_vectors.T, liked, self.popularity, batch, k)

    def embed(self, batch: Batch) -> Float32:
        return with_past(*self._vectors(batch))

    def _vectors(self, batch: Batch) -> tuple[Float32, csr_array]:
        """Return the user vectors, float32[n, d + 1] with last component 1, and the likes of each row."""
        matrix = interactions(batch.history, self.config.max_user_items, self.config.weights)
        vectors = user_vectors(matrix, self.item_vectors[:, :-1], self.gram, self.config)
        return np.column_stack([vectors, np.ones(len(vectors), np.float32)]), likes(matrix)


def user_vectors(matrix: csr_array, item_vectors: Float32, gram: Float32, config: IALSConfig) -> Float32:
    """Solve the user vectors by Cholesky's decomposition.

    Args:
        matrix: float32 CSR[n, n_items], the interactions.
        item_vectors: float32[n_items, d], Y.
        gram: float32[d, d], YᵀY.
        config: Confidence and regularization.

    Returns:
        float32[n, d]: x_u of each row.
    """
    vectors = np.empty((matrix.shape[0], item_vectors.shape[1]), np.float32)
    shared = gram + np.float32(config.regularization) * np.eye(len(gram), dtype=np.float32)
    for row, (start, stop) in enumerate(pairwise(matrix.indptr)):
        had = item_vectors[matrix.indices[start:stop]]
        rewards = matrix.data[start:stop]
        extra = np.float32(config.confidence) * np.abs(rewards)
        _, vectors[row], _ = lapack.sposv(shared + (had.T * extra) @ had, ((1 + extra) * (rewards > 0)) @ had)
    return vectors


def _factorize(matrix: csr_array, config: IALSConfig, seed: int) -> Float32:
    """Return Y, float32[n_items, d]."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    confidence = matrix.copy()
    confidence.data = np.sign(matrix.data) + np.float32(config.confidence) * matrix.data  # below 0: p = 0
    with threadpool_limits(1, "blas"):  # implicit has threads of its own; both together are far slower
        model = AlternatingLeastSquares(
            factors=config.embedding_size,
            regularization=config.regularization,
            iterations=config.epochs,
            random_state=seed,
        )
        model.fit(for_implicit(confidence), show_progress=False)
    return np.asarray(model.item_factors)
