"""Faults between the spool and the sink: no record is lost, and none is doubled."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import create_engine, make_url, text

from support import request_logs
from support.child_processes import ended
from support.repository import ROOT
from support.request_logs import click, fill, request, settings_of
from support.servers import free_port
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import Drained, drain, read_feedback
from tastemaker.event_log.postgres import PostgresSink
from tastemaker.event_log.shipping import follow
from tastemaker.event_log.spool import Spool, SpoolError, SpoolFull, read
from tastemaker.event_log.spool_file import FILE_NAME

OUTAGE_SECONDS = float(os.environ.get("TASTEMAKER_OUTAGE_SECONDS", "5"))
N = 25_000
"""More than two batches."""


def python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A Python of its own that runs `code`."""
    paths = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths} | environment,
    )


def kept(url: str) -> list[str]:
    """The keys of all records that the database holds."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [row[0] for row in connection.execute(text("SELECT key FROM log_records"))]
    engine.dispose()
    return found


SHIP_AND_HANG = """
import sys, time
from pathlib import Path
from tastemaker.event_log import drain, postgres

def hang(*_):
    print("there", flush=True)
    time.sleep(600)

where = sys.argv[3]
postgres._OPTIONS = "-c statement_timeout=10s"  # when a dead shipper's lock is free again: not after 60 s
if where == "before the commit":
    postgres._INSERT = postgres._INSERT + "; SELECT pg_sleep(600)"
    print("there", flush=True)
elif where == "after the commit":
    drain.forget = hang
drain.drain(Path(sys.argv[1]), postgres.PostgresSink(sys.argv[2]))
"""


@pytest.mark.servers
@pytest.mark.parametrize("where", ["before the commit", "after the commit"])
def test_a_shipper_killed_around_its_commit_doubles_nothing(
    tmp_path: Path, postgres_url: str, where: str
) -> None:
    fill(tmp_path, [*(request(number) for number in range(300)), *map(click, range(300))])
    shipper = python(SHIP_AND_HANG, str(tmp_path), postgres_url, where)
    with ended(shipper):
        assert shipper.stdout is not None
        assert shipper.stdout.readline() == "there\n"
        if where == "before the commit":
            wait_until_copied(postgres_url)
    kept_before = kept(postgres_url)
    assert len(kept_before) == (0 if where == "before the commit" else 600)
    fill(tmp_path, [click("later")])
    assert drain(tmp_path, PostgresSink(postgres_url)).feedback == 301
    assert len(kept(postgres_url)) == len(set(kept(postgres_url))) == 601


def wait_until_copied(url: str) -> None:
    """Until another session sleeps after its insertion, before its commit."""
    engine = create_engine(url)
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND state = 'active'")
    with engine.connect() as connection:
        while not connection.execute(query).scalar_one():
            connection.rollback()
            time.sleep(0.05)
    engine.dispose()


SHIP = """
import sys
from pathlib import Path
from tastemaker.event_log import drain, postgres
sys.stdin.readline()
print(drain.drain(Path(sys.argv[1]), postgres.PostgresSink(sys.argv[2])).feedback, flush=True)
"""


@pytest.mark.servers
def test_shippers_of_one_spool_and_of_others_at_once_double_nothing(
    tmp_path: Path, postgres_url: str
) -> None:
    fill(tmp_path / "one", [click(number) for number in range(N)])
    fill(tmp_path / "two", [click(number) for number in range(N // 2, N + N // 2)])
    shippers = [python(SHIP, str(tmp_path / name), postgres_url) for name in ("one", "one", "two", "two")]
    with ended(*shippers):
        found = [int(shipper.communicate()[0]) for shipper in shippers]
    assert sum(found) == 2 * N
    assert Counter(kept(postgres_url)) == Counter(f"click-{number}" for number in range(N + N // 2))


class Line:
    """A proxy to a server that can be cut and restored."""

    def __init__(self, host: str, port: int) -> None:
        self.server, self.port = (host, port), free_port()
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.restore()

    def restore(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse new connections, and close the open ones."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for each in self._sockets:
            with closing(each):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        self._sockets.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.server)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def following(home: Path, url: str) -> Iterator[list[str]]:
    """A shipper that follows; yields what it says of attempts that failed."""
    stop, said = Event(), list[str]()
    settings = settings_of(home, url)
    thread = Thread(target=partial(follow, settings, stop, progress=print, on_failure=said.append))
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


@pytest.mark.servers
def test_while_postgres_is_away_the_log_grows_and_is_shipped_after(tmp_path: Path, postgres_url: str) -> None:
    server = make_url(postgres_url)
    line = Line(str(server.host), int(server.port or 5432))
    spool, sent = Spool(tmp_path / "spool"), 0
    with following(tmp_path, server.set(port=line.port).render_as_string()) as said:
        for phase in ("there", "away", "back"):
            line.cut() if phase == "away" else None
            until = time.monotonic() + (OUTAGE_SECONDS if phase == "away" else 1.0)
            while time.monotonic() < until:
                spool.append(*(click(sent + number) for number in range(20))).result()
                sent += 20
                time.sleep(0.01)
            line.restore() if phase == "away" else None
        give_up = time.monotonic() + OUTAGE_SECONDS + 60
        while spool.backlog().records and time.monotonic() < give_up:
            time.sleep(0.05)
    spool.close()
    line.cut()
    assert said, "the shipper noticed"
    assert Counter(kept(postgres_url)) == Counter(f"click-{number}" for number in range(sent))


WRITE = """
import sys
from pathlib import Path
from support.request_logs import click
from tastemaker.event_log.spool import Spool
spool, first = Spool(Path(sys.argv[1])), int(sys.argv[2])
for number in range(first, first + 10**9, 10):
    spool.append(*(click(one) for one in range(number, number + 10))).result()
    print(number, flush=True)
"""


def test_writers_killed_again_and_again_while_others_drain_lose_and_double_nothing(tmp_path: Path) -> None:
    lake, stop = Lake(tmp_path / "lake"), Event()

    def drain_on() -> None:
        while not stop.is_set():
            drain(tmp_path, lake)

    drains = [Thread(target=drain_on) for _ in range(2)]
    for thread in drains:
        thread.start()
    acknowledged: set[str] = set()
    for life in range(6):
        with python(WRITE, str(tmp_path), str(life * 10**6)) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(15)]
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.read().splitlines(keepends=True)
        whole = [int(line) for line in lines if line.endswith("\n")]
        acknowledged |= {f"click-{first + number}" for first in whole for number in range(10)}
    stop.set()
    for thread in drains:
        thread.join()
    drain(tmp_path, lake)
    found = lake.read("feedback")["event_id"].to_pylist()
    assert len(found) == len(set(found)) == len(read_feedback(lake))
    assert acknowledged <= set(found)
    assert len(found) <= len(acknowledged) + 6 * 10, "at most the group that each death cut off"


def test_a_full_disk_fails_feedback_keeps_answers_and_is_recovered_from(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    spool = Spool(small_disk)
    spool.append(click("first")).result()
    acknowledged, offered = ["click-first"], 0
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(1 << 20))
    while True:
        pending = spool.append(click(len(acknowledged)))
        offered += spool.offer(request(offered))
        if pending.exception() is not None:
            break
        acknowledged.append(f"click-{len(acknowledged)}")
    with pytest.raises(SpoolError, match="disk is full"):
        pending.result()
    offered += spool.offer(request(offered))
    ballast.unlink()
    while spool.waiting:
        time.sleep(0.02)
    spool.append(click("last")).result()
    spool.close()
    lake = Lake(small_disk.parent / "lake")
    assert drain(small_disk, lake) == Drained(offered, 2 * offered, len(acknowledged) + 1)
    assert set(read_feedback(lake)["event_id"].to_pylist()) == {*acknowledged, "click-last"}
    assert spool.counts.failed == 1


def test_a_bounded_log_says_so_and_stays_within_its_bound(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 20)
    taken = 0
    with pytest.raises(SpoolFull):  # noqa: PT012 - whichever it is that no longer fits
        while True:
            taken += spool.append(*(click(taken + number) for number in range(500))).result().accepted
    for number in range(20_000):
        spool.offer(request(number))
        if spool.counts.refused > 600:
            break
        while spool.waiting > 1_000:
            time.sleep(0.001)
    spool.close()
    assert (tmp_path / FILE_NAME).stat().st_size < 3 << 20
    assert drain(tmp_path, Lake(tmp_path / "lake")).feedback == taken


def test_a_clock_that_jumps_back_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, now = Spool(tmp_path), [request_logs.NOON]
    monkeypatch.setattr("time.time", lambda: now[0])
    for number in range(10):
        spool.append(click(number, received_at=now[0]), request(number, occurred_at=now[0])).result()
        now[0] -= 40_000
    assert spool.backlog().oldest_seconds == 0
    pending = read(tmp_path / FILE_NAME, 100)
    assert pending is not None
    assert len(pending.records) == 20
    lake = Lake(tmp_path / "lake")
    assert drain(tmp_path, lake) == Drained(10, 20, 10)
    assert spool.append(click("after"), click("again")).result() == (2, 0)
    spool.close()
    assert len(lake.days("feedback")) > 1
