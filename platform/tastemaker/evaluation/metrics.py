"""The metrics: each a function from judged lists to one number a user, each naming its variant.

R is the set of a user's relevant items: reward > 0 in the test period. The list holds items i₁ ... iₖ, hⱼ = 1
if iⱼ ∈ R, else 0; a list shorter than k counts as one whose remaining places miss. A user with empty R
scores 0 wherever hits count. All are computed in float64, vectorized over users, in O(n·k) memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.evaluation.item_statistics import ItemStatistics
from tastemaker.plugins import NO_ITEM

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankedLists:
    """n lists held against what happened afterwards."""

    items: NDArray[np.int32]
    """int32[n, k], padded with -1 at the end of a row."""
    relevant: csr_array
    """float[n, n_items]: the reward of each item for each user in the test period."""
    catalogue: ItemStatistics

    @property
    def k(self) -> int:
        """The length of the lists."""
        return int(self.items.shape[1])

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """bool[n, k]: False where the list is padded."""
        shown: NDArray[np.bool_] = self.items != NO_ITEM
        return shown

    @cached_property
    def rewards(self) -> Float64:
        """float64[n, k]: r(u, iⱼ), 0 for an item that the user did nothing with."""
        return np.where(self.shown, entries(self.relevant, np.where(self.shown, self.items, 0)), 0.0)

    @cached_property
    def hits(self) -> NDArray[np.bool_]:
        """bool[n, k]: hⱼ."""
        return self.rewards > 0

    @cached_property
    def wanted(self) -> NDArray[np.int64]:
        """int64[n]: |R|."""
        positive = np.concatenate(([0], np.cumsum(self.relevant.data > 0)))
        return np.diff(positive[self.relevant.indptr])

    @cached_property
    def reachable(self) -> NDArray[np.int64]:
        """int64[n]: min(|R|, k), the most hits that a list of k can have; 1 for an empty R, to divide by."""
        return np.clip(self.wanted, 1, self.k)

    def within(self, items: NDArray[np.bool_], relevant: csr_array) -> RankedLists:
        """The same lists where only some items, bool[n_items], count; `relevant` holds just those."""
        part = RankedLists(self.items, relevant, self.catalogue)
        part.__dict__["rewards"] = np.where(items[self.items], self.rewards, 0.0)  # spares looking them up
        return part

    def mean_shown(self, of_item: Float64) -> Float64:
        """The mean of a statistic, float64[n_items], over each list; 0 for an empty list."""
        total = np.where(self.shown, of_item[self.items], 0).sum(axis=1)
        mean: Float64 = total / np.maximum(self.shown.sum(axis=1), 1)
        return mean


def entries(matrix: csr_array, columns: NDArray[np.int32]) -> NDArray[Any]:
    """matrix[u, columns[u, j]] as an n x k array, without making the matrix dense."""
    found: Any = matrix[np.arange(len(columns))[:, None], columns]  # sparse, whatever its stubs say
    dense: NDArray[Any] = found.toarray()
    return dense


def recall(judged: RankedLists) -> Float64:
    """Σⱼ hⱼ / min(|R|, k): 1 is reachable for everyone. (implicit calls this variant precision.)"""
    found: Float64 = judged.hits.sum(axis=1) / judged.reachable
    return found


def ndcg(judged: RankedLists) -> Float64:
    """DCG / ideal DCG with binary gains: Σⱼ hⱼ/log₂(j+1) over Σⱼ₌₁..min(|R|,k) 1/log₂(j+1).

    Reference: K. Järvelin and J. Kekäläinen, ACM TOIS 20(4), 2002, with gains 0 and 1.
    """
    discounts = 1 / np.log2(np.arange(2, judged.k + 2))
    gain: Float64 = judged.hits @ discounts / np.cumsum(discounts)[judged.reachable - 1]
    return gain


def average_precision(judged: RankedLists) -> Float64:
    """Σⱼ hⱼ · (h₁ + ... + hⱼ)/j / min(|R|, k); its mean over users is MAP."""
    precision = np.cumsum(judged.hits, axis=1) / np.arange(1, judged.k + 1)
    mean: Float64 = (precision * judged.hits).sum(axis=1) / judged.reachable
    return mean


def reciprocal_rank(judged: RankedLists) -> Float64:
    """maxⱼ hⱼ/j: 1/j of the first hit, 0 without one; its mean over users is MRR."""
    best: Float64 = (judged.hits / np.arange(1, judged.k + 1)).max(axis=1)
    return best


def hit_rate(judged: RankedLists) -> Float64:
    """1 if any item of the list is relevant, else 0."""
    return np.asarray(judged.hits.any(axis=1), np.float64)


def reward(judged: RankedLists) -> Float64:
    """Σⱼ r(u, iⱼ), undiscounted by position, in the problem's own unit: what the shown items were worth.

    An item with a negative reward (a return) counts against the list.
    """
    return np.asarray(judged.rewards.sum(axis=1))


def novelty(judged: RankedLists) -> Float64:
    """The list's mean self-information in bits, (1/k) Σⱼ -log₂ p(iⱼ), p(i) the share of users who had i.

    Reference: T. Zhou et al., PNAS 107(10), 2010.
    """
    return judged.mean_shown(judged.catalogue.self_information)


def diversity(judged: RankedLists) -> Float64:
    """1 - mean over the list's pairs of items of the cosine of their users in training.

    The cosines are those of the co-occurrence matrix's rank-64 approximation.
    Reference: C.-N. Ziegler et al., WWW 2005 (intra-list similarity). A list of one item has no pair: 0.
    """
    lengths = judged.shown.sum(axis=1)
    embeddings = judged.catalogue.embeddings
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    lists = csr_array(
        (np.ones(offsets[-1]), judged.items[judged.shown], offsets), shape=(len(lengths), len(embeddings))
    )
    squares = (embeddings**2).sum(axis=1)
    pairs = ((lists @ embeddings) ** 2).sum(axis=1) - lists @ squares
    return np.where(lengths > 1, 1 - pairs / np.maximum(lengths * (lengths - 1), 1), 0.0)


def popularity_bias(judged: RankedLists) -> Float64:
    """The list's mean popularity percentile: 0.5 if drawn evenly from all items, near 1 for best sellers."""
    return judged.mean_shown(judged.catalogue.popularity)


def coverage(
    exposures: NDArray[np.int64], shown_to: NDArray[np.integer], n: int, catalogue_size: int
) -> Float64:
    """C, the share of the recommendable catalogue that is in at least one list, as jackknife pseudo-values.

    C belongs to all users together. With s_u the share of the catalogue that only user u was shown, leaving
    u out gives C - s_u; the pseudo-values C + (n-1)(s_u - s̄) have mean C and variance n times the jackknife's
    (B. Efron and C. Stein, Annals of Statistics 9(3), 1981: it errs on the wide side). So intervals and
    paired differences come from the same bootstrap over users as every other metric's. Resampling the lists
    themselves would not do: a resample holds only 63 % of the users, hence too few items.

    `exposures` int64[n_items]: lists that hold the item; `shown_to` int[n_items]: the row of one such list.
    """
    alone = exposures == 1
    own = np.bincount(shown_to[alone], minlength=n) / max(catalogue_size, 1)
    share = np.count_nonzero(exposures) / max(catalogue_size, 1)
    values: Float64 = share + (n - 1) * (own - own.mean())
    return values


HITS: dict[str, Callable[[RankedLists], Float64]] = {
    "ndcg": ndcg,
    "recall": recall,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
    "reward": reward,
}
"""Metrics that hold a list against R, and so have a value for a part of R."""


class Metric(NamedTuple):
    """One metric as people see it."""

    title: str
    unit: str
    larger_is_better: bool
    per_user: Callable[[RankedLists], Float64] | None
    """None for coverage, which belongs to all users together."""


METRICS: dict[str, Metric] = {
    "ndcg": Metric("NDCG", "0 to 1", True, ndcg),
    "recall": Metric("Recall", "0 to 1", True, recall),
    "map": Metric("MAP", "0 to 1", True, average_precision),
    "mrr": Metric("MRR", "0 to 1", True, reciprocal_rank),
    "hit_rate": Metric("Hit rate", "share of users", True, hit_rate),
    "reward": Metric("Reward", "per user", True, reward),
    "coverage": Metric("Coverage", "share of catalogue", True, None),
    "novelty": Metric("Novelty", "bits", True, novelty),
    "diversity": Metric("Diversity", "0 to 1", True, diversity),
    "popularity_bias": Metric("Popularity bias", "percentile", False, popularity_bias),
}
"""Every metric that a problem file can name, in the order of the leaderboard's columns."""
