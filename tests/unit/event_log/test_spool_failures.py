"""A spool whose disk, thread or records fail: callers learn it, and no acknowledged record is lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.spool_records import click, record, stored
from tastemaker.event_log import spool as spools
from tastemaker.event_log.records import ItemRecord, Record
from tastemaker.event_log.spool import Spool, SpoolError
from tastemaker.event_log.spool_file import (
    Row,
    insert_each,
    measure,
)
from tastemaker.util import supervised_thread


def test_a_failing_disk_fails_waiting_callers_and_is_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(record(1)).result()
    with spools.connected(spool.path) as connection, connection:
        connection.execute("DROP TABLE records")
    with pytest.raises(SpoolError, match=r"requests\.db can't be written: no such table"):
        spool.append(record(2)).result()
    spool.close()
    assert spool.counts == (1, 0, 1)


def test_offered_records_wait_while_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "RETRY_SECONDS", 0.01)
    spool = Spool(tmp_path)
    full = [True]

    def refusing(connection: sqlite3.Connection, calls: list[list[Row]]) -> list[int]:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        return insert_each(connection, calls)

    monkeypatch.setattr(spools, "insert_each", refusing)
    assert all(spool.offer(record(number)) for number in range(10))
    with pytest.raises(SpoolError, match="disk is full"):
        spool.append(click(1)).result()
    assert all(spool.offer(record(number)) for number in range(10, 20))
    full.clear()
    spool.append(click(2)).result()
    spool.close()
    assert stored(tmp_path) == [*(record(number) for number in range(20)), click(2)]
    assert spool.counts == (21, 0, 1)


def test_callers_queued_behind_more_than_a_group_fail_too_and_the_disk_is_retried_without_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(spools, "_GROUP", 3)
    full = [True]

    def refusing(connection: sqlite3.Connection, calls: Sequence[list[Row]] = ()) -> list[int]:
        if full:
            raise sqlite3.OperationalError("database or disk is full")
        return insert_each(connection, calls)

    monkeypatch.setattr(spools, "touch", refusing)
    monkeypatch.setattr(spools, "insert_each", refusing)
    with Spool(tmp_path) as spool:
        assert all(spool.offer(record(number)) for number in range(10))
        with pytest.raises(SpoolError, match="disk is full"):
            spool.append(click(1)).result(10)
        assert spool.trouble is not None
        full.clear()
        while spool.trouble is not None:
            time.sleep(0.01)


def test_a_record_that_can_not_be_encoded_fails_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    bad = spool.append(ItemRecord("\ud800", 1.0))
    good = spool.append(click(1))
    assert good.result() == (1, 0)
    with pytest.raises(SpoolError, match="can't be encoded"):
        bad.result()
    spool.close()
    assert spool.waiting == 0


def test_of_records_offered_together_one_that_can_not_be_encoded_is_lost_alone(tmp_path: Path) -> None:
    bad = ItemRecord("\ud800", 1.0)
    spool = Spool(tmp_path)
    assert spool.offer(record(1), bad, record(2), bad, record(3)) == 5
    spool.close()
    assert stored(tmp_path) == [record(1), record(2), record(3)]
    assert (spool.counts, spool.lost) == ((3, 0, 2), (0, 2))
    assert spool.waiting == 0


def test_of_records_appended_together_one_that_can_not_be_encoded_fails_all(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        together = spool.append(click(1), ItemRecord("\ud800", 1.0))
        with pytest.raises(SpoolError, match="can't be encoded"):
            together.result()
    assert stored(tmp_path) == []
    assert (spool.counts, spool.lost) == ((0, 0, 2), (0, 0))


FAULTS: list[BaseException] = [TypeError("a defect"), MemoryError(), SystemExit(3), KeyboardInterrupt()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("place", ["measure", "insert_each"])
def test_a_failed_committing_thread_is_reported_and_restarted_and_no_acknowledged_record_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, place: str
) -> None:
    monkeypatch.setattr(spools, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(supervised_thread, "AGAIN_SECONDS", 0.01)
    works = getattr(spools, place)
    broken = [True]

    def fail(*arguments: Any) -> Any:
        if broken:
            raise fault
        return works(*arguments)

    with Spool(tmp_path) as spool:
        monkeypatch.setattr(spools, place, fail)
        assert all(spool.offer(record(number)) for number in range(50))
        asked = [spool.append(record(number)) for number in range(50, 60)]
        while spool.trouble is None and broken:
            time.sleep(0.001)
        broken.clear()
        assert spool.append(record(60)).result(30) == (1, 0)
        while spool.trouble is not None:
            time.sleep(0.001)
        assert spool.waiting == 0
    acknowledged = {50 + place for place, one in enumerate(asked) if one.done() and one.exception() is None}
    found = [int(one.request_id, 16) for one in stored(tmp_path) if isinstance(one, Record)]
    assert len(set(found)) == len(found)
    assert acknowledged | {60, *range(50)} <= set(found)


def test_an_ended_thread_and_its_recovery_are_each_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervised_thread, "AGAIN_SECONDS", 0.01)
    failures = iter(range(5))

    def fail(connection: sqlite3.Connection) -> spools.Backlog:
        if next(failures, None) is not None:
            raise TypeError("a defect")
        return measure(connection)

    caplog.set_level("INFO", "tastemaker")
    monkeypatch.setattr(spools, "RETRY_SECONDS", 0.01)
    with Spool(tmp_path) as spool:
        monkeypatch.setattr(spools, "measure", fail)
        spool.append(record(1)).result(30)
        seen = {spool.trouble}
        while None in seen or spool.trouble is not None:
            seen = (seen | {spool.trouble}) - ({None} if len(seen) > 1 else set())
            time.sleep(0.001)
    assert seen == {"the log thread failed: TypeError"}
    assert caplog.messages == ["the log thread failed; it begins again", "the log thread works again"]
