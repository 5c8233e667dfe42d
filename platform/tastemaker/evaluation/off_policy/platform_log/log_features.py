"""The platform's request log as a version and its reward model see it: what it would show, and features.

Contexts are the numbers that callers told and the features of the user; actions are items with their
features. A user feature is the one that was logged with the request; where none was, and for items, it is
what was known at the end of the version's data. Every column is put on one scale, sign(x) ln(1 + |x|)
less its mean in units of its standard deviation, and a missing value is the mean.
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
from tastemaker.evaluation.off_policy.platform_log.policy_replay import replay, told_numbers
from tastemaker.plugins.arrays import FeatureTable
from tastemaker.snapshot.ids import IdIndex

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion


class LoggedFeatures(NamedTuple):
    """The impressions with their features, and what one version would have shown."""

    log: BanditFeedback
    """Its actions are the items that were shown or that the version would show."""
    target: EvaluationPolicy


def read_features(
    lake: Lake, loaded: LoadedVersion, requests: RequestLog, feature_root: Path, *, seed: int = 0
) -> LoggedFeatures:
    """Replay the requests by a version, and look up what a reward model may know of users and items."""
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
    """float64[requests, d]: what was told, and the features of the user."""
    rows = requests.requests.select(["context", "features"]).to_pylist()
    told = [told_numbers(row) or [] for row in rows]
    numbers = np.full((len(rows), max(map(len, told))), np.nan)
    features = users.values.astype(np.float64)
    places = {name: column for column, name in enumerate(users.names)}
    for number, (row, values) in enumerate(zip(rows, told, strict=True)):
        numbers[number, : len(values)] = values
        logged: dict[str, Any] = json.loads(row["features"]) if row["features"] else {}
        for name in logged.keys() & places.keys():
            features[number, places[name]] = np.nan if logged[name] is None else logged[name]
    return _scaled(np.column_stack([numbers, features]))


def _scaled(columns: Float64 | np.ndarray[Any, Any]) -> Float64:
    """Each column in its standard deviations from its mean; those that say nothing are left out."""
    values = np.sign(columns) * np.log1p(np.abs(columns.astype(np.float64)))
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, values, 0.0).sum(axis=0) / counts
    off = np.where(known, values - means, 0.0)
    deviations = np.sqrt((off**2).sum(axis=0) / counts)
    telling = deviations > 1e-9
    return np.asarray(off[:, telling] / deviations[telling])
