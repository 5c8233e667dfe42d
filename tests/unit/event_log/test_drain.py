"""Draining moves each record into the lake once, whatever dies in between and whoever else drains."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tastemaker.data.lake import Lake
from tastemaker.data.tables import ASSIGNMENT, REQUESTS
from tastemaker.event_log import drain as drains
from tastemaker.event_log.drain import Drained, drain, read_feedback, read_log
from tastemaker.event_log.records import Entry, FeedbackRecord, Item, ItemRecord, Record, UserRecord
from tastemaker.event_log.spool import Spool, SpoolError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


def record(number: int, occurred_at: float = NOON) -> Record:
    """A request whose answer has two items."""
    return Record(
        request_id=f"{number:032x}",
        occurred_at=occurred_at,
        user_id=f"user-{number}",
        k=2,
        model="random",
        version="v1",
        items=[Item("tea", 0.5, 0.25), Item("cup", -1.5, 0.125)],
        latency_ms=0.75,
        context={"page": "home"},
        exclude=["pot"],
        features={"recency_days": None, "orders_per_day": 0.5},
        fallback="model_short",
    )


def fill(folder: Path, records: Sequence[Entry]) -> None:
    """Log these, as a serving process that then ends."""
    spool = Spool(folder)
    for one in records:
        spool.offer(one)
    spool.close()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake(tmp_path / "lake")


@pytest.mark.parametrize("name", ["requests.db", "recent.db"])
def test_a_file_that_is_not_a_database_is_named_and_nothing_is_lost(
    tmp_path: Path, lake: Lake, name: str
) -> None:
    fill(tmp_path, [record(1), FeedbackRecord("e", "tea", "click", 1.0, NOON, NOON, "user-1")])
    broken, aside = tmp_path / name, tmp_path / "aside"
    if broken.exists():
        broken.rename(aside)
    broken.write_bytes(b"no database" * 1_000)
    with pytest.raises(SpoolError, match=rf"{name} can't be (opened|written): file is not a database"):
        drain(tmp_path, lake)
    broken.unlink()
    if aside.exists():
        aside.rename(broken)
    assert drain(tmp_path, lake) == Drained(requests=1, impressions=2, feedback=1)
    assert request_ids(lake) == [f"{1:032x}"]


def request_ids(lake: Lake) -> list[str]:
    """Every drained request, sorted."""
    return sorted(read_log(lake)["request_id"].to_pylist())


def test_a_request_becomes_a_row_of_requests_and_no_event(tmp_path: Path, lake: Lake) -> None:
    fill(tmp_path / "spool", [record(1)])
    assert drain(tmp_path / "spool", lake) == Drained(requests=1, impressions=2)
    (row,) = read_log(lake).to_pylist()
    assert row == {
        "request_id": f"{1:032x}",
        "occurred_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "user_id": "user-1",
        "k": 2,
        "context": '{"page":"home"}',
        "exclude": ["pot"],
        "candidates": None,
        "features": '{"recency_days":null,"orders_per_day":0.5}',
        "model": "random",
        "version": "v1",
        "item_ids": ["tea", "cup"],
        "scores": [0.5, -1.5],
        "propensities": [0.25, 0.125],
        "fallback": "model_short",
        "latency_ms": 0.75,
        "stage": "model",
        "kind": "recommend",
        "session": None,
        "diversity": None,
        "experiment": None,
        "epoch": None,
        "variant": None,
        "variant_probability": None,
        "variant_served": None,
        "plan_digest": None,
        "unit": None,
        "teams": None,
    }
    assert not lake.files("events")


def test_records_go_to_the_day_on_which_they_happened_in_utc(tmp_path: Path, lake: Lake) -> None:
    fill(tmp_path, [record(number, NOON + number * DAY / 4) for number in range(8)])
    drain(tmp_path, lake)
    assert lake.days("requests") == [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]
    assert len(request_ids(lake)) == 8


def test_a_second_drain_finds_nothing_and_later_records_are_added(tmp_path: Path, lake: Lake) -> None:
    fill(tmp_path, [record(1), record(2)])
    assert drain(tmp_path, lake).requests == 2
    assert drain(tmp_path, lake) == Drained(0, 0)
    fill(tmp_path, [record(3)])
    assert drain(tmp_path, lake).requests == 1
    assert request_ids(lake) == [f"{number:032x}" for number in (1, 2, 3)]


def test_sql_reads_impressions_as_a_view_of_requests(tmp_path: Path, lake: Lake) -> None:
    with lake.connect() as connection:
        assert connection.table("impressions").fetchall() == [], "before the first request"
    fill(tmp_path / "one", [record(1), record(2, NOON + DAY)])
    fill(tmp_path / "two", [record(1)])
    drain(tmp_path / "one", lake)
    drain(tmp_path / "two", lake)
    (first, *_) = lake.files("requests")
    columns = [field for field in REQUESTS if field.name not in (*ASSIGNMENT.names, "teams")]
    pq.write_table(pq.read_table(first, columns=[field.name for field in columns]), first)
    expected = [
        (row["request_id"], row["occurred_at"], row["user_id"], *shown, row["model"], row["version"])
        for row in read_log(lake).to_pylist()
        for shown in zip(row["item_ids"], range(2), row["scores"], row["propensities"], strict=True)
    ]
    with lake.connect() as connection:
        found = connection.sql("SELECT * FROM impressions ORDER BY request_id, position").fetchall()
    assert [row[:9] for row in found] == expected
    assert len(expected) == 4, "a request that was logged twice counts once"
    assert {row[9:] for row in found} == {("model_short", *[None] * len(ASSIGNMENT.names), None)}


@pytest.mark.parametrize("writes_before_death", [0, 1])
def test_a_drain_that_dies_loses_and_doubles_nothing(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch, writes_before_death: int
) -> None:
    """It dies between writing and deleting, and more is logged before the next one."""
    fill(tmp_path, [record(number, NOON + number * DAY) for number in range(2)])
    write, left = Lake.write_day, writes_before_death

    def dying(self: Lake, table: str, day: date, rows: pa.Table, *, part: str = "part") -> None:
        nonlocal left
        if left == 0:
            raise OSError("no space left on device")
        left -= 1
        write(self, table, day, rows, part=part)

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "write_day", dying)
        with pytest.raises(OSError, match="no space"):
            drain(tmp_path, lake)
    fill(tmp_path, [record(2)])
    assert drain(tmp_path, lake).requests == 3
    assert sorted(lake.read("requests")["request_id"].to_pylist()) == request_ids(lake)
    assert request_ids(lake) == [f"{number:032x}" for number in range(3)]


def test_a_drain_that_dies_before_deleting_doubles_nothing(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, [record(1)])

    def dying(path: Path, last: int) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(drains, "forget", dying)
        with pytest.raises(OSError, match="killed"):
            drain(tmp_path, lake)
    fill(tmp_path, [record(2)])
    drain(tmp_path, lake)
    assert len(lake.read("requests")) == 2
    assert request_ids(lake) == [f"{1:032x}", f"{2:032x}"]


def test_concurrent_drains_and_writers_move_each_record_once(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drains, "BATCH_RECORDS", 40)
    fill(tmp_path, [record(number) for number in range(200)])
    moved: list[int] = []
    threads = [Thread(target=lambda: moved.append(drain(tmp_path, lake).requests)) for _ in range(2)]
    threads.append(Thread(target=lambda: fill(tmp_path, [record(number) for number in range(200, 300)])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moved.append(drain(tmp_path, lake).requests)
    assert sum(moved) == 300
    assert request_ids(lake) == [f"{number:032x}" for number in range(300)]


def test_a_log_without_requests_is_an_empty_table(tmp_path: Path, lake: Lake) -> None:
    assert drain(tmp_path / "spool", lake) == Drained(0, 0)
    assert read_log(lake).schema.equals(REQUESTS)
    assert len(read_log(lake)) == 0


def test_what_came_lately_is_read_without_a_look_into_earlier_days(tmp_path: Path, lake: Lake) -> None:
    """The files of earlier days are damaged: whoever opens one fails."""
    for days_ago in range(3):
        at = NOON - days_ago * DAY
        fill(tmp_path, [record(days_ago, at), click(days_ago, occurred_at=NOON, received_at=at)])
        drain(tmp_path, lake)
    for table, day in product(("requests", "feedback"), (date(2026, 2, 27), date(2026, 2, 28))):
        (path,) = lake.path(table, day).parent.glob("*.parquet")
        path.write_bytes(b"damaged")
    assert read_log(lake, since=int(NOON) - 600)["request_id"].to_pylist() == [f"{0:032x}"]
    assert read_feedback(lake, since=int(NOON) - 600)["event_id"].to_pylist() == ["click-0"]
    with pytest.raises(duckdb.Error):
        read_log(lake, since=int(NOON - DAY))


def click(
    number: int, *, occurred_at: float = NOON, received_at: float = NOON, **other: Any
) -> FeedbackRecord:
    """Feedback."""
    return FeedbackRecord(f"click-{number}", "tea", "click", 1.0, occurred_at, received_at, **other)


def test_feedback_is_kept_unchanged_by_the_day_of_its_arrival(tmp_path: Path, lake: Lake) -> None:
    fill(tmp_path, [click(1, occurred_at=NOON - 9 * DAY, user_id="ann", position=4), record(1)])
    assert drain(tmp_path, lake) == Drained(requests=1, impressions=2, feedback=1)
    assert lake.days("feedback") == [date(2026, 3, 1)]
    assert read_feedback(lake).to_pylist() == [
        {
            "event_id": "click-1",
            "user_id": "ann",
            "item_id": "tea",
            "event_type": "click",
            "value": 1.0,
            "occurred_at": datetime(2026, 3, 1, 12, tzinfo=UTC) - timedelta(days=9),
            "received_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
            "request_id": None,
            "position": 4,
        }
    ]


def test_an_event_reported_to_several_processes_or_drained_twice_is_kept_once(
    tmp_path: Path, lake: Lake
) -> None:
    fill(tmp_path / "one", [click(1, received_at=NOON + 5, user_id="second"), click(2)])
    fill(tmp_path / "two", [click(1, received_at=NOON, user_id="first"), click(3)])
    drain(tmp_path / "one", lake)
    drain(tmp_path / "two", lake)
    fill(tmp_path / "one", [click(1, received_at=NOON + DAY, user_id="third")])
    drain(tmp_path / "one", lake)
    found = read_feedback(lake).to_pylist()
    assert sorted(row["event_id"] for row in found) == ["click-1", "click-2", "click-3"]
    assert next(row["user_id"] for row in found if row["event_id"] == "click-1") == "first"


def test_changes_of_items_and_users_are_kept(tmp_path: Path, lake: Lake) -> None:
    fill(
        tmp_path,
        [
            ItemRecord("tea", NOON, title="Tea", price=2.5, available=False),
            UserRecord("ann", NOON, country="NL", blocked_items=["cup"]),
        ],
    )
    assert drain(tmp_path, lake).changes == 2
    (item,) = lake.read("item_changes").to_pylist()
    assert (item["item_id"], item["title"], item["price"], item["available"]) == ("tea", "Tea", 2.5, False)
    (user,) = lake.read("user_changes").to_pylist()
    assert (user["user_id"], user["country"], user["blocked_items"]) == ("ann", "NL", ["cup"])


def test_requests_drained_by_an_earlier_release_are_read(tmp_path: Path, lake: Lake) -> None:
    fill(tmp_path, [record(1)])
    drain(tmp_path, lake)
    (path,) = lake.files("requests")
    old = lake.read("requests").drop_columns(["stage", "kind", "session", "diversity"])
    lake.write_day("requests", date(2026, 3, 1), old, part=path.stem)
    assert read_log(lake)["stage"].to_pylist() == [None]


def test_progress_has_each_batch_and_they_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drains, "BATCH_RECORDS", 2)
    spool = Spool(tmp_path / "spool")
    for number in range(5):
        spool.offer(record(number))
    spool.close()
    batches: list[Drained] = []
    moved = drain(tmp_path / "spool", Lake(tmp_path / "lake"), progress=batches.append)
    assert [one.requests for one in batches] == [2, 2, 1]
    assert moved == Drained(requests=5, impressions=10)
