"""Maximal marginal relevance: a list of relevant items that differ from each other.

    next = argmax over i not in S of (1 - λ) rel(i) - λ max over j in S of likeness(i, j)

rel is the model's score, scaled to [0, 1] over the row's candidates; likeness lies in [-1, 1]; λ = 0 leaves
the model's order as it is. Carbonell, Goldstein, The use of MMR, SIGIR 1998.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tastemaker.plugins import NO_ITEM, Ranking, empty_ranking
from tastemaker.plugins.arrays import Float32, Int32, Int64

DEPTH = 4
"""Candidates that the model ranks, in lengths of the list."""
Likeness = Callable[[Int32], Float32]
"""int32[m] items -> float32[m, m], the similarity of each pair."""


def rerank(ranking: Ranking, k: int, likeness: Likeness, mmr_lambda: float) -> Ranking:
    """Return the k items of each row that `order` chooses.

    Scores stay the model's, so they need not descend.

    Args:
        ranking: n rows of candidates, scores descending.
        k: The length of each list.
        likeness: Given int32[m], item numbers, returns float32[m, m], their similarities.
        mmr_lambda: λ in [0, 1]; 0 keeps the model's order.
    """
    chosen = empty_ranking(len(ranking.items), k)
    for row, items in enumerate(ranking.items):
        known = items[items != NO_ITEM]
        places = order(ranking.scores[row, : len(known)], likeness(known), k, mmr_lambda)
        for whole, part in zip(chosen, ranking, strict=True):
            whole[row, : len(places)] = part[row, places]
    return chosen


def order(scores: Float32, likeness: Float32, k: int, mmr_lambda: float) -> Int64:
    """Return int64[min(k, m)], the chosen places among m candidates; ties go to the earlier place.

    Args:
        scores: float32[m], descending.
        likeness: float32[m, m], the similarity of each pair.
        k: The length of the list.
        mmr_lambda: λ in [0, 1].
    """
    relevance = (1 - mmr_lambda) * _scaled(scores)
    redundancy: Float32 = np.full(len(scores), -np.inf, np.float32)
    taken = np.zeros(len(scores), np.bool_)
    places = np.empty(min(k, len(scores)), np.int64)
    for n in range(len(places)):
        worth = relevance - mmr_lambda * redundancy if n else relevance.copy()
        worth[taken] = -np.inf
        places[n] = best = int(worth.argmax())
        taken[best] = True
        np.maximum(redundancy, likeness[best], out=redundancy)
    return places


def cosine(vectors: Float32) -> Float32:
    """Return float32[m, m]: the cosine of each pair of rows; 0 where a row is 0."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1)
    return np.asarray(unit @ unit.T, np.float32)


def _scaled(scores: Float32) -> Float32:
    """Return the scores scaled to [0, 1]; all 1 where they are equal."""
    if not len(scores):
        return scores
    spread = scores.max() - scores.min()
    scaled: Float32 = (scores - scores.min()) / spread if spread > 0 else np.ones_like(scores)
    return scaled
