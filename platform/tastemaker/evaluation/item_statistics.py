"""Statistics of the items in the training window, for metrics of what is shown, such as novelty."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.plugins import History, TrainingData

Float64 = NDArray[np.float64]

EMBEDDING_SIZE = 64
_ITERATIONS = 2
_BLOCK = 65_536


@dataclass(frozen=True, eq=False)
class ItemStatistics:
    """Statistics of n items, counting each (user, item) pair of the training window once.

    Each is computed when it is first used.
    """

    train: TrainingData

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """int64[n]: how many users had the item."""
        return np.bincount(self.train.history.items, minlength=self.train.n_items)

    @cached_property
    def self_information(self) -> Float64:
        """float64[n], bits: -log₂ p(i), where p(i) = (users who had i + 1) / (users + 1)."""
        p: Float64 = (self.counts + 1) / (self.train.n_users + 1)
        return -np.log2(p)

    @cached_property
    def popularity(self) -> Float64:
        """float64[n] in (0, 1): the share of items that fewer users had, ties counted half."""
        return _mid_rank(self.counts)

    @cached_property
    def embeddings(self) -> Float64:
        """float64[n, d]: eᵢ·eⱼ approximates the cosine of the items' co-occurrence. O(pairs · d) time."""
        return _embed(self.train.history, self.counts)


def _mid_rank(counts: NDArray[np.int64]) -> Float64:
    _, inverse, ties = np.unique(counts, return_inverse=True, return_counts=True)
    below = np.cumsum(ties) - ties
    percentile: Float64 = ((below + ties / 2) / max(len(counts), 1))[inverse]
    return percentile


def _embed(history: History, counts: NDArray[np.int64]) -> Float64:
    """Vectors whose inner products are the best rank-d approximation of the co-occurrence cosines.

    Wᵤᵢ = 1/√|Uᵢ| if user u had item i, so (WᵀW)ᵢⱼ = |Uᵢ ∩ Uⱼ| / √(|Uᵢ||Uⱼ|). With Q an orthonormal basis of
    the range of WᵀW, WᵀW ≈ Q(QᵀWᵀWQ)Qᵀ; exact when W has rank d or less. Reference for Q, by randomized
    subspace iteration: N. Halko et al., SIAM Review 53(2), 2011, algorithm 4.4.
    """
    w = history.matrix(1 / np.sqrt(counts[history.items]))
    q: Float64 = np.random.default_rng(0).standard_normal((len(counts), EMBEDDING_SIZE))
    for _ in range(_ITERATIONS):
        q = np.linalg.qr(_gram(w, q)).Q
    weights, rotation = np.linalg.eigh(q.T @ _gram(w, q))
    embeddings: Float64 = q @ rotation * np.sqrt(np.maximum(weights, 0))
    return embeddings


def _gram(w: csr_array, q: Float64) -> Float64:
    """Return WᵀWq, computed in blocks of users, so that the memory does not grow with their number."""
    product = np.zeros_like(q)
    for start in range(0, w.shape[0], _BLOCK):
        some = w[start : start + _BLOCK]
        product += some.T @ (some @ q)
    return product
