"""Snapshots: what they hold, when they are recomputed, and that none is ever half-written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.feature_lakes import DAY, END, FIRST, fill, filled, user_id
from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.tables import EVENTS
from tastemaker.features import USER_FEATURES, snapshots, user_features
from tastemaker.features.snapshots import SnapshotFeatures, weekly_cuts, write_snapshots
from tastemaker.snapshot.ids import IdIndex

# Ibis 12 still calls what DuckDB 2 has renamed.
pytestmark = pytest.mark.filterwarnings(r"ignore:fetch_\w+\(\) is deprecated:DeprecationWarning")

CUT = FIRST + 30 * DAY
NAN = float("nan")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return filled(tmp_path_factory.mktemp("lake"))


def test_a_snapshot_has_the_values_of_the_expression_and_its_cutoff(lake: Lake, tmp_path: Path) -> None:
    rows = write_snapshots(lake, tmp_path, [CUT])
    table = pq.ParquetFile(tmp_path / "users" / f"before={CUT}" / "part.parquet").read()
    with lake.connect() as connection:
        backend = ibis.duckdb.from_connection(connection)
        events, users, items = (backend.table(name) for name in ("events", "users", "items"))
        expected = backend.to_pyarrow(user_features(events, users, items, CUT).order_by("user_id"))
    assert (
        table.drop_columns("event_timestamp").to_pylist()
        == expected.select(table.column_names[:-1]).to_pylist()
    )
    assert set(table["event_timestamp"].to_pylist()) == {datetime.fromtimestamp(CUT, tz=UTC)}
    assert table.schema.field("event_timestamp").type == pa.timestamp("us", tz="UTC")
    assert rows["users"] == len(table)


@pytest.mark.slow
def test_rows_of_tables_are_in_the_order_of_numbers(lake: Lake, tmp_path: Path) -> None:
    """Row n is user n: all missing if the lake does not know them. Users without a number are left out."""
    user_ids = IdIndex.build(["unknown", user_id(7), user_id(11)])
    features = SnapshotFeatures(lake, tmp_path, user_ids, IdIndex.build(["item 1"]))
    table = features.users(CUT)
    assert table.names == USER_FEATURES
    assert table.values.dtype == np.float32
    assert table.values.shape == (3, len(USER_FEATURES))
    with lake.connect() as connection:
        counted = connection.execute(
            "SELECT user_id, count(*) FROM events WHERE occurred_at < to_timestamp(?) GROUP BY user_id", [CUT]
        ).fetchall()
    counts = dict(counted)
    wanted = [counts.get(user, NAN) for user in user_ids.decode(range(3))]
    np.testing.assert_array_equal(table.select(["user_events_count"]).values[:, 0], wanted)
    assert features.items(CUT).values.shape[0] == 1


@pytest.mark.slow
def test_a_snapshot_is_computed_once(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_snapshots(lake, tmp_path, [CUT])
    monkeypatch.setattr(snapshots, "_write", lambda *_: pytest.fail("made again"))
    write_snapshots(lake, tmp_path, [CUT])


@pytest.mark.slow
def test_only_a_change_before_the_cutoff_recomputes_a_snapshot(tmp_path: Path) -> None:
    lake, root = filled(tmp_path / "lake"), tmp_path / "features"
    features = SnapshotFeatures(lake, root, IdIndex.build(["late"]), IdIndex.build([]))

    def add(day: int) -> None:
        event = ("new", "late", "item 1", "view", 1.0, day * DAY * 1_000_000, None, None)
        rows = pa.Table.from_pylist([dict(zip(EVENTS.names, event, strict=True))], EVENTS)
        lake.write_day("events", datetime.fromtimestamp(day * DAY, tz=UTC).date(), rows, part="late")

    written = write_snapshots(lake, root, [CUT])
    path = root / "users" / f"before={CUT}" / "part.parquet"
    made = path.stat().st_mtime_ns
    add(CUT // DAY + 2)
    assert np.isnan(features.users(CUT).values).all()
    assert path.stat().st_mtime_ns == made
    add(CUT // DAY - 2)
    assert features.users(CUT).select(["user_events_count"]).values == [[1]]
    assert write_snapshots(lake, root, [CUT])["users"] == written["users"] + 1


@pytest.mark.slow
def test_only_snapshots_that_disagree_with_the_lake_are_removed(tmp_path: Path) -> None:
    lake, root = filled(tmp_path / "lake"), tmp_path / "features"
    write_snapshots(lake, root, [CUT, END])
    write_snapshots(lake, root, [END])
    assert [cut for cut, _ in snapshots.snapshots(root, "users")] == [CUT, END]
    fill(lake, seed=1)
    write_snapshots(lake, root, [END])
    assert [cut for cut, _ in snapshots.snapshots(root, "users")] == [END]
    assert [cut for cut, _ in snapshots.snapshots(root, "items")] == [END]


@pytest.mark.slow
def test_a_failure_leaves_the_old_snapshot_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, root = filled(tmp_path / "lake"), tmp_path / "features"
    write_snapshots(lake, root, [CUT])
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    fill(lake, seed=1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_snapshots(lake, root, [CUT])
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_an_empty_lake_has_no_features(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.root.mkdir()
    features = SnapshotFeatures(lake, tmp_path / "features", IdIndex.build(["a"]), IdIndex.build([]))
    assert np.isnan(features.users(CUT).values).all()
    assert features.items(CUT).values.shape[0] == 0


def test_weekly_cuts_end_at_the_end_and_stay_inside_the_data() -> None:
    assert weekly_cuts(0, 15 * DAY) == [DAY, 8 * DAY, 15 * DAY]
    assert weekly_cuts(0, 15 * DAY, most=1) == [15 * DAY]
    assert weekly_cuts(15 * DAY, 15 * DAY) == []


@pytest.mark.slow
def test_duckdb_reads_the_snapshots_as_one_table_beside_a_writer(lake: Lake, tmp_path: Path) -> None:
    """Feast reads the folder: a file that is being written must not be seen."""
    write_snapshots(lake, tmp_path, [CUT, END])
    (tmp_path / "users" / f"before={CUT}" / ".part.parquet.half.tmp").write_bytes(b"PAR1")
    counting = "SELECT count(DISTINCT event_timestamp) FROM read_parquet(?)"
    with open_duckdb() as connection:
        assert connection.execute(counting, [str(tmp_path / "users")]).fetchall() == [(2,)]
