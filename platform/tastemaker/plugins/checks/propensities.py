"""Checks of propensities: the reported probabilities are those with which items are shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tastemaker.plugins.arrays import NO_ITEM
from tastemaker.plugins.checks.compare import require_same
from tastemaker.plugins.checks.subject import N_ITEMS, Check, CheckFailed, Subject

K = 3
DRAWS = 4000
SIGMAS = 5.0
"""A correct model exceeds five standard errors once in two million comparisons; a check makes 90."""


def propensities_are_probabilities(subject: Subject) -> None:
    """Check that propensities of items are in (0, 1], of padding 0, and of a deterministic list 1."""
    ranking = subject.model.recommend(subject.all_users(), N_ITEMS + 1)
    answered = ranking.items != NO_ITEM
    values = ranking.propensities[answered]
    if not ((values > 0) & (values <= 1)).all():
        raise CheckFailed(f"propensities lie in [{values.min()}, {values.max()}], must be in (0, 1]")
    if not (ranking.propensities[~answered] == 0).all():
        raise CheckFailed("the propensity of padding is not 0")
    if not subject.recommender.capabilities.stochastic and not (values == 1).all():
        raise CheckFailed(f"not declared stochastic, but reports a propensity of {values.min()}")


def propensities_are_frequencies(subject: Subject) -> None:
    """Check that over many seeds, the frequency of an item at a position is its propensity.

    A model that is not declared stochastic returns the same list for every seed.
    """
    batch = subject.batch(subject.data(), [0] * DRAWS)
    seeds = np.random.default_rng(5).integers(2**63, size=DRAWS, dtype=np.uint64)
    batch = replace(batch, seeds=seeds, available=np.arange(N_ITEMS) % 2 == 0)
    ranking = subject.model.recommend(batch, K)
    if not subject.recommender.capabilities.stochastic:
        first = subject.model.recommend(batch[:1], K)
        same = first._replace(
            **{name: np.repeat(getattr(first, name), DRAWS, axis=0) for name in first._fields}
        )
        require_same(same, ranking, "not declared stochastic, but two seeds")
        return
    places = ranking.items.astype(np.int64) * K + np.arange(K)
    shown = np.bincount(places.ravel(), minlength=N_ITEMS * K)
    said = np.bincount(places.ravel(), ranking.propensities.ravel(), N_ITEMS * K) / np.maximum(shown, 1)
    limit = SIGMAS * np.sqrt(said * (1 - said) / DRAWS) + 1 / DRAWS
    wrong = np.nonzero((shown > 0) & (np.abs(shown / DRAWS - said) > limit))[0]
    if len(wrong):
        item, position = divmod(int(wrong[0]), K)
        raise CheckFailed(
            f"item {item} at position {position}: the propensity is {said[wrong[0]]:.4f}, "
            f"the frequency {shown[wrong[0]] / DRAWS:.4f} in {DRAWS} draws"
        )


def top_k_returns_recommendations(subject: Subject) -> None:
    """Check that `top_k` returns the items and scores of `recommend`."""
    batch = subject.all_users()
    recommended = subject.model.recommend(batch, K)
    without = subject.model.top_k(batch, K)._replace(propensities=recommended.propensities)
    require_same(recommended, without, "recommend and top_k")


CHECKS: tuple[Check, ...] = (
    propensities_are_probabilities,
    propensities_are_frequencies,
    top_k_returns_recommendations,
)
