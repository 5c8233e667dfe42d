"""Features of logged impressions for reward models, and the replay of a version on them.

Contexts are the numbers that callers sent and the features of the user; actions are items with their
features. A user feature is the one that was logged with the request; where none was logged, and for items, it
is the value at the end of the version's data. Every column is transformed by sign(x) ln(1 + |x|) and
standardized; a missing value is replaced by the mean.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tastemaker.data.lake import Lake
from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, EvaluationPolicy, Float64
from tastemaker.evaluation.off_policy.platform_log.impressions import RequestLog
from tastemaker.evaluation.off_policy.platform_log.policy_replay import context_numbers, replay
from tastemaker.plugins.arrays import FeatureTable
from tastemaker.snapshot.ids import IdIndex

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion


class LoggedFeatures(NamedTuple):
    """Impressions with their features, and the probabilities of one version on them."""

    log: BanditFeedback
    """The impressions; the actions are the items that were shown or that the version would show."""
    target: EvaluationPolicy


def read_features(
    lake: Lake, loaded: LoadedVersion, requests: RequestLog, feature_root: Path, *, seed: int = 0
) -> LoggedFeatures:
    """Replay requests with a version, and look up the features of their users and items.

    Args:
        lake: The lake with the features.
        loaded: The version that is replayed.
        requests: The requests that are replayed.
        feature_root: The folder of the feature snapshots.
        seed: Seed of the draws.

    Returns:
        The impressions of the requests, in their order, and the version's probabilities on them.
    """
    from tastemaker.features.snapshots import SnapshotFeatures

    snapshot = loaded.snapshot
    source = SnapshotFeatures(lake, feature_root, snapshot.user_ids, snapshot.item_ids)
    of_users = cache(lambda: source.users(snapshot.end))
    replayed = replay(loaded, requests, features=of_users, seed=seed)
    known, places = np.unique(replayed.drawn, return_inverse=True)
    proposed = snapshot.item_ids.decode(known[known >= 0])
    index = IdIndex.build([*requests.item_ids, *proposed])
    numbers = np.r_[np.full(np.count_nonzero(known < 0), -1), index.lookup(proposed)].astype(np.int64)
    of_items = source.items(snapshot.end)[snapshot.item_ids.lookup(index.decode(np.arange(len(index))))]
    users = snapshot.user_ids.lookup(requests.requests["user_id"].to_pylist())
    log = BanditFeedback.of(
        index.lookup(requests.item_ids),
        requests.log.rewards,
        requests.log.propensities,
        n_actions=len(index),
        positions=requests.log.positions,
        contexts=_contexts(requests, of_users()[users])[requests.log.rounds],
        rounds=requests.log.rounds,
        action_features=_scaled(of_items.values),
    )
    drawn = numbers[places].reshape(replayed.drawn.shape)
    return LoggedFeatures(log, EvaluationPolicy.of_logged_actions(log, replayed.chosen, drawn))


def _contexts(requests: RequestLog, users: FeatureTable) -> Float64:
    """Return float64[requests, d], the numbers of the context and the features of the user."""
    rows = requests.requests.select(["context", "features"]).to_pylist()
    contexts = [context_numbers(row) or [] for row in rows]
    numbers = np.full((len(rows), max(map(len, contexts))), np.nan)
    features = users.values.astype(np.float64)
    places = {name: column for column, name in enumerate(users.names)}
    for number, (row, values) in enumerate(zip(rows, contexts, strict=True)):
        numbers[number, : len(values)] = values
        logged: dict[str, Any] = json.loads(row["features"]) if row["features"] else {}
        for name in logged.keys() & places.keys():
            features[number, places[name]] = np.nan if logged[name] is None else logged[name]
    return _scaled(np.column_stack([numbers, features]))


def _scaled(columns: Float64 | np.ndarray[Any, Any]) -> Float64:
    """Return the transformed columns, standardized; constant columns are left out."""
    values = np.sign(columns) * np.log1p(np.abs(columns.astype(np.float64)))
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, values, 0.0).sum(axis=0) / counts
    off = np.where(known, values - means, 0.0)
    deviations = np.sqrt((off**2).sum(axis=0) / counts)
    varying = deviations > 1e-9
    return np.asarray(off[:, varying] / deviations[varying])
