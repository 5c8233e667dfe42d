"""The training set of the ranker: candidates at past cutoffs, labelled with what users did next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tastemaker.plugins import UNKNOWN_USER, Batch, Events, FeatureTable, TrainingData
from tastemaker.plugins.arrays import Float32, Int32, Int64
from tastemaker_ranker.candidates import Candidates
from tastemaker_ranker.features import DAY

BLOCK = 1024
"""Users whose candidates are made at once: bounds the memory of retrievers that score the whole catalogue."""

Describe = Callable[[Batch], tuple[Candidates, Float32]]
"""From a batch to its candidates and their features."""


class TrainingSet(NamedTuple):
    """m labelled candidates of g users, at least one of them with a reward per user."""

    features: Float32
    """float32[m, f]"""
    rewards: Float32
    """float32[m]: the reward of (user, item) in the label period; 0 for most, below 0 for a dislike."""
    groups: Int64
    """int64[g]: how many candidates each user has; the candidates stand in this order."""


def label_periods(data: TrainingData, label_days: int, periods: int) -> list[tuple[int, int]]:
    """Return the label periods: the last spans of equal length before the window's end, oldest first.

    Together they take at most half of the window, so that something is left to learn candidates from.

    Args:
        data: The training window.
        label_days: The length of a period, in days; shorter where half of the window is.
        periods: How many periods.

    Returns:
        The first second and the end, exclusive, of each period; none if the window is too short.
    """
    if data.events.count == 0:
        return []
    window = data.end - int(data.events.times[0])
    span = min(label_days * DAY, window // (2 * periods))
    return [(data.end - i * span, data.end - (i - 1) * span) for i in range(periods, 0, -1)] if span else []


def build_training_sets(
    past: TrainingData, labels: Events, users: int, describe: Describe
) -> Iterator[TrainingSet]:
    """Yield the training set of one label period, block by block of users.

    Args:
        past: What happened before the label period. Users are drawn with its `rng`.
        labels: What happened in the label period.
        users: At most so many users are drawn of those with a reward above 0 in the period.
        describe: Makes the candidates of a batch and their features.
    """
    active = np.unique(labels.users[labels.rewards > 0])
    if len(active) > users:
        active = np.sort(past.rng.choice(active, users, replace=False))
    seeds = past.rng.integers(0, 2**64, len(active), dtype=np.uint64)
    tables = None if past.features is None else (past.features.users(past.end), past.features.items(past.end))
    for start in range(0, len(active), BLOCK):
        chosen = slice(start, start + BLOCK)
        batch = _batch(past, active[chosen], seeds[chosen], tables)
        candidates, features = describe(batch)
        yield _labelled_rows(candidates, features, _rewards(candidates, active[chosen], labels, past.n_items))


def _batch(
    past: TrainingData, users: Int32, seeds: np.ndarray, tables: tuple[FeatureTable, FeatureTable] | None
) -> Batch:
    """Return the requests that these users could have made at `past.end`, as serving builds them."""
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
    """Return float32[m]: the summed reward of each candidate in the label period."""
    keys, inverse = np.unique(labels.users.astype(np.int64) * n_items + labels.items, return_inverse=True)
    sums = np.bincount(inverse, weights=labels.rewards, minlength=len(keys))
    wanted = users[candidates.rows].astype(np.int64) * n_items + candidates.items
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[index] == wanted, sums[index], 0).astype(np.float32)


def _labelled_rows(candidates: Candidates, features: Float32, rewards: Float32) -> TrainingSet:
    """Keep the rows in which a candidate earned a reward: a ranker learns nothing from the others."""
    rows = candidates.rows
    kept = np.isin(rows, rows[rewards > 0])
    return TrainingSet(features[kept], rewards[kept], np.unique(rows[kept], return_counts=True)[1])
