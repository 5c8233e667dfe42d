"""The suite of feature snapshots: a computed snapshot is sound, and each kind of fault is found in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.feature_lakes import DAY, END, N_ITEMS, filled
from tastemaker.features.snapshot_path import Kind, snapshot_path
from tastemaker.features.snapshots import FEATURES, KINDS, write_snapshots
from tastemaker_expectations import snapshots as suite
from tastemaker_expectations.snapshots import check_snapshot

pytestmark = pytest.mark.slow
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Snapshots of two cutoffs, of 200 users and 50 items."""
    folder = tmp_path_factory.mktemp("expectations")
    write_snapshots(filled(folder / "lake"), folder / "features", {END - 7 * DAY, END})
    return folder / "features"


def with_values(name: str, values: Callable[[int], Any]) -> Change:
    """Replace a column by values of the row's number."""

    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        column = pa.array([values(row) for row in range(len(table))], field.type)
        return table.set_column(place, field.with_nullable(True), column)

    return change


def of_row(name: str, row: int, value: Any) -> Change:
    """Replace one value."""

    def change(table: pa.Table) -> pa.Table:
        given = table[name].to_pylist()
        return with_values(name, lambda number: value if number == row else given[number])(table)

    return change


def checked(root: Path, tmp_path: Path, kind: Kind, change: Change) -> suite.SnapshotResult:
    path = tmp_path / "part.parquet"
    pq.write_table(change(pq.read_table(snapshot_path(root, kind, END), partitioning=None)), path)
    return check_snapshot(kind, path, END, snapshot_path(root, kind, END - 7 * DAY))


def test_every_feature_has_a_range() -> None:
    for kind in KINDS:
        names = FEATURES[kind]
        assert tuple(suite.RANGES[kind]) == names
        assert {*suite.NEVER_MISSING[kind], *sum(suite.AT_MOST[kind], ())} <= set(names)


@pytest.mark.parametrize("kind", ["users", "items"])
def test_a_computed_snapshot_is_sound(root: Path, tmp_path: Path, kind: Kind) -> None:
    found = checked(root, tmp_path, kind, lambda table: table)
    assert (found.faults, found.warnings) == ({}, ())
    assert found.rows == {"users": 200, "items": N_ITEMS}[kind]


@pytest.mark.parametrize(
    ("kind", "change", "fault", "rows"),
    [
        ("users", of_row("user_tenure_days", 3, -0.5), "user_tenure_days is below 0", 1),
        ("users", of_row("user_country_share", 3, 1.5), "user_country_share is not between 0 and 1", 1),
        ("users", of_row("user_events_count", 3, None), "user_events_count is missing", 1),
        ("users", with_values("user_id", lambda row: f"u{row // 2}"), "user_id is repeated", 200),
        (
            "users",
            of_row("user_events_30d_count", 3, 1e6),
            "user_events_30d_count is above user_events_count",
            1,
        ),
        ("items", of_row("item_age_days", 0, -1.0), "item_age_days is below 0", 1),
        (
            "items",
            of_row("item_trend_7d_log_ratio", 0, float("inf")),
            "item_trend_7d_log_ratio is not between -50 and 50",
            1,
        ),
        (
            "items",
            with_values("event_timestamp", lambda row: datetime.fromtimestamp(END - 7 * DAY, UTC)),
            "the cutoff is not the end of the data, or more than a day before it",
            N_ITEMS,
        ),
        ("items", lambda table: table.slice(0, 0), "the snapshot has no row", 1),
        (
            "items",
            lambda table: table.drop_columns(["item_age_days", "item_price_paid"]),
            "the columns item_age_days, item_price_paid are missing",
            1,
        ),
    ],
)
def test_a_fault_is_found(
    root: Path, tmp_path: Path, kind: Kind, change: Change, fault: str, rows: int
) -> None:
    found = checked(root, tmp_path, kind, change)
    assert found.faults[fault] == rows
    assert len(found.faults) <= 2, found.faults


def test_a_feature_that_is_missing_more_often_than_before_is_a_warning(root: Path, tmp_path: Path) -> None:
    lost = with_values("user_tempo_days", lambda row: 1.0 if row % 2 else None)
    found = checked(root, tmp_path, "users", lost)
    assert found.faults == {}
    [warning] = found.warnings
    assert warning.startswith("user_tempo_days is missing in 50% of the rows, before in")
    path = tmp_path / "part.parquet"
    assert check_snapshot("users", path, END).warnings == (), "there is nothing to compare with"
