"""A merge makes few files of many, and changes nothing else."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.request_logs import NOON, click, exposure, fill, request, settings_of, shadow
from tastemaker.data.lake import LOG_SCHEMAS, Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log import lookup
from tastemaker.event_log import merge as merges
from tastemaker.event_log.drain import drain, put_rows, read_feedback, read_log
from tastemaker.event_log.merge import LOG_TABLES, Merged, merge, origins
from tastemaker.event_log.records import Entry, ItemRecord, UserRecord
from tastemaker.event_log.spool_file import Pending
from tastemaker.util.atomic_files import atomic_write

DAY, TODAY = date(2026, 3, 1), date(2026, 3, 2)
SPOOL = "0123456789abcdef"
AT_ONCE = -1.0
"""Seconds for which replaced files are kept: none."""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake(tmp_path / "lake")


def put(lake: Lake, first: int, *records: Entry, spool: str = SPOOL) -> None:
    """Write records as a drain that reads them with numbers from `first` on."""
    put_rows(lake, Pending(spool, first, first + len(records) - 1, list(records)))


def of_each_kind(number: int) -> list[Entry]:
    """A record for each table of the log."""
    at = NOON + number
    return [
        request(number),
        click(number, received_at=at),
        exposure(number, received_at=at),
        shadow(100 + number, shadow_of=number, occurred_at=at),
        ItemRecord(f"item-{number}", at, title="Tea"),
        UserRecord(f"user-{number}", at, country="FR"),
    ]


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    """The rows of a table as a reader of all its files gets them."""
    with lake.connect() as connection:
        found: list[dict[str, Any]] = connection.table(table).to_arrow_table().to_pylist()
    return found


def names(lake: Lake, table: str = "requests") -> list[str]:
    """Every file of the day on disk, replaced ones too, without the spool."""
    return sorted(
        path.stem.removeprefix(f"served-{SPOOL}-") for path in lake.path(table, DAY).parent.glob("*.parquet")
    )


def test_every_table_has_one_file_more_and_the_same_rows(lake: Lake) -> None:
    for number in range(1, 41, 10):
        put(lake, number, *of_each_kind(number))
    before = {table: rows(lake, table) for table in LOG_TABLES}
    assert all(len(found) == 4 for found in before.values())
    # The newest part is not merged: a drain that was killed writes it again.
    assert merge(lake, today=TODAY) == Merged(written=6, replaced=18, deleted=0)
    assert {table: rows(lake, table) for table in LOG_TABLES} == before
    assert {table: len(lake.files(table)) for table in LOG_TABLES} == dict.fromkeys(LOG_TABLES, 2)
    assert names(lake) == [
        *("000000000001", "000000000001-000000000021", "000000000011"),
        *("000000000021", "000000000031"),
    ]
    assert merge(lake, today=TODAY) == Merged(), "replaced files are kept for readers that listed them"
    assert merge(lake, today=TODAY, kept_seconds=AT_ONCE) == Merged(deleted=18)
    assert names(lake) == ["000000000001-000000000021", "000000000031"]
    assert {table: rows(lake, table) for table in LOG_TABLES} == before


def test_only_finished_days_are_merged(lake: Lake) -> None:
    for number in (1, 2, 3):
        put(lake, number, request(number))
    assert merge(lake, today=DAY) == Merged()
    assert merge(lake, today=TODAY) == Merged(written=1, replaced=2)


def test_the_newest_part_is_left_though_it_is_of_another_table_or_day(lake: Lake) -> None:
    put(lake, 1, request(1))
    put(lake, 2, request(2))
    assert merge(lake, today=TODAY) == Merged(), "two parts, of which one may be written again"
    put(lake, 3, click(3, received_at=datetime(2026, 3, 2, tzinfo=UTC).timestamp()))
    assert merge(lake, today=TODAY) == Merged(written=1, replaced=2)


def test_a_part_that_a_killed_drain_writes_again_with_more_records_is_read(lake: Lake) -> None:
    for number in (1, 2, 3):
        put(lake, number, request(number))
    merge(lake, today=TODAY)
    put(lake, 3, request(3), request(4))
    merge(lake, today=TODAY)
    assert [row["user_id"] for row in rows(lake, "requests")] == ["user-1", "user-2", "user-3", "user-4"]


def test_a_part_that_comes_late_is_read_and_merged_by_the_next(lake: Lake) -> None:
    for number in (1, 2, 3):
        put(lake, number, request(number))
    merge(lake, today=TODAY)
    put(lake, 4, request(4))
    assert len(rows(lake, "requests")) == 4
    assert merge(lake, today=TODAY) == Merged(written=1, replaced=2)
    assert merge(lake, today=TODAY, kept_seconds=AT_ONCE).deleted == 4, "also what the first merge replaced"
    assert names(lake) == ["000000000001-000000000003", "000000000004"]
    assert len(rows(lake, "requests")) == 4


def test_spools_are_merged_apart(lake: Lake) -> None:
    for number in (1, 2, 3):
        put(lake, number, request(number))
        put(lake, number, request(10 + number), spool="f" * 16)
    assert merge(lake, today=TODAY) == Merged(written=2, replaced=4)
    assert len(rows(lake, "requests")) == 6


def test_a_merged_file_is_bounded(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merges, "MOST_ROWS", 3)
    for number in range(1, 9):
        put(lake, number, *(request(10 * number + one) for one in range(1 + number % 2)))
    merge(lake, today=TODAY)
    assert [path.stem[24:] for path in lake.files("requests")] == [
        *("000000000001-000000000002", "000000000003-000000000004", "000000000005-000000000006"),
        *("000000000007", "000000000008"),
    ]
    assert len(rows(lake, "requests")) == 12
    assert merge(lake, today=TODAY) == Merged(), "the next one finds the same groups"


def test_a_column_that_only_some_files_have_is_kept(lake: Lake) -> None:
    """As files of an earlier release, which lack columns, and of a later one, which has more."""
    for number in (1, 2, 3, 4):
        put(lake, number, request(number, kind="session"))
    first, second = lake.files("requests")[:2]
    older = pq.read_table(first, partitioning=None).drop_columns(["teams", "unit", "kind"])
    pq.write_table(older, first)
    later = pq.read_table(second, partitioning=None).append_column("mood", pa.array(["calm"]))
    pq.write_table(later, second)
    before = rows(lake, "requests")
    merge(lake, today=TODAY)
    assert len(lake.files("requests")) == 2
    assert rows(lake, "requests") == before
    assert [row["mood"] for row in before] == [None, "calm", None, None]
    assert [row["kind"] for row in before] == [None, *["session"] * 3]
    assert read_log(lake).schema == LOG_SCHEMAS["requests"]


def test_the_origins_of_a_merged_file_are_the_parts_as_they_were(lake: Lake) -> None:
    for number in (1, 2, 3):
        put(lake, number, request(number))
    parts = [origins(path) for path in lake.files("requests")]
    assert [len(states) for states in parts] == [1, 1, 1]
    merge(lake, today=TODAY)
    merged, _ = lake.files("requests")
    assert origins(merged) == parts[0] + parts[1]
    put(lake, 4, request(4))
    merge(lake, today=TODAY, kept_seconds=AT_ONCE)
    merged, _ = lake.files("requests")
    assert origins(merged) == parts[0] + parts[1] + parts[2], "those of a file that was merged twice, too"


def test_a_merged_file_that_was_written_again_is_its_own_origin(lake: Lake) -> None:
    for number in (1, 2, 3):
        put(lake, number, request(number))
    merge(lake, today=TODAY)
    merged, _ = lake.files("requests")
    os.utime(merged)
    assert [state.name for state in origins(merged)] == [merged.name]


def test_a_damaged_file_is_named_and_nothing_of_its_day_is_replaced(lake: Lake) -> None:
    for number in (1, 2, 3):
        put(lake, number, request(number))
    damaged = lake.files("requests")[1]
    damaged.write_bytes(b"no Parquet")
    with pytest.raises(TastemakerError, match=f"{damaged} is damaged"):
        merge(lake, today=TODAY)
    assert len(lake.files("requests")) == 3


def test_what_a_killed_merge_left_is_deleted_and_what_a_drain_writes_is_not(lake: Lake) -> None:
    put(lake, 1, request(1))
    folder = lake.path("requests", DAY).parent
    left = folder / f".served-{SPOOL}-000000000001-000000000009.parquet.x_1abcde.tmp"
    left.write_bytes(b"")
    with atomic_write(folder / f"served-{SPOOL}-000000000002.parquet") as drains:
        merge(lake, today=TODAY)
        assert not left.exists()
        assert drains.exists()


def test_what_was_drained_from_a_real_spool_is_found_by_its_id(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    lake = Lake(settings.lake)
    for number in range(5):
        fill(settings.spool, [request(number), click(number)])
        drain(settings.spool, lake)
    log, feedback = read_log(lake), read_feedback(lake)
    assert merge(lake, kept_seconds=AT_ONCE) == Merged(written=2, replaced=8)
    merge(lake, kept_seconds=AT_ONCE)
    assert read_log(lake) == log
    assert read_feedback(lake) == feedback
    for number in range(5):
        found = lookup.find(f"{number:032x}", settings)
        assert found is not None
        assert found.user_id == f"user-{number}"


def test_an_empty_lake_has_nothing_to_merge(lake: Lake) -> None:
    assert merge(lake) == Merged()
