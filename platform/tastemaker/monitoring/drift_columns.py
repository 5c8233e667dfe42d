"""Comparison of all columns of a drift report, and what it says in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.monitoring.drift_current import HOUR, WEEK_DAYS
from tastemaker.monitoring.drift_distances import (
    FALSE_ALARM_RATE,
    ColumnCounts,
    ColumnDrift,
    Counts,
    compare,
)
from tastemaker.monitoring.drift_rows import DAY
from tastemaker.monitoring.drift_sides import SIDES, Side

if TYPE_CHECKING:
    from tastemaker.monitoring.drift_current import CurrentTraffic
    from tastemaker.monitoring.drift_reference import DriftReference

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MAX_LABELS = 30
"""Labels of a column that are compared, the most frequent of the reference; the rest are one."""
SCORE = "score"
OTHERS = "all others"
PHRASES: Final[dict[tuple[Side, str], str]] = {
    ("users", "user_recency_days"): "days since the last visit of the users who come",
    ("users", "user_returning"): "users who came in the 28 days before",
    ("users", "user_country"): "countries of the users who come",
    ("users", HOUR): "hour (UTC) of requests",
    ("lists", "item_popularity_percent"): "popularity of the items shown",
    ("lists", "item_price"): "price of the items shown",
    ("lists", "item_category"): "categories of the items shown",
    ("lists", SCORE): "score of the items shown",
    ("choices", "item_price"): "price of the items that users choose",
    ("choices", "item_category"): "categories of the items that users choose",
    ("choices", "category_share_before"): "share of a user's choices of the 28 days before that were in the "
    "same category",
}


class ComparedColumn(NamedTuple):
    """A column of a drift report, compared with its reference."""

    side: Side
    column: str
    drift: ColumnDrift
    counts: ColumnCounts

    @property
    def phrase(self) -> str:
        """What the column describes."""
        default = f"feature {self.column}" if self.side == "features" else f"{self.column} of {self.side}"
        return PHRASES.get((self.side, self.column), default)

    def sentence(self) -> str:
        """Return what changed, in words, without a full stop."""
        drift, now, before = self.drift, *self._totals()
        if drift.direction == "missing":
            shares = [f"{one[-1] / one.sum():.1%}" if one.sum() else "all" for one in (before, now)]
            return f"{self.phrase}: missing values were {shares[0]} and are {shares[1]}"
        if drift.direction == "shares":
            at = self.counts.labels.index(drift.label) if drift.label is not None else 0
            shares = [f"{one[at] / one[:-1].sum():.1%}" if one[:-1].sum() else "no" for one in (before, now)]
            return f"{self.phrase}: the share of {drift.label!r} was {shares[0]} and is {shares[1]}"
        if drift.direction == "spread":
            ranges = [self.counts.quantiles(one, (0.25, 0.75)) or [] for one in (before, now)]
            was, is_now = (" to ".join(f"{value:,.3g}" for value in one) for one in ranges)
            return f"{self.phrase}: the middle half was {was} and is {is_now}"
        if drift.relative_change is None:
            means = [f"{self.counts.mean(one) or 0.0:,.3g}" for one in (before, now)]
            return f"{self.phrase}: the mean was {means[0]} and is {means[1]}"
        said = f"{self.phrase}: {abs(drift.relative_change):.0%} {drift.direction} than in the reference"
        if drift.usual_change is not None:
            said += f" (usual change: up to {drift.usual_change:.0%})"
        return said

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison in types that JSON has."""
        now, before = self._totals()
        return {
            "side": self.side,
            "column": self.column,
            "phrase": self.phrase,
            "distance": self.drift.distance,
            "threshold": self.drift.threshold,
            "alarm": self.drift.alarm,
            "direction": self.drift.direction,
            "relative_change": self.drift.relative_change,
            "usual_change": self.drift.usual_change,
            "sentence": self.sentence(),
            "n": int(now.sum()),
            "n_reference": int(before.sum()),
            "window_days": len(self.counts.current),
            "reference_days": len(self.counts.reference),
            "reference": self._described(before),
            "current": self._described(now),
        }

    def _totals(self) -> tuple[Counts, Counts]:
        return self.counts.current.sum(0), self.counts.reference.sum(0)

    def _described(self, counts: Counts) -> dict[str, Any]:
        missing = float(counts[-1] / counts.sum()) if counts.sum() else 1.0
        if self.counts.values is not None:
            quantiles = self.counts.quantiles(counts, QUANTILES)
            return {"missing": missing, "mean": self.counts.mean(counts), "quantiles": quantiles}
        shares = counts[:-1] / max(counts[:-1].sum(), 1)
        return {"missing": missing, "shares": dict(zip(self.counts.labels, shares.tolist(), strict=True))}


def compare_columns(reference: DriftReference, current: CurrentTraffic) -> list[ComparedColumn]:
    """Compare all columns that both sides have.

    The hour of the day is compared over whole weeks alone: of both sides, or not at all. Scores are compared
    with those of the version's first seven days.

    Args:
        reference: The rows of the version's reference.
        current: The newest traffic of the version; sides with too few rows are absent.

    Returns:
        The comparisons in the order of SIDES and of the reference's columns, then that of scores and that of
        hours. Together they raise an alarm with probability FALSE_ALARM_RATE if nothing changed.
    """
    tables: list[tuple[Side, str, pa.Table, pa.Table]] = []
    for side in SIDES:
        if side not in current.sides or side not in reference.sides:
            continue
        before, now = reference.sides[side], current.sides[side]
        names = [name for name in before.column_names if name in now.column_names and name not in {DAY, HOUR}]
        tables += [(side, name, before, now) for name in names]
    if current.first_lists is not None:
        tables.append(("lists", SCORE, current.first_lists, current.sides["lists"]))
    users = reference.sides["users"]
    if current.week is not None and len(pc.unique(users[DAY])) >= 2 * WEEK_DAYS:
        tables.append(("users", HOUR, users, current.week))
    level = FALSE_ALARM_RATE / max(len(tables), 1)
    compared = []
    for side, name, before, now in tables:
        counts = _counts(name, before, now)
        compared.append(ComparedColumn(side, name, compare(counts, level), counts))
    return compared


def verdict(compared: Sequence[ComparedColumn]) -> str:
    """Return one sentence that answers whether something changed."""
    without = sum(one.drift.threshold is None for one in compared)
    if without == len(compared):
        return (
            "It can't be said yet whether something changed: the reference has too few days to say what is "
            "usual."
        )
    alarms = sorted(
        (one for one in compared if one.drift.alarm),
        key=lambda one: one.drift.distance / (one.drift.threshold or 1.0),
        reverse=True,
    )
    if not alarms:
        return f"Nothing changed more than is usual: {len(compared) - without} columns were compared."
    said = "; ".join(one.sentence() for one in alarms[:3])
    more = f"; and {len(alarms) - 3} more" if alarms[3:] else ""
    return f"{len(alarms)} of {len(compared) - without} columns changed more than is usual: {said}{more}."


def _counts(name: str, reference: pa.Table, current: pa.Table) -> ColumnCounts:
    days = [_numbers(side[DAY].cast(pa.int32())).astype(np.int64) for side in (reference, current)]
    if pa.types.is_floating(reference[name].type):
        numbers = [_numbers(side[name].cast(pa.float64())) for side in (reference, current)]
        return ColumnCounts.of_numbers(numbers[0], days[0], numbers[1], days[1])
    labels = [side[name].to_pylist() for side in (reference, current)]
    if len(set(labels[0]) | set(labels[1])) > MAX_LABELS:
        frequent = {label for label, _ in Counter(labels[0]).most_common(MAX_LABELS)}
        labels = [[_grouped(label, frequent) for label in side] for side in labels]
    return ColumnCounts.of_labels(labels[0], days[0], labels[1], days[1])


def _grouped(label: str | None, frequent: Iterable[str | None]) -> str | None:
    return label if label is None or label in frequent else OTHERS


def _numbers(column: pa.ChunkedArray) -> Any:
    return column.to_numpy()
