"""The metrics: each a function from ranked lists to one number per user, each naming its variant.

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

TABLE_WIDTH = 512
"""Places per row in the table of `entries`: a power of 2. More make a larger table, fewer a longer search."""
TABLE_ROWS = 1024
"""Rows in the table at a time: 512 kB, which stay in a processor's cache."""


@dataclass(frozen=True, eq=False)
class RankedLists:
    """n recommended lists, and the rewards that followed.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> lists = np.array([[3, 0, 2]], np.int32)           # one user was shown items 3, 0 and 2
    >>> rewards = csr_array([[5.0, 0.0, 1.5, 0.0, 2.0]])  # and bought items 0, 2 and 4
    >>> ranked = RankedLists(lists, rewards, catalogue=None)
    >>> ranked.hits.tolist()
    [[False, True, True]]
    >>> recall(ranked).round(4).tolist(), reciprocal_rank(ranked).tolist(), reward(ranked).tolist()
    ([0.6667], [0.5], [6.5])
    """

    items: NDArray[np.int32]
    """int32[n, k], padded with -1 at the end of a row."""
    relevant: csr_array
    """float[n, n_items]: the reward of each item for each user in the test period."""
    catalogue: ItemStatistics

    @property
    def k(self) -> int:
        """Length of the lists."""
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
        """int64[n]: min(|R|, k), the most hits that a list of k can have; 1 for an empty R, as a divisor."""
        return np.clip(self.wanted, 1, self.k)

    def within(self, items: NDArray[np.bool_], relevant: csr_array) -> RankedLists:
        """Return the same lists, of which only some items count.

        Args:
            items: bool[n_items], the items that count.
            relevant: float[n, n_items], the rewards of those items only.
        """
        part = RankedLists(self.items, relevant, self.catalogue)
        part.__dict__["rewards"] = np.where(items[self.items], self.rewards, 0.0)  # spares looking them up
        return part

    def mean_shown(self, of_item: Float64) -> Float64:
        """Return float64[n], the mean of a statistic over each list; 0 for an empty list.

        Args:
            of_item: float64[n_items], the statistic of each item.
        """
        total = np.where(self.shown, of_item[self.items], 0).sum(axis=1)
        mean: Float64 = total / np.maximum(self.shown.sum(axis=1), 1)
        return mean


def entries(matrix: csr_array, columns: NDArray[np.int32]) -> NDArray[Any]:
    """Return matrix[u, columns[u, j]] as an n x k array, without making the matrix dense.

    Args:
        matrix: A sparse matrix of n rows.
        columns: int32[n, k], the columns to read of each row, each at least 0.

    Raises:
        IndexError: The matrix does not have such a column.
    """
    n, k = columns.shape
    if not 0 <= columns.min(initial=0) <= columns.max(initial=0) < max(matrix.shape[1], 1):
        raise IndexError(f"columns must be from 0 to {matrix.shape[1] - 1:,}")
    found = np.zeros(n * k, matrix.dtype)
    starts = range(0, max(n, 1), TABLE_ROWS)
    places = np.concatenate([start * k + _possible(matrix, columns, start) for start in starts])
    if len(places):  # for none, scipy returns a matrix
        found[places] = matrix[places // k, columns.reshape(-1)[places]]
    return found.reshape(n, k)


def _possible(matrix: csr_array, columns: NDArray[np.int32], start: int) -> NDArray[np.int64]:
    """Return the places among the columns of TABLE_ROWS rows from `start` on that may have an entry.

    A row's entries are marked in a table by the last bits of their columns. Few columns that have no entry
    are marked, so few are searched for in vain.
    """
    columns = columns[start : start + TABLE_ROWS]
    offsets = matrix.indptr[start : start + len(columns) + 1]
    row_starts = np.arange(len(columns)) * TABLE_WIDTH
    entries = np.repeat(row_starts, np.diff(offsets))
    entries += matrix.indices[offsets[0] : offsets[-1]] & (TABLE_WIDTH - 1)
    marked = np.zeros(len(columns) * TABLE_WIDTH, np.bool_)
    marked[entries] = True
    return np.flatnonzero(marked[row_starts[:, None] + (columns & (TABLE_WIDTH - 1))])


def recall(ranked: RankedLists) -> Float64:
    """Return Σⱼ hⱼ / min(|R|, k), of which the maximum is 1 for every user.

    The library implicit calls this variant precision.
    """
    found: Float64 = ranked.hits.sum(axis=1) / ranked.reachable
    return found


def ndcg(ranked: RankedLists) -> Float64:
    """Return DCG / ideal DCG with binary gains: Σⱼ hⱼ/log₂(j+1) over Σⱼ₌₁..min(|R|,k) 1/log₂(j+1).

    Reference: K. Järvelin and J. Kekäläinen, ACM TOIS 20(4), 2002, with gains 0 and 1.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> rewards = csr_array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    >>> lists = np.array([[1, 0], [0, 1]], np.int32)  # the relevant item 1 comes first, then second
    >>> ndcg(RankedLists(lists, rewards, catalogue=None)).round(4).tolist()
    [1.0, 0.6309]
    """
    discounts = 1 / np.log2(np.arange(2, ranked.k + 2))
    gain: Float64 = ranked.hits @ discounts / np.cumsum(discounts)[ranked.reachable - 1]
    return gain


def average_precision(ranked: RankedLists) -> Float64:
    """Return Σⱼ hⱼ · (h₁ + ... + hⱼ)/j / min(|R|, k); its mean over users is MAP."""
    precision = np.cumsum(ranked.hits, axis=1) / np.arange(1, ranked.k + 1)
    mean: Float64 = (precision * ranked.hits).sum(axis=1) / ranked.reachable
    return mean


def reciprocal_rank(ranked: RankedLists) -> Float64:
    """Return maxⱼ hⱼ/j: 1/j for the first hit, 0 without one; its mean over users is MRR."""
    best: Float64 = (ranked.hits / np.arange(1, ranked.k + 1)).max(axis=1)
    return best


def hit_rate(ranked: RankedLists) -> Float64:
    """Return 1 if any item of the list is relevant, else 0."""
    return np.asarray(ranked.hits.any(axis=1), np.float64)


def reward(ranked: RankedLists) -> Float64:
    """Return Σⱼ r(u, iⱼ), the reward of the items shown, in the problem's unit, undiscounted by position.

    An item with a negative reward (a return) reduces the sum.
    """
    return np.asarray(ranked.rewards.sum(axis=1))


def novelty(ranked: RankedLists) -> Float64:
    """Return the mean self-information in bits, (1/k) Σⱼ -log₂ p(iⱼ), p(i) being the share of users with i.

    Reference: T. Zhou et al., PNAS 107(10), 2010.
    """
    return ranked.mean_shown(ranked.catalogue.self_information)


def diversity(ranked: RankedLists) -> Float64:
    """Return 1 - the mean, over the list's pairs of items, of the cosine of their users in training.

    The cosines are those of the co-occurrence matrix's rank-64 approximation.
    Reference: C.-N. Ziegler et al., WWW 2005 (intra-list similarity). A list of one item has no pair: 0.
    """
    lengths = ranked.shown.sum(axis=1)
    embeddings = ranked.catalogue.embeddings
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    members = csr_array(
        (np.ones(offsets[-1]), ranked.items[ranked.shown], offsets), shape=(len(lengths), len(embeddings))
    )
    squares = (embeddings**2).sum(axis=1)
    pairs = ((members @ embeddings) ** 2).sum(axis=1) - members @ squares
    return np.where(lengths > 1, 1 - pairs / np.maximum(lengths * (lengths - 1), 1), 0.0)


def popularity_bias(ranked: RankedLists) -> Float64:
    """Return the mean popularity percentile: 0.5 if drawn evenly from all items, near 1 for best sellers."""
    return ranked.mean_shown(ranked.catalogue.popularity)


def coverage(
    exposures: NDArray[np.int64], shown_to: NDArray[np.integer], n: int, catalogue_size: int
) -> Float64:
    """Return the share of the recommendable catalogue that is in at least one list, as pseudo-values.

    The share C belongs to all users together. With s_u the share of the catalogue that only user u was
    shown, C without u is C - s_u; the jackknife pseudo-values C + (n-1)(s_u - s̄) have mean C and variance n
    times the jackknife's (B. Efron and C. Stein, Annals of Statistics 9(3), 1981: its bias is towards wide
    intervals). So intervals and paired differences come from the same bootstrap over users as those of every
    other metric. The lists themselves can't be resampled: a resample holds only 63 % of the users, so it
    shows too few items.

    Args:
        exposures: int64[n_items], how many lists hold the item.
        shown_to: int[n_items], the row of one such list.
        n: The number of users.
        catalogue_size: The number of items that may be recommended.

    Returns:
        float64[n], whose mean is C.
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
"""Metrics that compare a list with R, and so have a value for a part of R."""


class Metric(NamedTuple):
    """Metric as shown to users: title, unit and direction."""

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
