"""The feature columns of a candidate. Training and serving call the same function, so they can't differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from tastemaker.plugins import Batch, FeatureTable, History, TrainingData
from tastemaker.plugins.arrays import Float32
from tastemaker_ranker.candidates import Candidates

DAY = 86_400
RECENT_DAYS = 30
PAIR_COLUMNS = ("pair_events", "pair_events_share", "pair_reward_share", "pair_since_last_days")
USER_COLUMNS = ("row_events", "row_items", "row_since_last_days")
ITEM_COLUMNS = ("item_events_share", "item_users_share", "item_events_per_user", "item_recent_share")


def columns(
    retrievers: Iterable[str],
    user_features: Sequence[str],
    item_features: Sequence[str],
    excluded: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the names of the columns of `pair_features`, in their order.

    Args:
        retrievers: Names of the retrievers.
        user_features: Names of the user features.
        item_features: Names of the item features.
        excluded: Names of columns that are left out.
    """
    names = tuple(retrievers)
    every = (
        *(f"{name}_score" for name in names),
        *(f"{name}_rank" for name in names),
        *PAIR_COLUMNS,
        *USER_COLUMNS,
        *ITEM_COLUMNS,
        *user_features,
        *item_features,
    )
    return tuple(name for name in every if name not in excluded)


def item_statistics(data: TrainingData) -> Float32:
    """Return float32[n_items, 4], the columns ITEM_COLUMNS, from everything before `data.end`.

    They are shares and not counts, so that they do not depend on the window's length.
    """
    items, n = data.events.items, data.n_items
    recent = items[np.searchsorted(data.events.times, data.end - RECENT_DAYS * DAY) :]
    events, latest = np.bincount(items, minlength=n), np.bincount(recent, minlength=n)
    users = np.bincount(data.history.items, minlength=n)
    parts = [
        _share(events, len(items)),
        _share(users, data.n_users),
        _share(events, users),
        _share(latest, len(recent)),
    ]
    return np.stack(parts, axis=1).astype(np.float32)


def pair_features(
    candidates: Candidates,
    batch: Batch,
    statistics: Float32,
    user_features: Sequence[str],
    item_features: Sequence[str],
) -> Float32:
    """Return the features of m candidates.

    Args:
        candidates: m candidates, with the scores and ranks of the retrievers.
        batch: The requests that they belong to.
        statistics: float32[n_items, 4], as `item_statistics` returns.
        user_features: Names of columns of `batch.user_features`.
        item_features: Names of columns of `batch.item_features`.

    Returns:
        float32[m, f]: one row per candidate, the columns that `columns` names; NaN where unknown.
    """
    rows, items = candidates.rows, candidates.items
    return np.concatenate(
        [
            candidates.scores,
            candidates.ranks,
            _pairs(candidates, batch.history, batch.now),
            _users(batch.history, batch.now)[rows],
            statistics[items],
            _chosen(batch.user_features, user_features, len(batch))[rows],
            _chosen(batch.item_features, item_features, len(statistics))[items],
        ],
        axis=1,
        dtype=np.float32,
    )


def _pairs(candidates: Candidates, history: History, now: int) -> Float32:
    """Return float32[m, 4]: what the row's user did with the item so far (PAIR_COLUMNS)."""
    keys = history.rows * history.n_items + history.items
    wanted = candidates.rows * history.n_items + candidates.items
    index = np.searchsorted(keys, wanted)
    index[index == len(keys)] = 0
    met = np.zeros(len(wanted), np.bool_) if len(keys) == 0 else keys[index] == wanted
    at = index[met]
    features = np.zeros((len(wanted), len(PAIR_COLUMNS)), np.float32)
    features[:, 3] = np.nan
    totals = _sums(history, history.counts), _sums(history, np.abs(history.rewards))
    rows = candidates.rows[met]
    features[met, 0] = history.counts[at]
    features[met, 1] = _share(history.counts[at], totals[0][rows])
    features[met, 2] = _share(history.rewards[at], totals[1][rows])
    features[met, 3] = (now - history.last_times[at]) / DAY
    return features


def _users(history: History, now: int) -> Float32:
    """Return float32[n, 3]: how much the row's user did so far (USER_COLUMNS)."""
    last = np.full(len(history), np.iinfo(np.int64).min)
    np.maximum.at(last, history.rows, history.last_times)
    since = np.where(history.lengths > 0, (now - last.astype(np.float64)) / DAY, np.nan)
    return np.stack([_sums(history, history.counts), history.lengths, since], axis=1).astype(np.float32)


def _chosen(table: FeatureTable | None, names: Sequence[str], n: int) -> Float32:
    """Return float32[n, len(names)]: the named columns, NaN if the batch has no table."""
    if table is None:
        return np.full((n, len(names)), np.nan, np.float32)
    if table.names == tuple(names):  # selecting would copy the whole catalogue for each request
        return table.values
    return table.select(names).values


def _sums(history: History, values: np.ndarray) -> np.ndarray:
    return np.bincount(history.rows, weights=values, minlength=len(history))


def _share(part: np.ndarray, whole: np.ndarray | int) -> np.ndarray:
    share: np.ndarray = np.divide(part, np.maximum(whole, np.finfo(np.float32).tiny), dtype=np.float64)
    return share
