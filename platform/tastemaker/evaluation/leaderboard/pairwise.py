"""Pairwise comparison of all models on the same users: significant differences, and the ranks they allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.evaluation.metrics import METRICS
from tastemaker.stats.bootstrap import Difference, Interval, difference_of, resampled_means
from tastemaker.stats.significance import ALPHA, bootstrap_p, enough, flipped_means, holm, permutation_p

Float64 = NDArray[np.float64]


class Ranks(NamedTuple):
    """Range of ranks that a model can have, given the significant differences.

    All ranges hold at once with 95 % confidence. Two models that do not differ share ranks. Reference:
    D. Al Mohamad, J. Goeman and E. van Zwet, Statistics in Medicine 41(16), 2022.
    """

    first: int
    """One more than the number of models that are better."""
    last: int
    """The number of models, less those that are worse."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Comparison of every model with every other, all on the same resamples of the users.

    Two models differ significantly if they have an interval and both tests say so after Holm's correction, or
    if a third model lies between them: better than one, and worse than the other.

    Holm's family holds the comparisons that a promotion can rest on: each candidate with the baseline, and
    the candidates with each other. Other comparisons, such as random lists with the baseline, are a family
    of their own, so that they do not reduce the power of the tests between candidates.
    """

    value: Float64
    """float64[m, m]: the mean of row model - column model."""
    low: Float64
    """float64[m, m]: the 95 % interval of this pair alone, not corrected; NaN where there is none."""
    high: Float64
    p_permutation: Float64
    """float64[m, m]: p of the sign-flip test, not corrected; 1 on the diagonal."""
    p_bootstrap: Float64
    p: Float64
    """float64[m, m]: the larger of both tests' p, corrected within the pair's family."""
    better: NDArray[np.bool_]
    """bool[m, m]: the row model is significantly better than the column model."""
    n: int
    """Number of users."""

    @classmethod
    def of(
        cls,
        columns: Float64,
        metric: str,
        *,
        others: NDArray[np.bool_] | None = None,
        seed: int = 0,
        resamples: int | None = None,
    ) -> Pairs:
        """Compare m models on n users.

        Args:
            columns: float64[n, m], each user's metric with each model.
            metric: The name of the metric, which says whether more is better.
            others: bool[m], the models that are neither candidates nor the baseline; None for no model.
            seed: Seed of the resamples.
            resamples: Number of resamples; None for `significance.enough`.

        Returns:
            The comparison, whose rows and columns are the models in the order of `columns`.
        """
        n, m = columns.shape
        above, below = np.triu_indices(m, 1)
        count = enough(len(above)) if resamples is None else resamples
        centred = columns - columns.mean(axis=1, keepdims=True)  # differences stay, rounding errors shrink
        boots = resampled_means(centred, seed=seed, resamples=count)
        flips = flipped_means(centred, seed=seed, resamples=count)
        value, low, high = (np.zeros((m, m)) for _ in range(3))
        raw = np.ones((2, m, m))
        for i, j in zip(above, below, strict=True):
            difference = centred[:, i] - centred[:, j]
            observed, scale = difference.mean(keepdims=True), np.sqrt((difference**2).mean(keepdims=True))
            drawn = boots[:, [i]] - boots[:, [j]]
            interval = Interval.of(observed[0], drawn[:, 0], difference)
            found = difference_of(interval, columns[:, i], columns[:, j])
            value[i, j], low[i, j], high[i, j] = found[:3]
            value[j, i], low[j, i], high[j, i] = 0.0 - found.difference, 0.0 - found.high, 0.0 - found.low
            swapped = flips._replace(means=flips.means[:, [i]] - flips.means[:, [j]])
            raw[:, i, j] = raw[:, j, i] = (
                permutation_p(observed, swapped, scale)[0],
                bootstrap_p(drawn, scale)[0],
            )
        p = np.ones((m, m))
        apart = np.zeros(len(above), np.bool_) if others is None else others[above] | others[below]
        for family in (~apart, apart):
            pair, mirrored = (above[family], below[family]), (below[family], above[family])
            p[pair] = p[mirrored] = np.maximum(*(holm(one[pair]) for one in raw))
        ahead = value > 0 if METRICS[metric].larger_is_better else value < 0
        return cls(value, low, high, raw[0], raw[1], p, _closed(ahead & (p <= ALPHA) & np.isfinite(low)), n)

    def difference(self, one: int, other: int) -> Difference:
        """Return the paired difference of two models, `one` - `other`, in the unit of the metric.

        Args:
            one: Place of the first model among the columns that were compared, from 0.
            other: Place of the model that is subtracted.
        """
        at = one, other
        return Difference(float(self.value[at]), float(self.low[at]), float(self.high[at]), self.n)

    def ranks(self, one: int) -> Ranks:
        """Return the ranks that the model at the place `one` can have."""
        return Ranks(1 + int(self.better[:, one].sum()), len(self.better) - int(self.better[one].sum()))


def _closed(better: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the transitive closure: a is better than c if a > b and b > c. It adds no error of its own."""
    closed = better.copy()
    for between in range(len(closed)):
        closed |= closed[:, [between]] & closed[[between]]
    return closed
