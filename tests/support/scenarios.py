"""What may happen to a service while users visit it, and the outcome. Tests and a benchmark evaluate it."""

from __future__ import annotations

import errno
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg2

from support import servers, service_keeper, shop_homes, visited_service
from support.repository import ROOT
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain, read_log
from tastemaker.event_log.records import Record
from tastemaker.event_log.spool_file import FILE_NAME, find_request
from tastemaker.settings import LogSettings, OnlineStoreSettings
from tastemaker.simulator.traffic.audit import LogAudit
from tastemaker.simulator.traffic.log_audit import verdict
from tastemaker.storage.engine import open_engine

HOUR = 3_600.0
NO_ANONYMOUS = ("--anonymous", "0")
SHIP = (str(visited_service.BIN / "tastemaker"), "ship")


class Survived(NamedTuple):
    """A scenario's end."""

    summary: dict[str, Any]
    """The simulator's."""
    verdict: LogAudit
    recovery_seconds: list[float]
    """From each fault's end to the first proof that all works again."""

    @property
    def unharmed(self) -> bool:
        """All users got a list, every event was acknowledged in the end, and all is in the log, once."""
        summary = self.summary
        lists = summary["statuses"]["/recommend"].keys() == {"200"}
        return lists and summary["failed"] == summary["events_abandoned"] == 0 and self.verdict.sound


def killed(home: Path, kills: int) -> Survived:
    """kill -9, again and again. Clients send again what was not acknowledged, and some what was."""
    rng, recovery = random.Random(0), []
    version = shop_homes.make_shop_home(home)["popularity"]
    words = ("--rate", "60", "--at-once", "16", "--retry-for", "60s", *NO_ANONYMOUS)
    faults = ("--fault", "repeated=0.2", "--fault", "dropped=0.1", "--fault", "late=0.1")
    with (
        visited_service.served(home, version) as service,
        visited_service.visiting(home, service, *words, *faults) as visits,
    ):
        for _ in range(kills):
            visits.proceed()
            time.sleep(rng.random() * 0.3)
            service.kill()
            recovery.append(_seconds(service.wait))
        visits.proceed()
        summary = visits.end()
    return Survived(summary, verdict(shop_homes.settings(home), visits.client_log), recovery)


def supervised(home: Path) -> Survived:
    """kill -9 of the worker under BentoML's own supervisor."""
    version = shop_homes.make_shop_home(home)["popularity"]
    command = ["tastemaker", "serve", "popularity"]
    words = ("--rate", "30", "--retry-for", "60s", *NO_ANONYMOUS)
    with (
        visited_service.served(home, version, command=command) as service,
        visited_service.visiting(home, service, *words) as visits,
    ):
        service.kill()
        recovery = _seconds(service.wait)
        visits.proceed()
        summary = visits.end()
    return Survived(summary, verdict(shop_homes.settings(home), visits.client_log), [recovery])


def shipped(home: Path, seconds: float, *, shippers: int = 3) -> tuple[Survived, list[list[str]], str]:
    """Shippers empty the log for so long while all workers write to it, each a process of its own.

    The rate is limited: of a shop whose users come as fast as they are answered, all have left in a minute.

    Also: what /readyz said was degraded, and the service's log.
    """
    version = shop_homes.make_shop_home(home)["popularity"]
    command = ["tastemaker", "serve", "popularity"]
    words = ("--rate", "100", "--at-once", "24", "--retry-for", "60s", *NO_ANONYMOUS)
    degraded = []
    with (
        visited_service.served(home, version, command=command) as service,
        ExitStack() as shipping,
        visited_service.visiting(home, service, *words) as visits,
    ):
        eager = [sys.executable, "-m", "support.eager_shipper"]
        processes = [shipping.enter_context(_shipping(home, {}, eager)) for _ in range(shippers)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            visits.proceed()
            degraded.append(service.get("/readyz").json()["degraded"])
            time.sleep(0.2)
        assert [process.poll() for process in processes] == [None] * shippers, "a shipper gave up"
        assert "moved to lake" in (home / "ship.log").read_text(), "nothing was shipped meanwhile"
        summary = visits.end()
        said = service.log.read_text()
    return Survived(summary, verdict(shop_homes.settings(home), visits.client_log), []), degraded, said


def disk_full(home: Path, spool: Path, seconds: float) -> tuple[Survived, httpx.Response, list[str]]:
    """The spool's file system is full. Also: a refusal of feedback, and the stages of lists meanwhile."""
    version = shop_homes.make_shop_home(home)["popularity"]
    words = ("--rate", "40", "--retry-for", "300s", *NO_ANONYMOUS)
    with (
        visited_service.served(home, version) as service,
        visited_service.visiting(home, service, *words) as visits,
    ):
        fill_up(spool / "ballast")
        sent = iter(range(1_000_000))
        visited_service.until(
            lambda: _send_feedback(service, next(sent)).status_code != 200,
            "feedback is acknowledged though there is no room for it",
        )
        refusal = _send_feedback(service, next(sent))
        stages = [service.recommend()["stage"] for _ in range(100)]
        time.sleep(seconds)
        (spool / "ballast").unlink()
        recovery = _seconds_until(lambda: _send_feedback(service, next(sent)).status_code == 200)
        visits.proceed(5)
        summary = visits.end()
    return (
        Survived(summary, verdict(shop_homes.settings(home), visits.client_log), [recovery]),
        refusal,
        stages,
    )


class Started(NamedTuple):
    """How a service did that was started on a full disk."""

    degraded: list[str]
    refusal: httpx.Response
    """Of feedback."""
    explained: httpx.Response
    """Why one of the lists was as it was, asked while the disk was full."""
    answered: set[str]
    """The ids of the lists that were given meanwhile."""
    logged: set[str]
    recovery_seconds: float


def started_on_a_full_disk(home: Path) -> Started:
    """The home's file system was full before; then there is room, and people come."""
    version = shop_homes.make_shop_home(home)["popularity"]
    fill_up(home / "ballast")
    with visited_service.served(home, version, log=home.with_suffix(".log")) as service:
        degraded: list[str] = service.get("/readyz").json()["degraded"]
        answered = {service.recommend()["request_id"] for _ in range(50)}
        refusal, explained = _send_feedback(service, 0), service.get(f"/explain/{min(answered)}")
        (home / "ballast").unlink()
        recovery = _seconds_until(lambda: _send_feedback(service, 1).status_code == 200)
        visited_service.until(lambda: service.get("/readyz").json()["degraded"] == [], "it stays degraded")
    lake = Lake(home / "lake")
    drain(home / "spool", lake)
    logged = set(read_log(lake)["request_id"].to_pylist())
    return Started(degraded, refusal, explained, answered, logged, recovery)


def clock_jumps(home: Path) -> Survived:
    """The service's clock jumps back and forth by hours and days."""
    clock = home.with_suffix(".clock")
    clock.write_bytes(struct.pack("d", 0.0))
    version = shop_homes.make_shop_home(home)["popularity"]
    with (
        visited_service.served(home, version, more={service_keeper.CLOCK: str(clock)}) as service,
        visited_service.visiting(home, service, "--rate", "40", *NO_ANONYMOUS) as visits,
    ):
        recovery = []
        for ahead in (-HOUR, 25 * HOUR, -49 * HOUR, 0.0):
            with clock.open("r+b") as file:
                file.write(struct.pack("d", ahead))
            recovery.append(_seconds(lambda: visits.proceed(4)))
        summary = visits.end()
    return Survived(summary, verdict(shop_homes.settings(home), visits.client_log), recovery)


def redis_away(home: Path, seconds: float, *, rate: int = 20) -> Survived:
    """The online store refuses, and then hangs, for so long each. Features must come back both times."""
    from tastemaker_features import store

    with servers.redis() as (server, url):
        online = OnlineStoreSettings(type="redis", url=url)
        version = shop_homes.make_ranker_home(home, online)
        more = {
            "TASTEMAKER_ONLINE_STORE__TYPE": "redis",
            "TASTEMAKER_ONLINE_STORE__URL": url,
            "TASTEMAKER_SERVING__FEATURES_CACHE_SECONDS": "0",  # what was read is not kept
            "TASTEMAKER_SERVING__FEATURES_TIMEOUT_SECONDS": "0.2",  # long enough on a busy machine
        }
        people = (f"u{number % 200:07d}" for number in count())
        with (
            visited_service.served(home, version, more=more) as service,
            visited_service.visiting(home, service, "--rate", str(rate), *NO_ANONYMOUS) as visits,
        ):

            def reads() -> bool:
                return _reads_features(home, service, next(people))

            visited_service.until(reads, "features are never read")
            server.stop()
            visited_service.until(
                lambda: not any(reads() for _ in range(20)), "features of a store that is away"
            )
            _go_on_for(visits, seconds)
            server.start()
            store.materialize(shop_homes.settings(home, online_store=online), version.manifest.window.end)
            recovery = [_seconds_until(reads)]
            with server.frozen():
                _go_on_for(visits, seconds)
            recovery.append(_seconds_until(reads))
            visits.proceed()
            summary = visits.end()
    return Survived(summary, verdict(shop_homes.settings(home), visits.client_log), recovery)


def postgres_away(home: Path, seconds: float, *, rate: int = 30) -> Survived:
    """The database of metadata and logs is stopped for so long, while a shipper follows the log."""
    version = shop_homes.make_shop_home(home)["popularity"]
    with servers.postgres() as (server, address):
        url = f"{address}/postgres"
        open_engine(url).dispose()  # makes the tables
        more = {"TASTEMAKER_DATABASE_URL": url, "TASTEMAKER_LOG__TARGET": "postgres"}
        with (
            visited_service.served(home, version, more=more) as service,
            visited_service.visiting(home, service, "--rate", str(rate), *NO_ANONYMOUS) as visits,
        ):
            with _shipping(home, more) as shipper:
                visited_service.until(
                    lambda: shipper.poll() is not None or _shipped(url) > 0, "nothing is shipped"
                )
                before = _shipped(url)
                server.stop()
                _go_on_for(visits, seconds)
                assert shipper.poll() is None, "the shipper gave up"
                server.start()
                visits.proceed()
                recovery = _seconds(
                    lambda: visited_service.until(lambda: _shipped(url) > before, "nothing is shipped")
                )
            summary = visits.end()
        settings = shop_homes.settings(home, log=LogSettings(target="postgres", url=url))
        return Survived(summary, verdict(settings, visits.client_log), [recovery])


def _go_on_for(visits: visited_service.Visits, seconds: float) -> None:
    """So long, while users continue to be served."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        visits.proceed()
        time.sleep(1)


def _seconds(act: Callable[[], None]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


def _seconds_until(works: Callable[[], bool]) -> float:
    return _seconds(lambda: visited_service.until(works, "it does not recover"))


def fill_up(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def _send_feedback(service: visited_service.Service, number: int) -> httpx.Response:
    event = {"event_id": f"mine-{number}", "event_type": "view", "item_id": "i0000001", "user_id": "u0000001"}
    return service.post("/feedback", {"events": [event]})


def _reads_features(home: Path, service: visited_service.Service, user_id: str) -> bool:
    """Was anything known of the user when this list was made?"""
    request_id = service.recommend(user_id)["request_id"]
    found: list[Record] = []

    def logged() -> bool:
        record = find_request(home / "spool" / FILE_NAME, request_id)
        found.extend([] if record is None else [record])
        return bool(found)

    visited_service.until(logged, f"{request_id} is not logged")
    return any(value is not None for value in (found[0].features or {}).values())


@contextmanager
def _shipping(
    home: Path, more: Mapping[str, str], words: Sequence[str] = SHIP
) -> Iterator[subprocess.Popen[bytes]]:
    """A shipper at work."""
    with (home / "ship.log").open("ab") as log:
        process = subprocess.Popen(
            [*words, "--follow"],
            env=visited_service.environment(home, {"PYTHONPATH": str(ROOT / "tests"), **more}),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def _shipped(url: str) -> int:
    """Records in the database."""
    with psycopg2.connect(url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM log_records")
        (n,) = cursor.fetchone() or (0,)
    connection.close()
    return int(n)
