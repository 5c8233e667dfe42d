"""The durable log: what was committed survives kill -9, several writers share it, and a full one says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from tastemaker.logs import spool as spools
from tastemaker.logs.records import Item, Record
from tastemaker.logs.spool import FILE_NAME, Spool, SpoolError, forget, read


def record(number: int, *, occurred_at: float = 1_700_000_000.0) -> Record:
    """A request that is told from others by its id."""
    return Record(
        request_id=f"{number:032x}",
        occurred_at=occurred_at,
        user_id="Žofie 🛍",
        k=2,
        model="popularity",
        version="20240101T000000Z-abc",
        items=[Item("tea", 2.5, 1.0), Item("cup", 1.0, 0.25)],
        latency_ms=0.5,
        context={"device": "phone", "hour": 9},
        features={"recency_days": 3.5, "orders_per_day": None},
    )


def stored(folder: Path) -> list[Record]:
    """Everything that is on disk."""
    pending = read(folder / FILE_NAME, 1_000_000)
    return [] if pending is None else pending.records


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


def test_an_appended_record_survives_kill_9(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from test_spool import record
from tastemaker.logs.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(10**9):
    spool.append(record(number)).result()
    print(number, flush=True)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split()]
    found = [int(one.request_id, 16) for one in stored(tmp_path)]
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
    found = [one.request_id for one in stored(tmp_path)]
    assert len(found) == 600
    assert set(found) == expected


def test_a_spool_without_room_refuses_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "_PAUSE_SECONDS", 0.2)
    spool = Spool(tmp_path, capacity=3)
    assert [spool.offer(record(number)) for number in range(5)] == [True, True, True, False, False]
    with pytest.raises(SpoolError, match="3 records wait for the disk"):
        spool.append(record(9)).result()
    spool.close()
    assert spool.counts == (3, 3, 0)
    assert len(stored(tmp_path)) == 3


def test_a_disk_that_refuses_is_told_to_those_who_wait_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(record(1)).result()
    with spools.connected(spool.path) as connection, connection:
        connection.execute("DROP TABLE records")
    with pytest.raises(SpoolError, match=r"requests\.db can't be written: no such table"):
        spool.append(record(2)).result()
    spool.close()
    assert spool.counts == (1, 0, 1)


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


def test_no_spool_yet_holds_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / FILE_NAME, 10) is None


def test_a_record_may_gain_optional_fields_later() -> None:
    """A spool that an older version wrote is still drained."""
    old = {name: value for name, value in msgspec.to_builtins(record(1)).items() if name != "features"}
    assert msgspec.convert(old, Record).features is None
