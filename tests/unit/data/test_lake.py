"""The lake: what is written is what is read, days replace themselves, nothing half-written is ever seen."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from tastemaker.data.lake import SCHEMAS, Lake, file_metadata, parquet_writer
from tastemaker.data.tables import EVENTS, ITEMS, USERS
from tastemaker.errors import SourceError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def events(*ids: str) -> pa.Table:
    row = {"user_id": "ü", "item_id": "i", "event_type": "view", "value": 1.0, "occurred_at": NOON}
    return pa.Table.from_pylist([{"event_id": id_, **row} for id_ in ids], EVENTS)


def test_a_day_is_replaced_not_appended(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_day("events", date(2024, 5, 1), events("a", "b"))
    lake.write_day("events", date(2024, 5, 2), events("c"))
    lake.write_day("events", date(2024, 5, 1), events("d"))
    assert lake.days("events") == [date(2024, 5, 1), date(2024, 5, 2)]
    assert lake.read("events").equals(events("d", "c"))


def test_parts_of_a_day_stand_side_by_side(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_day("events", date(2024, 5, 1), events("a"), part="shop")
    lake.write_day("events", date(2024, 5, 1), events("b"), part="served")
    lake.write_day("events", date(2024, 5, 1), events("c"), part="served")
    assert set(lake.read("events")["event_id"].to_pylist()) == {"a", "c"}
    assert lake.days("events", part="shop") == [date(2024, 5, 1)]


def test_files_since_a_day_are_those_of_it_and_of_later_days(tmp_path: Path) -> None:
    lake, days = Lake(tmp_path), [date.min, date(999, 12, 31), date(2024, 4, 30), date(2024, 5, 1)]
    for day in days:
        lake.write_day("events", day, events("a"), part="shop")
    for number, since in enumerate(days):
        found = lake.files("events", since=since)
        assert found == [lake.path("events", day, part="shop") for day in days[number:]]
    assert lake.files("events", since=date(2024, 5, 2)) == []


def test_impressions_that_an_earlier_release_wrote_are_not_read_as_events(tmp_path: Path) -> None:
    """It named these files by a spool's id, 16 hexadecimal digits, and a record's number, 12 digits."""
    lake, day = Lake(tmp_path), date(2024, 5, 1)
    old = [f"served-{'0123456789abcdef'}-{number:012d}" for number in (1, 10_001)]
    for name in (*old, "served-shop", "part"):
        lake.write_day("events", day, events(name), part=name)
        lake.write_day("feedback", day, events(name), part=name)
    assert lake.read("events")["event_id"].to_pylist() == ["part", "served-shop"]
    assert not any(lake.path("events", day, part=name).exists() for name in old), "deleted"
    assert lake.path("events", day, part="served-shop").exists(), "a source may be called so"
    assert len(lake.files("feedback")) == 4, "the log's own files have such names"


def test_a_lake_that_can_not_be_written_keeps_old_impressions_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, day, old = Lake(tmp_path), date(2024, 5, 1), "served-0123456789abcdef-000000000001"
    lake.write_day("events", day, events("a"), part=old)

    def refused(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "unlink", refused)
    assert lake.days("events") == []
    assert lake.path("events", day, part=old).exists()


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_canonical_tables_exist_before_their_first_row(tmp_path: Path, table: str) -> None:
    assert Lake(tmp_path / "not yet").read(table).equals(SCHEMAS[table].empty_table())


def test_other_tables_are_views_too(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("odd name", pa.table({"n": [1, 2]}))
    with lake.connect() as connection:
        assert connection.sql('SELECT sum(n) FROM "odd name"').fetchall() == [(3,)]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write_day("events", date(2024, 5, 1), events("a"))
    path = lake.path("events", date(2024, 5, 1))
    unsound = events("b").set_column(0, "event_id", pa.array([None], pa.string()))
    with pytest.raises(ValueError, match="null"):
        lake.write_day("events", date(2024, 5, 1), unsound)
    assert lake.read("events").equals(events("a"))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_rows_that_do_not_fit_the_schema_are_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(KeyError):
        lake.write("items", pa.table({"item_id": ["a"]}))
    titled = {name: [None] for name in ITEMS.names} | {"item_id": [None]}
    with pytest.raises(ValueError, match="null"):
        lake.write("items", pa.table(titled))
    assert lake.files("items") == []


def test_files_of_an_earlier_version_lack_columns_that_came_since(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    before = pa.schema([field for field in USERS if field.name != "own"])
    row = {"user_id": "ü", "country": "FR", "first_seen_at": NOON}
    with parquet_writer(lake.path("users"), before) as writer:
        writer.write_table(pa.Table.from_pylist([row], before))
    assert lake.read("users").to_pylist() == [row | {"own": None}]
    with lake.connect() as connection:
        assert connection.sql("SELECT own['segment'] FROM users").fetchall() == [(None,)]
    changed = lake.read("users").set_column(
        3, USERS.field("own"), pa.array([[("a b", "ß")]], USERS.field("own").type)
    )
    lake.write("users", changed)
    written = lake.path("users").stat().st_mtime_ns
    assert lake.read("users").equals(changed)
    lake.write("users", changed)
    assert lake.path("users").stat().st_mtime_ns == written, "the same rows: nothing was written"


def test_metadata_travels_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with parquet_writer(path, EVENTS, {"digest": "é"}) as writer:
        writer.write_table(events("a"))
    assert file_metadata(path) == {"digest": "é"}


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(b"PAR1 and no more of it")
    with pytest.raises(SourceError, match=r"part\.parquet is damaged: .*") as caught:
        file_metadata(path)
    assert "remove this file and run again" in str(caught.value.fix)
