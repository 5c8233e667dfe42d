"""Replay of logged requests with a version: its probability of each item shown, and draws of its lists."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tastemaker.evaluation.off_policy.bandit_feedback import Float64
from tastemaker.evaluation.off_policy.platform_log.impressions import RequestLog
from tastemaker.evaluation.ranking_checks import check
from tastemaker.event_log.records import seed_of
from tastemaker.plugins.arrays import NO_ITEM, Batch, FeatureTable, Float32, Int32, Int64
from tastemaker.plugins.safe_calls import recommend

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion

DRAWS = 100
"""Draws per request of a stochastic policy: the standard error of a probability is at most 0.05."""
KEPT_DRAWS = 20
"""Draws that are kept for reward models. A million impressions take 80 MB."""
HOUR_SECONDS = 3600
_BLOCK = 512

OfflineFeatures = Callable[[], FeatureTable]
"""Returns one row per user number of the snapshot, for requests whose log has no user features."""


class PolicyReplay(NamedTuple):
    """Probabilities and draws of a version, one entry per impression."""

    chosen: Float64
    """float64[n]: the probability that the version puts this item at this position."""
    drawn: Int32
    """int32[n, draws]: items that it put at this position, by their numbers in its snapshot; -1 for none."""


def replay(
    loaded: LoadedVersion,
    requests: RequestLog,
    *,
    features: OfflineFeatures,
    seed: int = 0,
    draws: int = DRAWS,
) -> PolicyReplay:
    """Send the logged requests to a version.

    A stochastic version answers each request `draws` times, a deterministic one once. The draws are not
    seeded by the request: that seed also made the logged list, whose probability would be overestimated.
    Where the version itself answered, its probabilities are the logged ones, and the logged list is its draw.

    The request's time is rounded down to the hour, after the same shift as in serving, which omits the time
    between the end of a version's data and its training.

    Args:
        loaded: The version that answers.
        requests: The requests, which are answered in blocks.
        features: Returns the user features at the end of the version's data.
        seed: Seed of the draws.
        draws: Number of answers per request of a stochastic version.

    Returns:
        One entry per impression, in the order of `requests.log`, with at most `KEPT_DRAWS` of the draws.

    Raises:
        PluginError: The version fails, or returns a list that can't be scored.
    """
    version, log = loaded.manifest.version, requests.log
    rows = requests.requests.select(_ASKED).to_pylist()
    shown = np.full((len(rows), log.n_positions), NO_ITEM, np.int32)
    shown[log.rounds, log.positions] = loaded.snapshot.item_ids.lookup(requests.item_ids)
    stochastic = loaded.model.capabilities.stochastic
    draws = draws if stochastic else 1
    found = np.zeros(shown.shape)
    drawn = np.repeat(shown[:, :, None], min(draws, KEPT_DRAWS), axis=2)
    rng = np.random.default_rng(seed)
    own = np.array([row["version"] == version for row in rows])
    drawn[~own] = NO_ITEM
    for numbers, k, now in _alike(rows, np.flatnonzero(~own), loaded):
        batch = _batch(loaded, [rows[number] for number in numbers], now, features)
        width = min(k, shown.shape[1])
        part = shown[numbers, :width]
        for draw in range(draws):
            if stochastic:
                batch = _reseeded(batch, rng)
            ranking = recommend(loaded.model, batch, k)
            check(loaded.model, ranking, batch, k)
            items = ranking.items[:, :width]
            found[numbers, :width] += (items == part) & (part != NO_ITEM)
            if draw < drawn.shape[2]:
                drawn[numbers, :width, draw] = items
    chosen = np.where(own[log.rounds], log.propensities, found[log.rounds, log.positions] / draws)
    return PolicyReplay(chosen, drawn[log.rounds, log.positions])


_ASKED = [
    "request_id", "occurred_at", "user_id", "k", "context", "exclude", "candidates", "features", "version",
]  # fmt: skip


def _alike(
    rows: list[dict[str, Any]], numbers: Int64, loaded: LoadedVersion
) -> Iterator[tuple[list[int], int, int]]:
    """Yield blocks of these request numbers that fit into one batch, with their k and time (seconds)."""
    lag = max(0, int(loaded.manifest.created_at.timestamp()) - loaded.snapshot.end)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for number in numbers.tolist():
        row = rows[number]
        context = context_numbers(row)
        shifted = int(row["occurred_at"].timestamp()) - lag
        now = max(loaded.snapshot.end, shifted // HOUR_SECONDS * HOUR_SECONDS)
        length = None if context is None else len(context)
        groups[now, row["k"], row["candidates"] is None, length].append(number)
    for (now, k, *_), alike in groups.items():
        for start in range(0, len(alike), _BLOCK):
            yield alike[start : start + _BLOCK], k, now


def _batch(loaded: LoadedVersion, rows: list[dict[str, Any]], now: int, features: OfflineFeatures) -> Batch:
    snapshot, capabilities = loaded.snapshot, loaded.model.capabilities
    users = snapshot.user_ids.lookup([row["user_id"] for row in rows])
    contexts = [context_numbers(row) for row in rows]
    return snapshot.batch(
        users,
        seeds=np.array([seed_of(row["request_id"]) for row in rows], np.uint64),
        now=now,
        capabilities=capabilities,
        exclude=[snapshot.item_ids.lookup(row["exclude"] or []) for row in rows],
        candidates=None
        if rows[0]["candidates"] is None
        else _padded([snapshot.item_ids.lookup(row["candidates"]) for row in rows]),
        context=None if contexts[0] is None else np.array(contexts, np.float32),
        user_features=_user_features(rows, users, capabilities.user_features, features),
    )


def _user_features(
    rows: list[dict[str, Any]], users: Int32, names: tuple[str, ...], offline: OfflineFeatures
) -> FeatureTable | None:
    """Return the logged user features; where some are missing, those at the end of the version's data."""
    if not names:
        return None
    logged = [json.loads(row["features"]) if row["features"] else {} for row in rows]
    whole = np.array([all(name in each for name in names) for each in logged])
    values: Float32 = np.full((len(rows), len(names)), np.nan, np.float32)
    if not whole.all():
        values = offline().select(names)[users].values.copy()
    for row in np.flatnonzero(whole):
        values[row] = [np.nan if (value := logged[row][name]) is None else value for name in names]
    return FeatureTable(names, values)


def context_numbers(row: dict[str, Any]) -> list[float] | None:
    """Return the numbers that the caller sent as context; None for a context of names with values."""
    context = None if row["context"] is None else json.loads(row["context"])
    return context if isinstance(context, list) else None


def _padded(lists: list[Int32]) -> Int32:
    padded = np.full((len(lists), max(map(len, lists))), NO_ITEM, np.int32)
    for row, items in zip(padded, lists, strict=True):
        row[: len(items)] = items
    return padded


def _reseeded(batch: Batch, rng: np.random.Generator) -> Batch:
    return replace(batch, seeds=rng.integers(0, 2**64, len(batch), dtype=np.uint64))
