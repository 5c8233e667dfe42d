"""Comparison of models within slices of the users and items.

A slice of the users is some rows of the users' metrics. A slice of the items uses the same lists and counts
only the items of the slice as relevant, over the users with a relevant item in it. In each slice every model
is compared with the baseline by the permutation test of `stats.significance`, with Holm's correction over
all slices and candidates; models that are not candidates are a family of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.dataset.slices import MANY
from tastemaker.evaluation.metrics import HITS, METRICS
from tastemaker.evaluation.promotion_candidates import are_others
from tastemaker.evaluation.results import UserResults
from tastemaker.evaluation.verdicts import Verdict
from tastemaker.stats.bootstrap import Difference, Interval, difference_of, resampled_means
from tastemaker.stats.significance import ALPHA, enough, flipped_means, holm, permutation_p
from tastemaker.util.ranges import in_order

Float64 = NDArray[np.float64]

LARGEST = MANY
"""Number of a dimension's values, those with the most users, that are slices of their own."""
OTHER = "other"
"""Name of the slice of all other values, including users whose value is this word."""


class SliceRow(NamedTuple):
    """Figure of one model in one slice."""

    model: str
    figure: Interval
    difference: Difference | None
    """Paired difference from the baseline on the slice's users."""
    p: float | None
    """p-value of that difference, corrected for all slices and candidates."""
    verdict: Verdict


@dataclass(frozen=True)
class Slice:
    """Figures of all models in one slice."""

    dimension: str
    """users, items, or a column of the table users."""
    value: str
    users: int
    """Number of users evaluated in the slice."""
    rows: tuple[SliceRow, ...]
    """In the order in which the models were given."""

    @property
    def name(self) -> str:
        """Name of the slice, such as users=new."""
        return f"{self.dimension}={self.value}"


class _Part(NamedTuple):
    dimension: str
    value: str
    columns: Float64
    """float64[users in the slice, models]."""


def compare_slices(
    users: Sequence[UserResults],
    models: Sequence[str],
    baseline: str,
    metric: str,
    named: Mapping[str, float] | None = None,
) -> tuple[Slice, ...]:
    """Compare models in every slice that holds some, but not all, of the users.

    Coverage belongs to all users together, so it has no slices.

    Args:
        users: The users' metrics, one entry per model, all with the same users.
        models: The models' names, in the same order.
        baseline: The name of the baseline, with which all are compared; it may be missing.
        metric: The name of the metric.
        named: Slices that are never merged into OTHER, as keys such as `users=new`.

    Returns:
        Slices of the users, then of the items; empty for a metric that has no values per user.
    """
    if METRICS[metric].per_user is None:
        return ()
    parts = [*_of_users(users, metric, named or {}), *_of_items(users, metric)]
    reference = models.index(baseline) if baseline in models else None
    p = _corrected(parts, reference, are_others(models, baseline))
    return tuple(_slice(part, models, reference, some, metric) for part, some in zip(parts, p, strict=True))


def _of_users(users: Sequence[UserResults], metric: str, named: Mapping[str, float]) -> Iterator[_Part]:
    columns = np.column_stack([one.values[metric] for one in users])
    for dimension, labels in users[0].user_slices.items():
        values, codes = _merged(dimension, labels, named)
        if len(values) > 1:
            for code, value in enumerate(values):
                yield _Part(dimension, value, columns[codes == code])


def _merged(
    dimension: str, labels: NDArray[np.str_], named: Mapping[str, float]
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the slices' values and each user's place among them; small slices are merged, as the last.

    Numbers, dates and ranges of them are in their own order, other values by their number of users.
    """
    found, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable").tolist()
    kept = [at for place, at in enumerate(order) if place < LARGEST or f"{dimension}={found[at]}" in named]
    if len(kept) < len(found):
        kept = [at for at in kept if found[at] != OTHER]
    sequence = in_order([str(found[at]) for at in kept])
    kept = kept if sequence is None else [kept[at] for at in sequence]
    values = [str(found[at]) for at in kept]
    places = np.full(len(found), len(kept))
    places[kept] = np.arange(len(kept))
    return values if len(kept) == len(found) else [*values, OTHER], places[codes]


def _of_items(users: Sequence[UserResults], metric: str) -> Iterator[_Part]:
    if len({one.slices_digest for one in users}) > 1:
        return  # a run was stopped before all models were sliced again: their heads are of different items
    for name in users[0].by_items:
        if all(metric in one.by_items.get(name, ()) for one in users):
            columns = np.column_stack([one.by_items[name][metric] for one in users])
            valid = ~np.isnan(columns).any(axis=1)
            if valid.any():
                yield _Part("items", name, columns[valid])


def _corrected(parts: Sequence[_Part], reference: int | None, others: NDArray[np.bool_]) -> list[Float64]:
    """Return float64[models] per slice: the corrected p of the difference from the baseline, 1 for itself."""
    if reference is None or not parts:
        return [np.ones(part.columns.shape[1]) for part in parts]
    m = parts[0].columns.shape[1]
    rivals = np.delete(np.arange(m), reference)
    raw = np.array([_p(part.columns[:, rivals] - part.columns[:, [reference]], len(parts)) for part in parts])
    p = np.ones((len(parts), m))
    for family in (~others[rivals], others[rivals]):
        p[:, rivals[family]] = holm(raw[:, family].ravel()).reshape(len(parts), -1)
    return list(p)


def _p(differences: Float64, slices: int) -> Float64:
    flips = flipped_means(differences, resamples=enough(slices * differences.shape[1]))
    return permutation_p(differences.mean(axis=0), flips, np.sqrt((differences**2).mean(axis=0)))


def _slice(part: _Part, models: Sequence[str], reference: int | None, p: Float64, metric: str) -> Slice:
    columns, n = part.columns, len(part.columns)
    means = resampled_means(columns)
    rows = []
    for at, model in enumerate(models):
        figure = Interval.of(columns[:, at].mean(), means[:, at], columns[:, at], certain=metric not in HITS)
        if reference is None or at == reference:
            verdict: Verdict = "not compared" if reference is None else "baseline"
            rows.append(SliceRow(model, figure, None, None, verdict))
            continue
        apart = columns[:, at] - columns[:, reference]
        interval = Interval.of(apart.mean(), means[:, at] - means[:, reference], apart)
        found = difference_of(interval, columns[:, at], columns[:, reference])
        differs = p[at] <= ALPHA and np.isfinite(found.low)
        ahead = (found.difference > 0) == METRICS[metric].larger_is_better
        verdict = "tied" if not differs else "better" if ahead else "worse"
        rows.append(SliceRow(model, figure, found, float(p[at]), verdict))
    return Slice(part.dimension, part.value, n, tuple(rows))


def limit_of(one: Slice, max_loss: Mapping[str, float]) -> float | None:
    """Return how much a model may be worse in a slice: the slice's own limit, else its dimension's.

    Args:
        one: The slice, which is named by its dimension and value.
        max_loss: The limits by slice or dimension, as in the problem file.
    """
    return max_loss.get(one.name, max_loss.get(one.dimension))


def lost(row: SliceRow, limit: float) -> bool:
    """Return whether a model is worse than the baseline by more than a limit, and significantly so.

    For metrics of which more is better, as any primary metric is. A loss beyond the limit is significant if
    the pair's own 95 % interval lies below 0, or if there is no interval.

    Args:
        row: The model in the slice.
        limit: How much worse it may be, in the metric's unit.
    """
    if row.difference is None:
        return False
    return not row.difference.difference >= -limit and not row.difference.high >= 0
