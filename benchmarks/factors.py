"""The model of the serving benchmark: matrix factorization whose user vector is bent by the user's features.

It is installed for the benchmark's servers only: `serving_shop` copies this file into a plugin of its own.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from tastemaker.plugins import Batch, Capabilities, Config, Ranking, Recommender, TrainingData, select
from tastemaker.plugins.arrays import Float32

FEATURES = ("user_recency_days", "user_events_count", "user_spend_total", "user_country_share")


class FactorsConfig(Config):
    """Size of the vectors."""

    embedding_size: int = 64
    """d: the length of the vectors."""


class Factors(Recommender[FactorsConfig]):
    """s_ui = (x_u + W f_u)·y_i, f the user's features (0 if missing), x_u = 0 for an unknown user."""

    name = "factors"
    reference = "Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009"
    config_type = FactorsConfig
    capabilities = Capabilities(personalizes=True, embeds=True, user_features=FEATURES)
    state = ("user_vectors", "dimensions", "weights")
    user_vectors: Float32
    dimensions: Float32
    """Yᵀ, float32[d, n_items]: so few rows times Yᵀ take half as long as from Y."""
    weights: Float32

    @property
    def item_vectors(self) -> Float32:  # type: ignore[override]
        """float32[n_items, d]: a view."""
        return self.dimensions.T

    def fit(self, data: TrainingData) -> Self:
        """Draw random vectors: a dot product takes as long for these as for good ones."""
        size = self.config.embedding_size
        self.user_vectors = data.rng.standard_normal((data.n_users, size), np.float32)
        self.dimensions = data.rng.standard_normal((size, data.n_items), np.float32)
        self.weights = data.rng.standard_normal((len(FEATURES), size), np.float32) * np.float32(1e-3)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(self.embed(batch) @ self.dimensions, batch, k)

    def embed(self, batch: Batch) -> Float32:
        vectors: Float32 = np.where(
            (batch.users >= 0)[:, None], self.user_vectors[batch.users], np.float32(0)
        )
        if batch.user_features is not None:
            vectors += np.nan_to_num(batch.user_features.values) @ self.weights
        return vectors
