"""The spool: committed records survive kill -9, writers share it, and a full spool refuses records."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.repository import ROOT
from support.spool_records import click, record, stored
from tastemaker.event_log import spool as spools
from tastemaker.event_log.records import FeedbackRecord, ItemRecord, Record, UserRecord
from tastemaker.event_log.spool import FILE_NAME, Spool, SpoolError, SpoolFull, forget, read
from tastemaker.event_log.spool_file import (
    connected,
    create,
    find_request,
    insert,
    insert_each,
    measure,
    rows_of,
)


def test_records_come_back_as_they_went_in_oldest_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    wait([spool.append(record(number)) for number in range(50)])
    assert stored(tmp_path) == [record(number) for number in range(50)]
    spool.close()


def test_closing_commits_what_was_only_offered(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert all(spool.offer(record(number)) for number in range(2_000))
    spool.close()
    assert len(stored(tmp_path)) == 2_000
    assert spool.counts == (2_000, 0, 0)
    assert not spool.offer(record(1)), "a closed spool takes nothing"


@pytest.mark.processes
def test_an_appended_record_survives_kill_9(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from support.spool_records import record
from tastemaker.event_log.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(10**9):
    spool.append(record(number)).result()
    print(number, flush=True)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split()]
    found = [int(one.request_id, 16) for one in stored(tmp_path) if isinstance(one, Record)]
    assert found[: len(acknowledged)] == acknowledged
    assert found == list(range(len(found))), "at most one record beyond the acknowledged, and none torn"


def test_several_writers_share_a_spool(tmp_path: Path) -> None:
    writers = [Spool(tmp_path) for _ in range(3)]

    def write(spool: Spool, first: int) -> None:
        for number in range(first, first + 200):
            spool.append(record(number)).result() if number % 50 == 0 else spool.offer(record(number))
        spool.close()

    threads = [Thread(target=write, args=(spool, 1_000 * place)) for place, spool in enumerate(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"{1_000 * place + number:032x}" for place in range(3) for number in range(200)}
    found = [one.request_id for one in stored(tmp_path) if isinstance(one, Record)]
    assert len(found) == 600
    assert set(found) == expected


def test_a_spool_without_room_refuses_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "_OFFERED_SECONDS", 0.2)
    spool = Spool(tmp_path, capacity=3)
    assert [spool.offer(record(number)) for number in range(5)] == [True, True, True, False, False]
    with pytest.raises(SpoolError, match="3 records wait for the disk"):
        spool.append(record(9)).result()
    spool.close()
    assert spool.counts == (3, 3, 0)
    assert len(stored(tmp_path)) == 3


def test_of_records_offered_together_as_many_are_queued_as_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "_OFFERED_SECONDS", 0.2)
    spool = Spool(tmp_path, capacity=5)
    assert spool.offer(record(0), record(1), record(2)) == 3
    assert spool.offer(record(3), record(4), record(5), record(6)) == 2
    assert spool.offer(record(7), record(8)) == 0
    spool.close()
    assert spool.offer(record(9), record(10)) == 0
    assert (spool.counts, spool.lost) == ((5, 6, 0), (6, 0))
    assert stored(tmp_path) == [record(number) for number in range(5)]


def test_reading_takes_the_oldest_and_forgetting_leaves_the_rest(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    wait([spool.append(record(number)) for number in range(10)])
    pending = read(spool.path, 4)
    assert pending is not None
    assert (pending.first, pending.last, len(pending.records)) == (1, 4, 4)
    forget(spool.path, pending.last)
    rest = read(spool.path, 100)
    assert rest is not None
    assert (rest.spool, rest.first, rest.last) == (pending.spool, 5, 10)
    forget(spool.path, rest.last)
    assert read(spool.path, 100) is None
    spool.append(record(10)).result()
    again = read(spool.path, 100)
    assert again is not None
    assert again.first == 11, "numbers are never used twice"
    spool.close()


def test_each_spool_file_has_an_id_of_its_own(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        spool = Spool(tmp_path / name)
        spool.append(record(1)).result()
        spool.close()
        pending = read(spool.path, 1)
        assert pending is not None
        found.append(pending.spool)
    assert found[0] != found[1]


def test_a_missing_spool_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / FILE_NAME, 10) is None


def test_a_record_may_gain_optional_fields_later() -> None:
    """A spool that an older version wrote is still drained."""
    old = {name: value for name, value in msgspec.to_builtins(record(1)).items() if name != "features"}
    assert msgspec.convert(old, Record).features is None


def test_one_spool_keeps_every_kind_in_the_order_of_arrival(tmp_path: Path) -> None:
    item, user = ItemRecord("tea", 7.0, title="Tea"), UserRecord("Žofie", 8.0, blocked_items=["cup"])
    spool = Spool(tmp_path)
    spool.append(record(1), click(1), item, user).result()
    spool.close()
    assert stored(tmp_path) == [record(1), click(1), item, user]
    pending = read(spool.path, 10)
    assert pending is not None
    assert pending.of(FeedbackRecord) == [click(1)]


def test_a_repeated_event_is_stored_once_and_reported_as_a_duplicate(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.append(click(1), click(2), click(1)).result() == (2, 1)
    assert spool.append(click(2), click(3)).result() == (1, 1)
    changed = ItemRecord("tea", 7.0)
    assert spool.append(changed, changed).result() == (2, 0), "what changes may change back"
    spool.close()
    assert [one.event_id for one in stored(tmp_path) if isinstance(one, FeedbackRecord)] == [
        "click-1",
        "click-2",
        "click-3",
    ]


def test_an_event_loop_is_woken_once_for_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)

    async def send(wakes: list[int]) -> list[object]:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(call: Callable[..., object], *values: object) -> object:
            wakes.append(1)
            return wake(call, *values)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        return list(await asyncio.gather(*(spool.stored([click(number)]) for number in range(500))))

    wakes: list[int] = []
    assert asyncio.run(send(wakes)) == [(1, 0)] * 500
    assert len(wakes) < 50
    spool.close()
    assert len(stored(tmp_path)) == 500


def test_a_cancelled_caller_does_not_disturb_the_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path)

    async def send() -> None:
        gone = asyncio.ensure_future(spool.stored([click(1)]))
        await asyncio.sleep(0)
        gone.cancel()
        await spool.stored([click(2)])

    asyncio.run(send())
    spool.close()
    assert spool.counts.written == 2


def test_a_full_file_refuses_feedback_first_and_takes_it_again_after_a_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "RETRY_SECONDS", 0.01)
    spool = Spool(tmp_path, max_bytes=200_000)
    for first in range(0, 100_000, 100):
        appended = spool.append(*(click(first + number) for number in range(100)))
        if appended.exception() is not None:
            break
    with pytest.raises(SpoolFull, match=r"holds \d+ bytes, at most 200000") as refused:
        appended.result()
    assert refused.value.retry_seconds == spools.DRAIN_SECONDS
    assert spool.trouble == "the log is full"
    assert spool.backlog().bytes < 200_000
    assert spool.offer(record(1)), "an answer is not sent again: it may use what is left"
    while spool.waiting:
        time.sleep(0.01)
    forget(spool.path, 10_000)
    while spool.backlog().records or spool._backlog.bytes > 150_000:
        time.sleep(0.01)
    assert spool.append(click(-1)).result() == (1, 0)
    spool.close()


def test_a_group_of_any_size_is_stored_whole_and_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    numbers = [*range(700), *range(0, 700, 7), 700]
    assert spool.append(*map(click, numbers)).result() == (701, 100)
    spool.close()
    assert stored(tmp_path) == [click(number) for number in range(701)]


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 1_000])
def test_inserting_counts_the_rows_that_are_new(tmp_path: Path, n: int) -> None:
    rows = rows_of([click(number) for number in range(n)])
    with Spool(tmp_path) as spool, connected(spool.path) as connection, connection:
        assert insert(connection, rows[::3]) == len(rows[::3])
        assert insert(connection, [*rows, *rows]) == n - len(rows[::3])
    assert len(stored(tmp_path)) == n


@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=8))
def test_rows_of_several_calls_are_counted_as_if_each_was_inserted_alone(calls: list[list[int]]) -> None:
    groups = [rows_of(map(click, numbers)) for numbers in calls]
    found: list[tuple[list[int], list[tuple[Any, ...]]]] = []
    for together in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            create(path := Path(folder) / FILE_NAME)
            with connected(path) as connection:
                insert(connection, rows_of([click(7)]))
                connection.commit()
                if together:
                    new = insert_each(connection, groups)
                else:
                    new = [insert(connection, rows) for rows in groups]
                rows = connection.execute("SELECT number, kind, key, record FROM records").fetchall()
                found.append((new, rows))
    assert found[0] == found[1]


def test_the_backlog_is_known(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.backlog().records == 0
    spool.append(click(1), click(2)).result()
    backlog = spool.backlog()
    assert backlog.records == 2
    assert 0 <= backlog.oldest_seconds < 60
    assert backlog.bytes >= 4_096
    forget(spool.path, 2)
    assert spool.backlog()[0] == 0
    spool.close()


def test_a_request_is_found_by_its_id(tmp_path: Path) -> None:
    assert find_request(tmp_path / FILE_NAME, "nothing") is None
    spool = Spool(tmp_path)
    spool.append(record(1), record(2)).result()
    spool.close()
    assert find_request(spool.path, record(2).request_id) == record(2)
    assert find_request(spool.path, "click-1") is None


def test_a_file_of_an_earlier_release_is_upgraded(tmp_path: Path) -> None:
    with spools.connected(tmp_path / FILE_NAME) as connection, connection:
        connection.execute(
            "CREATE TABLE records (number INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL)"
        )
        connection.execute("CREATE TABLE spool (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL)")
        connection.execute("INSERT INTO spool VALUES (1, 'old')")
        connection.execute("INSERT INTO records (record) VALUES (?)", (msgspec.msgpack.encode(record(1)),))
    spool = Spool(tmp_path)
    spool.append(click(1)).result()
    spool.close()
    pending = read(spool.path, 10)
    assert pending is not None
    assert (pending.spool, pending.records) == ("old", [record(1), click(1)])


def test_the_backlog_is_consistent_during_a_drain(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        wait([spool.append(record(number)) for number in range(10)])
    deleted = []

    def delete(statement: str) -> None:
        """Another process deletes everything before each statement."""
        deleted.append(statement)
        forget(spool.path, 10)

    with spools.connected(spool.path) as connection:
        before = measure(connection)
        connection.set_trace_callback(delete)
        assert measure(connection).records in {0, 10}
        connection.set_trace_callback(None)
        after = measure(connection)
    assert deleted
    assert (before.records, after.records, after.oldest_seconds) == (10, 0, 0.0)
