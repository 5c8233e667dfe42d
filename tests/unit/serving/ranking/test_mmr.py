"""MMR against the definition written out, and what it must leave alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.plugins import NO_ITEM, Ranking
from tastemaker.serving.ranking.mmr import cosine, order, rerank

SEEDS, STRENGTHS = st.integers(0, 10_000), st.floats(0, 1)


def made_up(seed: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Descending scores, and a likeness with ties."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(size=m).round(1))[::-1].astype(np.float32)
    return scores, cosine(rng.integers(-1, 2, (m, 3)).astype(np.float32))


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(1, 9), st.integers(1, 9), STRENGTHS)
def test_each_place_goes_to_the_best_marginal_relevance(seed: int, m: int, k: int, strength: float) -> None:
    scores, likeness = made_up(seed, m)
    low, high = float(scores.min()), float(scores.max())
    relevance = [1.0 if high == low else (float(score) - low) / (high - low) for score in scores]
    places = order(scores, likeness, k, strength).tolist()
    assert len(set(places)) == len(places) == min(k, m)
    for n, place in enumerate(places):
        before, rest = places[:n], [each for each in range(m) if each not in places[:n]]

        def worth(i: int, before: list[int] = before) -> float:
            most = max((float(likeness[i, j]) for j in before), default=0.0)
            return (1 - strength) * relevance[i] - strength * most

        best = max(map(worth, rest))
        assert worth(place) >= best - 1e-5


@given(SEEDS, st.integers(0, 12), st.integers(1, 12))
def test_without_strength_nothing_moves(seed: int, m: int, k: int) -> None:
    assert order(*made_up(seed, m), k, 0.0).tolist() == list(range(min(k, m)))


def test_a_list_of_one_kind_is_broken_up() -> None:
    """Three lamps and a chair: with some strength the chair comes second."""
    likeness = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], np.float32)
    scores = np.array([1.0, 0.9, 0.8, 0.5], np.float32)
    assert order(scores, likeness, 3, 0.0).tolist() == [0, 1, 2]
    assert order(scores, likeness, 3, 0.5).tolist() == [0, 3, 1]


def test_rows_keep_their_scores_and_short_rows_their_padding() -> None:
    ranking = Ranking(
        np.array([[3, 1, 2, 0], [4, NO_ITEM, NO_ITEM, NO_ITEM]], np.int32),
        np.array([[9, 8, 7, 0], [5, -np.inf, -np.inf, -np.inf]], np.float32),
        np.array([[1, 1, 1, 1], [1, 0, 0, 0]], np.float32),
    )
    kinds = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    found = rerank(ranking, 3, lambda items: cosine(kinds[items]), 0.5)
    assert found.items.tolist() == [[3, 2, 1], [4, NO_ITEM, NO_ITEM]]
    assert found.scores[0].tolist() == [9, 7, 8]
    assert found.propensities.tolist() == [[1, 1, 1], [1, 0, 0]]
