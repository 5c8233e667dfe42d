"""What the ranker learns from: candidates at past moments, and what their users did in the days after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tastemaker.plugins import UNKNOWN_USER, Batch, Events, FeatureTable, TrainingData
from tastemaker.plugins.arrays import Float32, Int32, Int64
from tastemaker_ranker.candidates import Candidates
from tastemaker_ranker.pairs import DAY

BLOCK = 1024
"""Users whose candidates are made at once: bounds the memory of retrievers that score the whole catalogue."""

Describe = Callable[[Batch], tuple[Candidates, Float32]]
"""From a batch to its candidates and their features."""


class Lessons(NamedTuple):
    """m candidates of g users with at least one right answer each."""

    features: Float32
    """float32[m, f]"""
    rewards: Float32
    """float32[m]: the reward of (user, item) in the label period; 0 for most, below 0 for a dislike."""
    groups: Int64
    """int64[g]: how many candidates each user has; the candidates stand in this order."""


def label_periods(data: TrainingData, label_days: int, periods: int) -> list[tuple[int, int]]:
    """The last `periods` spans before the window's end, each (first second, end), oldest first.

    Together they take at most half of the window, so that something is left to learn candidates from.
    """
    if data.events.count == 0:
        return []
    window = data.end - int(data.events.times[0])
    span = min(label_days * DAY, window // (2 * periods))
    return [(data.end - i * span, data.end - (i - 1) * span) for i in range(periods, 0, -1)] if span else []


def lessons(past: TrainingData, labels: Events, users: int, describe: Describe) -> Iterator[Lessons]:
    """Lessons from the moment `past.end`, block by block, of at most `users` users drawn with `past.rng`."""
    active = np.unique(labels.users[labels.rewards > 0])
    if len(active) > users:
        active = np.sort(past.rng.choice(active, users, replace=False))
    seeds = past.rng.integers(0, 2**64, len(active), dtype=np.uint64)
    tables = None if past.features is None else (past.features.users(past.end), past.features.items(past.end))
    for start in range(0, len(active), BLOCK):
        chosen = slice(start, start + BLOCK)
        batch = _batch(past, active[chosen], seeds[chosen], tables)
        candidates, features = describe(batch)
        yield _with_answers(candidates, features, _rewards(candidates, active[chosen], labels, past.n_items))


def _batch(
    past: TrainingData, users: Int32, seeds: np.ndarray, tables: tuple[FeatureTable, FeatureTable] | None
) -> Batch:
    """The requests that these users might have made at `past.end`, in the shape that serving gives them."""
    history = past.history[users]
    return Batch(
        users=np.where(history.lengths > 0, users, UNKNOWN_USER).astype(np.int32),
        history=history,
        seeds=seeds,
        now=past.end,
        excluded=history.ruled_out(past.repeats),
        user_features=None if tables is None else tables[0][users],
        item_features=None if tables is None else tables[1],
    )


def _rewards(candidates: Candidates, users: Int32, labels: Events, n_items: int) -> Float32:
    """float32[m]: the summed reward of each candidate in the label period."""
    keys, inverse = np.unique(labels.users.astype(np.int64) * n_items + labels.items, return_inverse=True)
    sums = np.bincount(inverse, weights=labels.rewards, minlength=len(keys))
    wanted = users[candidates.rows].astype(np.int64) * n_items + candidates.items
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[index] == wanted, sums[index], 0).astype(np.float32)


def _with_answers(candidates: Candidates, features: Float32, rewards: Float32) -> Lessons:
    """Only the rows in which some candidate earned a reward: the others teach a ranker nothing."""
    rows = candidates.rows
    kept = np.isin(rows, rows[rewards > 0])
    return Lessons(features[kept], rewards[kept], np.unique(rows[kept], return_counts=True)[1])
