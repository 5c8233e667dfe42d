"""What a sound snapshot of features is: its columns, ranges, missing values, uniqueness and freshness.

The ranges follow from the definitions in `tastemaker.features.names`: a value outside of them is a fault of
the code or of a file, not of a user. Missing values are compared with the snapshot before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.parquet as pq

from tastemaker.features.snapshot_path import Kind
from tastemaker.features.snapshots import FEATURES, KEYS, TIMESTAMP
from tastemaker.util.durations import DAY_SECONDS
from tastemaker_expectations.library import load_library, open_batches
from tastemaker_expectations.suite import between, present

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

MORE_MISSING = 0.1
"""How much more often than in the snapshot before a feature may be missing."""
MIN_ROWS = 100
"""With fewer rows the shares of missing values are mostly chance."""
BEHIND = "seconds_behind_data"
"""Column of the time from the snapshot's cutoff to the end of the data."""

RANGES: Mapping[Kind, Mapping[str, tuple[float, float | None]]] = {
    "users": {
        "user_recency_days": (0, None),
        "user_tenure_days": (0, None),
        "user_events_count": (0, None),
        "user_events_30d_count": (0, None),
        "user_active_days_count": (0, None),
        "user_tempo_days": (0, None),
        "user_items_count": (0, None),
        "user_categories_count": (0, None),
        "user_items_per_basket": (1, None),
        "user_repeat_visit_share": (0, 1),
        "user_purchases_count": (0, None),
        "user_spend_total": (0, None),
        "user_spend_per_purchase": (0, None),
        "user_country_share": (0, 1),
    },
    "items": {
        "item_recency_days": (0, None),
        "item_age_days": (0, None),
        "item_events_count": (0, None),
        "item_events_7d_count": (0, None),
        "item_events_30d_count": (0, None),
        "item_events_90d_count": (0, None),
        "item_trend_7d_log_ratio": (-50, 50),
        "item_trend_30d_log_ratio": (-50, 50),
        "item_users_count": (0, None),
        "item_repeat_user_share": (0, 1),
        "item_companions_per_basket": (0, None),
        "item_price_paid": (0, None),
    },
}
"""Feature -> lowest and highest value; None: no limit."""
NEVER_MISSING: Mapping[Kind, tuple[str, ...]] = {
    "users": (
        "user_tenure_days",
        "user_events_count",
        "user_events_30d_count",
        "user_active_days_count",
        "user_items_count",
        "user_categories_count",
        "user_purchases_count",
        "user_spend_total",
    ),
    "items": (
        "item_age_days",
        "item_events_count",
        "item_events_7d_count",
        "item_events_30d_count",
        "item_events_90d_count",
        "item_users_count",
    ),
}
AT_MOST: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "users": (
        ("user_events_30d_count", "user_events_count"),
        ("user_active_days_count", "user_events_count"),
        ("user_items_count", "user_events_count"),
        ("user_purchases_count", "user_events_count"),
    ),
    "items": (
        ("item_events_7d_count", "item_events_30d_count"),
        ("item_events_30d_count", "item_events_90d_count"),
        ("item_events_90d_count", "item_events_count"),
        ("item_users_count", "item_events_count"),
    ),
}
"""Pairs of features of which the first is never above the second."""


class SnapshotResult(NamedTuple):
    """Result of checking a snapshot."""

    rows: int
    faults: dict[str, int]
    """What is wrong, in words -> number of rows, or 1 for what concerns the whole snapshot."""
    warnings: tuple[str, ...]
    """Features that are missing more often than before, in words."""


def check_snapshot(kind: Kind, path: Path, end: int, earlier: Path | None = None) -> SnapshotResult:
    """Check a snapshot against its suite.

    Args:
        kind: `users` or `items`.
        path: The snapshot's file.
        end: The end of the data, seconds since 1970 UTC.
        earlier: The snapshot before, with which missing values are compared; None if there is none.

    Returns:
        The number of rows, the faults and the warnings. A snapshot that lacks columns, or has no row, has
        that fault alone.
    """
    load_library()
    import great_expectations as gx

    table = pq.read_table(path, partitioning=None)
    expected = {KEYS[kind], TIMESTAMP, *FEATURES[kind]}
    if lost := sorted(expected - set(table.column_names)):
        return SnapshotResult(len(table), {f"the columns {', '.join(lost)} are missing": 1}, ())
    if len(table) == 0:
        return SnapshotResult(0, {"the snapshot has no row": 1}, ())
    frame = table.to_pandas()
    frame[BEHIND] = (datetime.fromtimestamp(end, UTC) - frame[TIMESTAMP]).dt.total_seconds()
    found = (
        open_batches()
        .get_batch({"dataframe": frame})
        .validate(
            gx.ExpectationSuite(f"{kind} snapshot", expectations=list(expectations(kind))),
            result_format="SUMMARY",
        )
    )
    faults = {}
    for result in found.results:
        config = result.expectation_config
        if result.success or config is None:
            continue
        count = result.result.get("unexpected_count")
        faults[str((config.meta or {}).get("rule"))] = len(frame) if count is None else int(count)
    return SnapshotResult(len(frame), faults, tuple(_more_missing(kind, frame, earlier)))


def expectations(kind: Kind) -> Iterator[Expectation]:
    """Yield the suite of a snapshot, each expectation with its rule in words."""
    from great_expectations.expectations.core.expect_column_pair_values_a_to_be_greater_than_b import (
        ExpectColumnPairValuesAToBeGreaterThanB,
    )
    from great_expectations.expectations.core.expect_column_values_to_be_unique import (
        ExpectColumnValuesToBeUnique,
    )

    yield _named(present(KEYS[kind]), f"{KEYS[kind]} is missing")
    yield _named(ExpectColumnValuesToBeUnique(column=KEYS[kind]), f"{KEYS[kind]} is repeated")
    yield _named(
        between(BEHIND, 0, DAY_SECONDS), "the cutoff is not the end of the data, or more than a day before it"
    )
    for name in NEVER_MISSING[kind]:
        yield _named(present(name), f"{name} is missing")
    for name, (low, high) in RANGES[kind].items():
        limits = f"below {low:g}" if high is None else f"not between {low:g} and {high:g}"
        yield _named(between(name, low, high), f"{name} is {limits}")
    for less, more in AT_MOST[kind]:
        pair = ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=more, column_B=less, or_equal=True, ignore_row_if="either_value_is_missing"
        )
        yield _named(pair, f"{less} is above {more}")


def _named(expectation: Expectation, rule: str) -> Expectation:
    expectation.meta = {"rule": rule}
    return expectation


def _more_missing(kind: Kind, frame: pd.DataFrame, earlier: Path | None) -> Iterator[str]:
    """Yield the features that are missing more often than in the snapshot before."""
    if earlier is None or not earlier.exists() or len(frame) < MIN_ROWS:
        return
    before = pq.read_table(earlier, partitioning=None)
    if len(before) < MIN_ROWS:
        return
    for name in FEATURES[kind]:
        share = float(frame[name].isna().mean())
        was = before[name].null_count / len(before) if name in before.column_names else 0.0
        if share > was + MORE_MISSING:
            yield f"{name} is missing in {share:.0%} of the rows, before in {was:.0%}"
