"""Bayesian personalized ranking: items that a user had should score above items that they had not."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array

from tastemaker.plugins import Batch, Capabilities, Ranking, Recommender, Search, TrainingData
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.preferences import popularity_by_user
from tastemaker_collaborative.interactions import (
    BELOW_ALL,
    CollaborativeConfig,
    best_products,
    dislikes,
    for_implicit,
    interactions,
    known,
    last_of_all,
    likes,
    with_past,
)


class BPRConfig(CollaborativeConfig):
    """Hyperparameters of `bpr`."""

    embedding_size: Annotated[int, Field(ge=1, le=1024), Search(8, 256, log=True)] = 64
    """d: the length of the vectors."""
    learning_rate: Annotated[float, Field(gt=0, le=1), Search(0.002, 0.5, log=True)] = 0.05
    """Step of the gradient ascent."""
    regularization: Annotated[float, Field(ge=0, le=10), Search(1e-4, 0.3, log=True)] = 0.01
    """λ: pulls the vectors towards 0."""
    epochs: Annotated[int, Field(ge=1, le=10_000), Search(10, 200, log=True)] = 50
    """Epochs, each with as many draws of (user, item had, item not had) as there are interactions."""


class BPR(Recommender[BPRConfig]):
    """Matrix factorization for ranking.

        max Σ_(u,i,j) ln σ(s_ui - s_uj) - λ‖Θ‖²    over draws of i that u had and j that u had not
        s_ui = x_u·y_i + b_i + ln((L_i + 1) / (L_i + D_i + 1))

    L_i and D_i are the sums of the preferences for and against item i: the last term is the log of the share
    that likes it, 0 where no user dislikes it.

    An unknown user gets x_u = m_u W: m_u is the mean vector of the items in the history, W
    the ridge regression of the known users' vectors on their means.

    Negative reward: an item that a user dislikes counts as not had, and its score falls for all users with
    the share that dislikes it. Items that some users dislike and none likes rank last: y_i = 0, b_i = -100.
    """

    name = "bpr"
    reference = "Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009"
    config_type = BPRConfig
    capabilities = Capabilities(personalizes=True, embeds=True)
    state = ("user_vectors", "item_vectors", "fold_in", "popularity")

    def fit(self, data: TrainingData) -> Self:
        matrix = interactions(data.history, self.config.max_user_items)
        liked = likes(matrix)
        self.user_vectors, self.item_vectors = _learn(liked, self.config, seed=int(data.rng.integers(2**31)))
        means = _mean_vectors(liked, self.item_vectors)
        self.fold_in = _ridge(means, self.user_vectors)
        likes_sum, dislikes_sum = (side.sum(axis=0) for side in (liked, dislikes(matrix)))
        self.item_vectors[:, -1] += np.log((likes_sum + 1) / (likes_sum + dislikes_sum + 1))
        last = last_of_all(data.history)
        self.item_vectors[last] = 0
        self.item_vectors[last, -1] = BELOW_ALL
        self.popularity = popularity_by_user(data.history)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        liked = self._liked(batch)
        return best_products(
            self._vectors(batch, liked), self.item_vectors.T, liked, self.popularity, batch, k
        )

    def embed(self, batch: Batch) -> Float32:
        liked = self._liked(batch)
        return with_past(self._vectors(batch, liked), liked)

    def _liked(self, batch: Batch) -> csr_array:
        return likes(interactions(batch.history, self.config.max_user_items))

    def _vectors(self, batch: Batch, liked: csr_array) -> Float32:
        vectors: Float32 = _mean_vectors(liked, self.item_vectors) @ self.fold_in
        seen = known(batch, len(self.user_vectors))
        vectors[seen] = self.user_vectors[batch.users[seen]]
        return vectors


def _learn(matrix: csr_array, config: BPRConfig, seed: int) -> tuple[Float32, Float32]:
    """Return x, float32[n_users, d + 1], whose last column is 1, and y, float32[n_items, d + 1], with b."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1, "blas"):
        model = BayesianPersonalizedRanking(
            factors=config.embedding_size,
            learning_rate=config.learning_rate,
            regularization=config.regularization,
            iterations=config.epochs,
            num_threads=1,  # several threads race for the vectors, and no fit would repeat
            random_state=seed,
        )
        model.fit(for_implicit(matrix), show_progress=False)
    return model.user_factors, model.item_factors


def _mean_vectors(matrix: csr_array, item_vectors: Float32) -> Float32:
    """Return float32[n, d + 1]: the mean vector of each row's items (0 without any); the last column is 1."""
    lengths = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)
    means: Float32 = np.asarray(matrix @ item_vectors, np.float32) / lengths[:, None]
    means[:, -1] = 1
    return means


def _ridge(inputs: Float32, outputs: Float32) -> Float32:
    """Return W = (MᵀM + λI)⁻¹ MᵀX: the ridge regression of user vectors on mean vectors."""
    gram = inputs.T @ inputs
    penalty = 1e-3 * np.trace(gram) / len(gram) + 1e-6
    solved: Float32 = np.linalg.solve(gram + penalty * np.eye(len(gram)), inputs.T @ outputs)
    return solved.astype(np.float32)
