"""Distance between a column's current distribution and its reference, and the distance that is usual.

    numbers   Wasserstein distance / standard deviation of the reference
    labels    Jensen-Shannon distance, to base e
    both      at least the difference of the shares of missing values

These are Evidently's distances, with its limit of 0.1 as the smallest distance that counts. What is usual
is measured on the reference (an A/A test): each window of its days that is as long as the current one is
compared with the days before it, and with those after it. The unit is the day, because rows of one day
depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Direction = Literal["higher", "lower", "spread", "shares", "missing"]
SMALLEST = 0.1
"""No smaller distance is an alarm, however usual 0 is: it would not matter."""
FALSE_ALARM_RATE = 0.05
"""The chance that any column of a report raises an alarm although nothing changed."""
MIN_DAYS = 7
"""The fewest days of a reference."""
MIN_COMPARED_DAYS = 3
"""The fewest days with which a window of the reference is compared."""
MAX_VALUES = 201
"""Different numbers that are kept; more are rounded to so many quantiles."""
OUTLIER = 3.5
"""Modified z-score above which a day of the reference is unusual itself."""
USUAL = 0.95
"""Share of the reference's windows whose change of the mean is called usual."""


@dataclass(frozen=True, eq=False)
class ColumnCounts:
    """Number of rows of each value of a column, by day."""

    values: Floats | None
    """float64[p], ascending; None for labels."""
    labels: tuple[str, ...]
    """The labels; empty for numbers."""
    reference: Counts
    """int64[days, p + 1]; the last column counts missing values."""
    current: Counts
    """int64[days, p + 1]"""

    @classmethod
    def of_numbers(
        cls, reference: Floats, reference_days: Counts, current: Floats, current_days: Counts
    ) -> ColumnCounts:
        """Count numbers; NaN and infinity count as missing.

        Args:
            reference: float64[n], the column in the reference.
            reference_days: int64[n], the day of each row as a number that grows with time.
            current: float64[m], the column in the current rows.
            current_days: int64[m], the day of each of them.

        Returns:
            The counts by day, without days that have no row. A number counts at the nearest value that is
            kept.
        """
        found = np.concatenate([reference, current])
        found = found[np.isfinite(found)]
        values = np.unique(found)
        if len(values) > MAX_VALUES:
            values = np.unique(np.quantile(found, np.linspace(0, 1, MAX_VALUES)))
        edges = (values[1:] + values[:-1]) / 2
        codes = [
            np.where(np.isfinite(side), np.searchsorted(edges, side), len(values))
            for side in (reference, current)
        ]
        days = (reference_days, current_days)
        counted = [_by_day(*one, len(values) + 1) for one in zip(codes, days, strict=True)]
        return cls(values, (), *counted)

    @classmethod
    def of_labels(
        cls,
        reference: Sequence[str | None],
        reference_days: Counts,
        current: Sequence[str | None],
        current_days: Counts,
    ) -> ColumnCounts:
        """Count labels; None counts as missing.

        Args:
            reference: The column in the reference, n labels.
            reference_days: int64[n], the day of each row as a number that grows with time.
            current: The column in the current rows, m labels.
            current_days: int64[m], the day of each of them.

        Returns:
            The counts by day, with the labels in alphabetical order. Days without rows are left out.
        """
        labels = tuple(sorted({one for side in (reference, current) for one in side if one is not None}))
        code: dict[str | None, int] = {label: at for at, label in enumerate(labels)} | {None: len(labels)}
        codes = [np.array([code[one] for one in side], np.int64) for side in (reference, current)]
        days = (reference_days, current_days)
        counted = [_by_day(*one, len(labels) + 1) for one in zip(codes, days, strict=True)]
        return cls(None, labels, *counted)

    @cached_property
    def scale(self) -> float:
        """The standard deviation of the reference's numbers."""
        assert self.values is not None
        counts = self.reference.sum(0)[:-1]
        if not counts.sum():
            return 1.0
        mean = float(np.average(self.values, weights=counts))
        deviation = float(np.sqrt(np.average((self.values - mean) ** 2, weights=counts)))
        return max(deviation, 1e-3 * max(abs(mean), 1e-3))

    def distance(self, one: Counts, other: Counts) -> float:
        """Return the distance of two distributions, as the module defines it.

        Args:
            one: int64[p + 1]
            other: int64[p + 1]
        """
        missing = abs(_missing(one) - _missing(other))
        a, b = one[:-1], other[:-1]
        if not a.sum() or not b.sum():
            return missing
        if self.values is None:
            from scipy.spatial.distance import jensenshannon

            return max(missing, float(jensenshannon(a, b)))
        from scipy.stats import wasserstein_distance

        return max(missing, float(wasserstein_distance(self.values, self.values, a, b)) / self.scale)

    def mean(self, counts: Counts) -> float | None:
        """Return the mean of numbers, given their counts; None if all are missing."""
        if self.values is None or not counts[:-1].sum():
            return None
        return float(np.average(self.values, weights=counts[:-1]))

    def quantiles(self, counts: Counts, shares: Sequence[float]) -> list[float] | None:
        """Return quantiles of numbers, given their counts.

        Args:
            counts: int64[p + 1], the number of rows of each value; the last one counts missing values.
            shares: Shares from 0 to 1.

        Returns:
            For each share the smallest value that so large a share of the known values does not exceed; None
            for labels, or if all values are missing.
        """
        if self.values is None or not counts[:-1].sum():
            return None
        below = np.cumsum(counts[:-1]) / counts[:-1].sum()
        return [float(self.values[np.searchsorted(below, share)]) for share in shares]


class ColumnDrift(NamedTuple):
    """Comparison of a column with its reference."""

    distance: float
    threshold: float | None
    """Distance above which it is an alarm; None if the reference is too short to say."""
    direction: Direction
    relative_change: float | None
    """Of the mean, 0.12 for 12 % higher; None for labels, or where a mean is not above 0."""
    usual_change: float | None
    """The relative change of the mean that 95 % of the reference's windows do not exceed."""
    label: str | None
    """The label whose share changed most; None for numbers."""

    @property
    def alarm(self) -> bool:
        """Whether the distance is above the threshold."""
        return self.threshold is not None and self.distance > self.threshold


def compare(counts: ColumnCounts, level: float, *, seed: int = 0) -> ColumnDrift:
    """Compare a column with its reference.

    Args:
        counts: How often each value of the column occurs on each day.
        level: The chance of an alarm although nothing changed: FALSE_ALARM_RATE / number of columns
            (Bonferroni's correction).
        seed: Of the samples of windows with more rows than the current one.

    Returns:
        The distance and whether it is an alarm; there is no threshold, so no alarm, with a short reference.
    """
    current, reference = counts.current.sum(0), counts.reference.sum(0)
    days = max(1, len(counts.current))
    rng = np.random.default_rng(seed)
    pairs = list(_windows(counts.reference, days, int(current.sum()), rng))
    usual = np.array([counts.distance(*pair) for pair in pairs])
    # Windows overlap, so that so many of them are independent.
    independent = len(counts.reference) // days
    threshold = None
    if len(counts.reference) >= MIN_DAYS and len(pairs) and independent >= 2:
        threshold = max(SMALLEST, prediction_bound(usual, independent, level))
    changes = [change for pair in pairs if (change := _relative(counts, *pair)) is not None]
    return ColumnDrift(
        counts.distance(current, reference),
        threshold,
        *_direction(counts, current, reference),
        usual_change=float(np.quantile(np.abs(changes), USUAL)) if changes else None,
        label=_label(counts, current, reference),
    )


def prediction_bound(distances: Floats, n: int, level: float) -> float:
    """Return the distance that one more distance exceeds with the probability `level`.

    The square roots of distances are nearly normal, those of two-sided differences and of sums of squares
    alike, so that this is the upper bound of a normal sample's prediction interval (Hahn and Meeker,
    Statistical Intervals, 1991, section 4.8). An empirical quantile can't be so high: a month has 28 days.
    Outliers are left out (modified z-score above 3.5; Iglewicz and Hoaglin, How to Detect and Handle
    Outliers, 1993): else the first day of a change, once it is in the reference, would hide the second.

    Args:
        distances: float64[m], usual distances, 0 or above.
        n: How many of them are independent, 2 or more.
        level: The probability of a larger distance, above 0 and below 1.
    """
    roots = np.sqrt(distances)
    middle = np.median(roots)
    deviation = np.median(np.abs(roots - middle))
    if deviation > 0:
        roots = roots[0.6745 * (roots - middle) / deviation <= OUTLIER]
    spread = float(roots.std(ddof=1)) if len(roots) > 1 else 0.0
    from scipy.stats import t as student

    bound = float(roots.mean()) + float(student.isf(level, n - 1)) * spread * np.sqrt(1 + 1 / n)
    return float(bound**2)


def _windows(
    days: Counts, length: int, rows: int, rng: np.random.Generator
) -> Iterator[tuple[Counts, Counts]]:
    """Yield each window of `length` days with the days before it, and with those after it.

    A window has at most `rows` rows: of more, a sample without replacement.
    """
    for start in range(len(days) - length + 1):
        window = days[start : start + length].sum(0)
        if window.sum() > rows:
            window = rng.multivariate_hypergeometric(window, rows, method="marginals")
        for rest in (days[:start], days[start + length :]):
            if len(rest) >= MIN_COMPARED_DAYS:
                yield window, rest.sum(0)


def _by_day(codes: NDArray[np.integer], days: Counts, size: int) -> Counts:
    """Return int64[days, size]: how often each code occurs on each day that has rows."""
    found, row = np.unique(days, return_inverse=True)
    counted = np.bincount(row * size + codes, minlength=len(found) * size)
    return counted.reshape(len(found), size).astype(np.int64)


def _missing(counts: Counts) -> float:
    return float(counts[-1] / counts.sum()) if counts.sum() else 1.0


def _relative(counts: ColumnCounts, current: Counts, reference: Counts) -> float | None:
    now, before = counts.mean(current), counts.mean(reference)
    return now / before - 1 if now is not None and before is not None and min(now, before) > 0 else None


def _direction(counts: ColumnCounts, current: Counts, reference: Counts) -> tuple[Direction, float | None]:
    """Return where a column went, and the relative change of its mean."""
    relative = _relative(counts, current, reference)
    gone = abs(_missing(current) - _missing(reference))
    if gone and gone >= counts.distance(current, reference):
        return "missing", relative
    now, before = counts.mean(current), counts.mean(reference)
    if now is None or before is None:
        return "shares", relative
    # The mean explains the distance, or the values only spread: |Δ mean| ≤ Wasserstein distance.
    moved = (now - before) / counts.scale
    if abs(moved) < counts.distance(current, reference) / 2:
        return "spread", relative
    return ("higher" if moved > 0 else "lower"), relative


def _label(counts: ColumnCounts, current: Counts, reference: Counts) -> str | None:
    if not counts.labels or not current[:-1].sum() or not reference[:-1].sum():
        return None
    change = current[:-1] / current[:-1].sum() - reference[:-1] / reference[:-1].sum()
    return counts.labels[int(np.argmax(np.abs(change)))]
