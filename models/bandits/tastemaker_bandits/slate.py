"""Lists chosen by score, and the propensities of the items in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable

import numpy as np

from tastemaker.plugins import NO_ITEM, Batch, Ranking, empty_ranking, forbid, select
from tastemaker.plugins.arrays import Bool, Float32, Int64, UInt64
from tastemaker.plugins.seeded_random import mix
from tastemaker_bandits.common import Float64

SMALLEST = float(np.finfo(np.float32).tiny)
"""The smallest propensity of a shown item: it was possible, so it is never rounded to 0."""

SIMULATION = np.uint64(0xD1342543DE82EF95)
"""The seed of the draws that estimate propensities."""


def best(scores: Float32, batch: Batch, k: int) -> Ranking:
    """Return what `select` returns, in a fraction of its time for one item of the whole catalogue.

    Args:
        scores: float32[n, n_items], finite or -inf; overwritten.
        batch: the requests.
        k: the length of the lists.
    """
    if k != 1 or batch.candidates is not None or not scores.shape[1]:
        return select(scores, batch, k)
    forbid(scores, batch)
    if len(scores) == 1 and (value := scores[0, item := int(scores[0].argmax())]) > -np.inf:
        return Ranking(np.array([[item]], np.int32), np.array([[value]]), np.ones((1, 1), np.float32))
    items = scores.argmax(axis=1)[:, None]
    ranking = Ranking(
        items.astype(np.int32),
        scores[np.arange(len(batch))[:, None], items],
        np.ones(items.shape, np.float32),
    )
    if np.isfinite(ranking.scores).all():
        return ranking
    padding = empty_ranking(len(batch), 1)
    return Ranking(
        *(np.where(np.isfinite(ranking.scores), a, b) for a, b in zip(ranking, padding, strict=True))
    )


def allowed_items(batch: Batch, n_items: int) -> Bool | None:
    """Return the items that each request may show, bool[n, n_items]; None if all may show all.

    Args:
        batch: n requests.
        n_items: the size of the catalogue.
    """
    if batch.available is None and batch.excluded is None and batch.candidates is None:
        return None
    flags = np.zeros((len(batch), n_items), np.float32)
    forbid(flags, batch)
    return np.isfinite(flags)


def common_items(batch: Batch, n_items: int) -> Bool:
    """Return the items that are available, bool[n_items], before each request's own rules.

    Args:
        batch: the requests; the array is their own `available` unless that is None.
        n_items: the size of the catalogue.
    """
    return np.ones(n_items, np.bool_) if batch.available is None else batch.available


Propensities = Callable[[int, Int64, Int64, int], Float64]
"""(a row of the batch, the allowed items, the wanted ones, k) -> float64[wanted, k], by place."""


def with_propensities(
    ranking: Ranking, batch: Batch, n_items: int, shared: bool, propensities: Propensities
) -> Ranking:
    """Return the ranking with the propensity of each item at its place.

    Args:
        ranking: the lists.
        batch: the requests that they answer.
        n_items: the size of the catalogue.
        shared: whether the scores' distribution is the same for all rows, whatever their context.
        propensities: called once for all rows that have one distribution and may show the same items.
    """
    allowed = allowed_items(batch, n_items)
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row in range(len(batch)):
        flags = b"" if allowed is None else np.packbits(allowed[row]).tobytes()
        groups[flags, 0 if shared or batch.context is None else batch.context[row].tobytes()].append(row)
    found = np.zeros(ranking.items.shape, np.float32)
    for rows in groups.values():
        items = ranking.items[rows]
        shown = items != NO_ITEM
        wanted = np.unique(items[shown]).astype(np.int64)
        if not len(wanted):
            continue
        choice = np.arange(n_items) if allowed is None else np.nonzero(allowed[rows[0]])[0]
        table = np.clip(propensities(rows[0], choice, wanted, int(shown.sum(axis=1).max())), SMALLEST, 1)
        places = np.nonzero(shown)
        found[np.asarray(rows)[places[0]], places[1]] = table[
            np.searchsorted(wanted, items[places]), places[1]
        ]
    return ranking._replace(propensities=found)


def simulation_seeds(draws: int) -> UInt64:
    """Return the same seeds each time, uint64[draws], so that a row alone gets what it gets in a batch."""
    return mix(np.arange(1, draws + 1, dtype=np.uint64) * SIMULATION)


def only(scores: Float32 | Float64, allowed: Int64) -> Float64:
    """Return a copy of the scores with -inf for the items that are not allowed.

    Args:
        scores: float[draws, n_items], not changed.
        allowed: int64[m], the items that may be shown.

    Returns:
        float64[draws, n_items]
    """
    kept = np.full(scores.shape, -np.inf)
    kept[:, allowed] = scores[:, allowed]
    return kept
