"""Ask a model for every test user's list, block by block, and compare the lists with what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.evaluation.item_statistics import ItemStatistics
from tastemaker.evaluation.metrics import HITS, METRICS, RankedLists, coverage
from tastemaker.evaluation.ranking_checks import check
from tastemaker.plugins import Batch, FeatureTable, Ranking, Recommender, TrainingData
from tastemaker.plugins.safe_calls import top_k

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from tastemaker.dataset.dataset import Split

Float64 = NDArray[np.float64]
SCORES_AT_ONCE = 2**25
"""Scores that a model may compute for one block of users: 128 MB in float32."""
USERS_AT_ONCE = 8192

Progress = Callable[[int, int], None]
"""Called with the number of users evaluated so far and the number of all users."""


@dataclass(frozen=True, eq=False)
class UserMetrics:
    """Metrics of one model for n users; each metric's figure is the mean of its array."""

    values: dict[str, Float64]
    """float64[n] by metric, in the order of METRICS; coverage as pseudo-values."""
    by_items: dict[str, dict[str, Float64]]
    """float64[n] by slice of the items and metric, R being only the slice's items; NaN where R is empty."""
    user_keys: NDArray[np.uint64]
    """uint64[n]: a hash of each user's id, so that two models' arrays are paired only if they agree."""
    exposures: NDArray[np.int64]
    """int64[n_items]: how many lists held the item."""
    lists: NDArray[np.int32]
    """int32[n, k]: the lists, padded with -1."""
    score_seconds: float
    """Seconds inside the model's `top_k`, all users."""

    def __len__(self) -> int:
        return len(self.user_keys)


def evaluate(
    model: Recommender[Any],
    split: Split,
    k: int,
    *,
    metrics: Collection[str] = tuple(METRICS),
    block: int | None = None,
    progress: Progress | None = None,
) -> UserMetrics:
    """Evaluate a model's lists of length k for all test users.

    Args:
        model: A fitted model.
        split: The split with the test users and their rewards.
        k: The length of the lists.
        metrics: The names of the metrics to compute.
        block: How many users are evaluated together, which bounds the memory; None for `block_users`.
        progress: Called after each block.

    Returns:
        Every metric per user, with the lists and the seconds inside the model.

    Raises:
        PluginError: The model fails, or returns a list that can't be scored; the message names the model.
        TastemakerError: A metric does not exist, or the test period has no user to evaluate.
    """
    n, n_items = len(split.users), split.train.n_items
    if not n:
        raise TastemakerError(
            "no user has a rewarded event in the test period, so there is nothing to evaluate",
            fix="raise split.test_days or add event types to the objectives in the problem file",
        )
    require_metrics(metrics)
    block = block_users(n_items) if block is None else block
    keys = _split_keys(split)
    features = user_features(model, split)
    figures = _Figures(split, k, metrics)
    blocks = [slice(start, min(start + block, n)) for start in range(0, n, block)]

    def batch_of(rows: slice) -> Batch:
        users = split.users[rows]
        return split.snapshot.batch(
            users,
            seeds=keys[rows],
            capabilities=model.capabilities,
            user_features=None if features is None else features[users],
        )

    seconds = 0.0
    scored: list[Future[None]] = []
    with ThreadPoolExecutor(2) as beside:  # reads the next block and scores the last while the model answers
        blas = beside.submit(ThreadpoolController)
        for rows, batch in _read_ahead(beside, batch_of, blocks):
            with blas.result().limit(limits=1, user_api="blas"):  # `select` has threads: both are far slower
                started = time.perf_counter()
                ranking = _copied(top_k(model, batch, k))
                seconds += time.perf_counter() - started
            _wait(scored)
            scored = [
                beside.submit(check, model, ranking, batch, k),
                beside.submit(figures.add, rows, ranking),
            ]
            if progress:
                progress(rows.stop, n)
        _wait(scored)
    values = figures.values
    if "coverage" in metrics:
        available = split.snapshot.available
        size = n_items if available is None else int(np.count_nonzero(available))
        values["coverage"] = coverage(figures.exposures, figures.shown_to, n, size)
    ordered = {name: values[name] for name in METRICS if name in values}
    return UserMetrics(ordered, figures.by_items.values, keys, figures.exposures, figures.lists, seconds)


def _read_ahead(
    pool: ThreadPoolExecutor, batch_of: Callable[[slice], Batch], blocks: Sequence[slice]
) -> Iterator[tuple[slice, Batch]]:
    """Yield each block and its batch, and read the next one in the meantime."""
    coming = pool.submit(batch_of, blocks[0])
    for rows, following in zip(blocks, [*blocks[1:], None], strict=True):
        batch = coming.result()
        if following:
            coming = pool.submit(batch_of, following)
        yield rows, batch


def _wait(scored: Sequence[Future[None]]) -> None:
    """Wait for a block's check and figures, in this order: an invalid list may fail in both."""
    for part in scored:
        part.result()


def _copied(ranking: Ranking) -> Ranking:
    """Return a copy of a ranking: a model may write its next answer to the same arrays."""
    sound = isinstance(ranking, Ranking) and all(isinstance(part, np.ndarray) for part in ranking)
    if not sound:
        return ranking
    return Ranking(ranking.items.copy(), ranking.scores.copy(), ranking.propensities.copy())


class _Figures:
    """The figures of all test users, filled block by block."""

    def __init__(self, split: Split, k: int, metrics: Collection[str]) -> None:
        n, n_items = len(split.users), split.train.n_items
        self._relevant, self._catalogue = split.relevant, _catalogue(split.train)
        self.values = {
            name: np.empty(n) for name, metric in METRICS.items() if name in metrics and metric.per_user
        }
        self.lists = np.empty((n, k), np.int32)
        self.by_items = _ByItems(split, [name for name in HITS if name in metrics])
        self.exposures, self.shown_to = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64)

    def add(self, rows: slice, ranking: Ranking) -> None:
        """Compute the figures of some users from their lists."""
        items = ranking.items
        ranked = RankedLists(items, self._relevant[rows], self._catalogue)
        for name, column in self.values.items():
            column[rows] = METRICS[name].per_user(ranked)  # type: ignore[misc]  # coverage is not among them
        self.by_items.add(rows, ranked)
        self.lists[rows] = items
        shown = ranked.shown
        self.exposures += np.bincount(items[shown], minlength=len(self.exposures))
        self.shown_to[items[shown]] = np.nonzero(shown)[0] + rows.start


class _ByItems:
    """Metrics by slice of the items, filled block by block."""

    def __init__(self, split: Split, metrics: Collection[str]) -> None:
        self._slices = {
            name: (items, _only(split.relevant, items)) for name, items in split.item_slices.items()
        }
        n = len(split.users)
        self.values = {name: {metric: np.empty(n) for metric in metrics} for name in self._slices}

    def add(self, rows: slice, ranked: RankedLists) -> None:
        """Compute the figures of some users; NaN where no item of the slice is relevant to them."""
        for name, (items, relevant) in self._slices.items():
            part = ranked.within(items, relevant[rows])
            for metric, column in self.values[name].items():
                column[rows] = np.where(part.wanted > 0, HITS[metric](part), np.nan)


def metrics_by_items(lists: NDArray[np.int32], split: Split) -> dict[str, dict[str, Float64]]:
    """Compute the metrics by slice of the items from stored lists.

    Args:
        lists: int32[n, k], one row per test user, padded with -1.
        split: The split with the slices.

    Returns:
        float64[n] by slice and metric, as `UserMetrics.by_items`.
    """
    found, catalogue = _ByItems(split, tuple(HITS)), _catalogue(split.train)
    for start in range(0, len(lists), USERS_AT_ONCE):
        rows = slice(start, start + USERS_AT_ONCE)
        found.add(rows, RankedLists(lists[rows], split.relevant[rows], catalogue))
    return found.values


def block_users(n_items: int) -> int:
    """Return how many users to evaluate together: USERS_AT_ONCE, or fewer to stay within SCORES_AT_ONCE."""
    return max(min(SCORES_AT_ONCE // max(n_items, 1), USERS_AT_ONCE), 1)


def require_metrics(metrics: Collection[str]) -> None:
    """Raise TastemakerError for a metric that does not exist."""
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise TastemakerError(
            f"there is no metric named {', '.join(map(str, unknown))}",
            fix=f"the metrics are: {', '.join(METRICS)}",
        )


def _only(relevant: csr_array, items: NDArray[np.bool_]) -> csr_array:
    """Return the rewards with those of all other items removed."""
    kept = relevant.copy()
    kept.data *= items[kept.indices]
    kept.eliminate_zeros()
    return kept


@lru_cache(maxsize=1)
def _catalogue(train: TrainingData) -> ItemStatistics:
    """Return the item statistics, cached because all models of a run share them."""
    return ItemStatistics(train)


@lru_cache(maxsize=1)
def _split_keys(split: Split) -> NDArray[np.uint64]:
    """Return the test users' keys, cached because all models of a run share them."""
    return user_keys(split.user_ids)


def user_keys(user_ids: list[str]) -> NDArray[np.uint64]:
    """Return uint64[n], a hash of each id: the user's key in stored results and seed of the request."""
    digests = b"".join(
        blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8).digest() for one in user_ids
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def user_features(model: Recommender[Any], split: Split) -> FeatureTable | None:
    """Return the user features that a model reads, one row per user number, as known at the cutoff.

    Args:
        model: The model, whose capabilities name the features.
        split: The split with the features.

    Returns:
        The features, or None if the model reads none.

    Raises:
        PluginError: The model reads user features, but none were computed.
    """
    names = model.capabilities.user_features
    if not names:
        return None
    if split.train.features is None:
        raise PluginError(
            f"model {model.name} reads user features ({', '.join(names)}), but none were computed",
            fix="compute the feature snapshots first: `tastemaker run`",
        )
    return split.train.features.users(split.cut).select(names)
