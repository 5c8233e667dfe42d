"""The watch's threads: channels that hang, a database that is away, two watchers, the dead man's switch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, update

from support.recording_channel import SENT, RecordingChannel
from support.small_disks import mounted
from support.watch_rules import A, machine, reading, small_rule
from support.watched_pages import watched_page
from tastemaker.notifications.notification import Delivery, Notification
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import watch_leases
from tastemaker.watch import records
from tastemaker.watch.archive import Archive
from tastemaker.watch.database_thread import DatabaseThread
from tastemaker.watch.delivery import Deliveries, occurred_at
from tastemaker.watch.heartbeat import Heartbeat
from tastemaker.watch.message import compose
from tastemaker.watch.outbox import Claim
from tastemaker.watch.routing import Routing
from tastemaker.watch.rows import utc_datetime
from tastemaker.watch.signed_links import SignedLinks
from tastemaker.watch.store import WatchStore

LINKS = SignedLinks("http://watch", b"k" * 32)
BOTH = Routing("test", {"page": ("hangs", "works")})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    yield engine
    engine.dispose()


def composed(record: records.IncidentRecord, claimed: Claim) -> Notification:
    return compose(
        record,
        claimed.event,
        delivery_id=claimed.delivery_id,
        occurred_at=occurred_at(claimed),
        value=None,
        settings=Settings(),
        links=LINKS,
    )


def database(engine: Engine, name: str = "first") -> DatabaseThread:
    return DatabaseThread(
        WatchStore(engine, name),
        BOTH,
        began=lambda states, incidents: None,
        ended=lambda: None,
        written=lambda: None,
        evaluated_at=lambda: None,
    )


def test_a_channel_that_hangs_delays_no_other_channel(engine: Engine) -> None:
    free = threading.Event()

    def hang(_: Notification) -> Delivery:
        free.wait(30)
        return SENT

    hanging, working = RecordingChannel("hangs", hang), RecordingChannel("works")
    deliveries = Deliveries(
        engine,
        {"hangs": hanging, "works": working},
        compose=composed,
        counted=lambda channel, outcome: None,
        timeouts={},
    )
    deliveries.start()
    one, store = machine(small_rule("slow"), routing=BOTH), WatchStore(engine, "first")
    store.write(one.step({"slow": reading([A])}, 1_900_000_000).copied())
    store.write(one.step({"slow": reading(quiet=[A])}, 1_900_000_005).copied())
    deliveries.wake()
    until = time.monotonic() + 20
    while (len(working.received()) < 2 or not hanging.attempts) and time.monotonic() < until:
        time.sleep(0.01)
    assert working.received() == [("trigger", 1), ("resolve", 1)]
    assert len(hanging.attempts) == 1
    free.set()
    deliveries.close()


def test_a_message_names_the_alerts_of_the_same_cause(engine: Engine) -> None:
    one, store = machine(small_rule("first"), small_rule("second")), WatchStore(engine, "first")
    store.write(one.step({"first": reading([A])}, 1_900_000_000).copied())
    store.write(one.step({"first": reading([A]), "second": reading([A])}, 1_900_000_005).copied())
    record = records.incident(engine, 1)
    message = compose(
        record,
        "reminder",
        delivery_id="x",
        occurred_at=record.opened_at,
        value=2.0,
        related=records.related(engine, 1),
        settings=Settings(),
        links=LINKS,
    )
    assert message.details == ("Related: second: 1 of a",)


def test_changes_wait_in_memory_while_the_database_is_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, one = database(engine), machine(small_rule("slow"))
    thread.work()
    assert thread.is_leader

    def fail(*_: object) -> None:
        raise OSError("gone")

    event.listen(engine, "before_cursor_execute", fail)
    thread.add(one.step({"slow": reading([A])}, 1_900_000_000))
    for now in (1_900_000_005, 1_900_000_010):
        with pytest.raises(OSError, match="gone"):
            thread.work()
        thread.add(one.step({"slow": reading(quiet=[A]) if now % 2 else reading([A])}, now))
    event.remove(engine, "before_cursor_execute", fail)
    assert thread.waiting > 0
    thread.work()
    assert thread.waiting == 0
    found = records.incidents(engine, only_open=False, days=3_000)
    assert [(record.number, record.state) for record in found] == [(2, "open"), (1, "over")]


def test_changes_of_a_watcher_that_lost_its_lease_are_dropped(engine: Engine) -> None:
    first, second, one = database(engine), database(engine, "second"), machine(small_rule("slow"))
    first.work()
    with engine.begin() as connection:
        connection.execute(update(watch_leases).values(expires_at=utc_datetime(0)))
    second.work()
    first.add(one.step({"slow": reading([A])}, 1_900_000_000))
    first.work()
    assert (first.is_leader, second.is_leader, first.waiting) == (False, True, 0)
    assert records.incidents(engine) == []


@pytest.mark.processes
def test_a_disk_that_is_full_loses_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "3m") as disk:
        engine = open_engine(f"sqlite:///{disk / 'watch.db'}")
        thread, rule = database(engine), small_rule("slow")
        one = machine(rule)
        thread.work()
        filling = disk / "filling"
        with filling.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4_096))
        many = [frozenset({("model", str(number))}) for number in range(150)]
        thread.add(one.step({"slow": reading(many)}, time.time()))
        with pytest.raises(Exception, match="full"):
            thread.work()
        thread.add(one.step({"slow": reading(quiet=many)}, time.time() + 5))
        filling.unlink()
        thread.work()
        found = records.incidents(engine, only_open=False)
        assert len(found) == 150
        assert all(record.state == "over" for record in found)
        engine.dispose()


def test_the_heartbeat_stops_while_there_is_trouble() -> None:
    with watched_page() as page:
        trouble: list[str] = []
        heartbeat = Heartbeat(f"{page.url}/beat", lambda: trouble[0] if trouble else None)
        heartbeat.beat()
        trouble.append("the database can't be used")
        heartbeat.beat()
        assert page.beats == 1
        trouble.clear()
        heartbeat.beat()
        assert page.beats == 2
    heartbeat.beat()  # an address that does not answer is logged


def test_samples_survive_a_restart(engine: Engine) -> None:
    start = 1_900_000_000.0 - 1_900_000_000 % 3_600
    labels = frozenset({("job", "shop")})

    def sample(minute: int) -> tuple[str, frozenset[tuple[str, str]], float, float | None]:
        return "b_total", labels, start + 60 * minute, None if minute == 50 else float(minute)

    first = Archive(engine, keep_seconds=7 * 86_400)
    first.add("http://a", [sample(minute) for minute in range(100)])
    first.write(start + 6_000)
    second = Archive(engine, keep_seconds=7 * 86_400)
    second.add("http://a", [sample(minute) for minute in range(100, 130)])
    second.write(start + 7_800)
    loaded = [
        one for _, samples in Archive(engine, keep_seconds=0).load("http://a", start) for one in samples
    ]
    assert loaded == [sample(minute)[2:] for minute in range(130)]
    week = start + 604_800
    second.read_far(["http://a"], [(604_800, 605_100)], week + 3_000)
    found = second.far("http://a", [(604_800, 605_100)], week + 3_000)
    times = [time for time, _ in found["b_total", labels]]
    assert times[0] <= start + 3_000 - 240
    assert start + 3_000 in times
    second.write(week + 86_400 * 8)
    assert list(second.load("http://a", 0)) == []
