"""From scores to slates, and from slates to propensities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable

import numpy as np

from tastemaker.plugins import NO_ITEM, Batch, Ranking, empty_ranking, forbid, select
from tastemaker.plugins.arrays import Bool, Float32, Int64, UInt64
from tastemaker.plugins.seeded_random import mix
from tastemaker_bandits.learning import Float64

SMALLEST = float(np.finfo(np.float32).tiny)
"""What was shown was possible: a propensity is never rounded to 0."""

REHEARSAL = np.uint64(0xD1342543DE82EF95)
"""The seed of the draws that estimate propensities."""


def best(scores: Float32, batch: Batch, k: int) -> Ranking:
    """`select`, in a fraction of its time where one item of the whole catalogue is asked for."""
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
    """bool[n, n_items], or None if everything is allowed to everyone."""
    if batch.available is None and batch.excluded is None and batch.candidates is None:
        return None
    marks = np.zeros((len(batch), n_items), np.float32)
    forbid(marks, batch)
    return np.isfinite(marks)


def common_items(batch: Batch, n_items: int) -> Bool:
    """bool[n_items]: what is allowed to everyone who is not told otherwise."""
    return np.ones(n_items, np.bool_) if batch.available is None else batch.available


Chances = Callable[[int, Int64, Int64, int], Float64]
"""(a row of the batch, the allowed items, the wanted ones, k) -> float64[wanted, k], by place."""


def with_propensities(
    ranking: Ranking, batch: Batch, n_items: int, shared: bool, chances: Chances
) -> Ranking:
    """The ranking, with what `chances` says. It is asked once for all rows that may be shown the same items.

    `shared` says that rows differ in what they are allowed only, not in their scores' distribution.
    """
    allowed = allowed_items(batch, n_items)
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row in range(len(batch)):
        marks = b"" if allowed is None else np.packbits(allowed[row]).tobytes()
        groups[marks, 0 if shared or batch.context is None else batch.context[row].tobytes()].append(row)
    propensities = np.zeros(ranking.items.shape, np.float32)
    for rows in groups.values():
        items = ranking.items[rows]
        shown = items != NO_ITEM
        wanted = np.unique(items[shown]).astype(np.int64)
        if not len(wanted):
            continue
        choice = np.arange(n_items) if allowed is None else np.nonzero(allowed[rows[0]])[0]
        table = np.clip(chances(rows[0], choice, wanted, int(shown.sum(axis=1).max())), SMALLEST, 1)
        places = np.nonzero(shown)
        propensities[np.asarray(rows)[places[0]], places[1]] = table[
            np.searchsorted(wanted, items[places]), places[1]
        ]
    return ranking._replace(propensities=propensities)


def rehearsals(draws: int) -> UInt64:
    """uint64[draws]: the same seeds each time, so that a row alone gets what it gets in a batch."""
    return mix(np.arange(1, draws + 1, dtype=np.uint64) * REHEARSAL)


def only(scores: Float32 | Float64, allowed: Int64) -> Float64:
    """The scores, -inf for what is not allowed."""
    kept = np.full(scores.shape, -np.inf)
    kept[:, allowed] = scores[:, allowed]
    return kept
