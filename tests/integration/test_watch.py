"""The real watch process: each fault is one trigger and one resolve, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import postgres
from support.watched_pages import WatchedPage, WatchProcess, wait_until, watched_page
from tastemaker.storage.engine import open_engine
from tastemaker.watch import records

pytestmark = [pytest.mark.processes, pytest.mark.slow]
MODELS = "abcde"


@pytest.fixture
def page() -> Iterator[WatchedPage]:
    with watched_page() as found:
        found.gauges |= {f'tastemaker_fault{{model="{model}"}}': 0 for model in MODELS}
        yield found


def fault(page: WatchedPage, model: str, value: float) -> None:
    page.gauges[f'tastemaker_fault{{model="{model}"}}'] = value


def incidents(database_url: str, *, only_open: bool) -> list[records.IncidentRecord]:
    engine = open_engine(database_url)
    found = records.incidents(engine, only_open=only_open)
    engine.dispose()
    return found


def open_incidents(database_url: str) -> list[records.IncidentRecord]:
    return incidents(database_url, only_open=True)


def all_sent(page: WatchedPage, database_url: str) -> bool:
    """Whether there were incidents, all are over, and there came as many messages as they need."""
    found = incidents(database_url, only_open=False)
    is_over = all(one.closed_at is not None for one in found)
    return is_over and len(page.distinct()) >= 2 * len(found) > 0


def check_each_once(page: WatchedPage, database_url: str) -> None:
    """Each incident has one trigger and one resolve at the receiver, in that order for each key."""
    found = incidents(database_url, only_open=False)
    assert all(one.closed_at is not None for one in found)
    sent = [(one["event"], one["incident"]) for one in page.distinct()]
    expected = [(event, one.number) for one in found for event in ("trigger", "resolve")]
    assert sorted(sent) == sorted(expected)
    for key in {one["key"] for one in page.distinct()}:
        events = [one["event"] for one in page.distinct() if one["key"] == key]
        assert events == ["trigger", "resolve"] * (len(events) // 2)


def test_a_fault_is_one_trigger_and_one_resolve(page: WatchedPage, tmp_path: Path) -> None:
    with WatchProcess(tmp_path / "home", page) as watch:
        fault(page, "a", 1)
        page.gauges['tastemaker_echo{model="a"}'] = 1
        wait_until(lambda: page.counts() == {"trigger": 1}, 120, watch.log)
        (trigger,) = page.distinct()
        assert trigger["summary"] == "1 of a"
        assert trigger["labels"] == {"model": "a", "job": "tastemaker", "instance": page.url[7:]}
        fault(page, "a", 0)
        page.gauges['tastemaker_echo{model="a"}'] = 0
        wait_until(lambda: page.counts() == {"trigger": 1, "resolve": 1}, 120, watch.log)
        watch.kill(signal.SIGTERM)
        assert "Traceback" not in watch.log()


def test_kills_at_random_times_lose_and_double_nothing(page: WatchedPage, tmp_path: Path) -> None:
    rng = random.Random(os.environ.get("SEED", "7"))
    url = f"sqlite:///{tmp_path / 'home' / 'tastemaker.db'}"
    faults = 0
    with WatchProcess(tmp_path / "home", page) as watch:
        for _ in range(4):
            until = time.monotonic() + rng.uniform(3, 9)
            while time.monotonic() < until:
                model = rng.choice(MODELS)
                faults += 1
                fault(page, model, 1)
                time.sleep(rng.uniform(0, 1.5))
                fault(page, rng.choice(MODELS), 0)
            watch.kill()
            watch.start()
        for model in MODELS:
            fault(page, model, 0)

        wait_until(lambda: _evaluates(watch) is True and all_sent(page, url), 120, watch.log)
    check_each_once(page, url)
    assert faults > 5


def test_a_receiver_that_is_away_gets_everything_once_in_order(page: WatchedPage, tmp_path: Path) -> None:
    page.status, url = 500, f"sqlite:///{tmp_path / 'home' / 'tastemaker.db'}"
    with WatchProcess(tmp_path / "home", page) as watch:
        for _ in range(2):
            fault(page, "a", 1)
            wait_until(lambda: len(open_incidents(url)) == 1, 120, watch.log)
            fault(page, "a", 0)
            wait_until(lambda: not open_incidents(url), 120, watch.log)
        page.status = 202
        wait_until(lambda: page.counts() == {"trigger": 2, "resolve": 2}, 90, watch.log)
    check_each_once(page, url)


@pytest.mark.servers
def test_a_database_that_is_away_delays_messages_and_loses_none(page: WatchedPage, tmp_path: Path) -> None:
    with postgres() as (server, url):
        database_url = f"{url}/postgres"
        with WatchProcess(tmp_path / "home", page, database_url=database_url) as watch:
            fault(page, "a", 1)
            wait_until(lambda: page.counts() == {"trigger": 1}, 120, watch.log)
            server.stop()
            fault(page, "a", 0)
            fault(page, "b", 1)
            wait_until(
                lambda: "the database can't be used; evaluation continues" in watch.log(), 120, watch.log
            )
            time.sleep(5)
            fault(page, "b", 0)
            fault(page, "c", 1)
            time.sleep(3)
            assert page.counts() == {"trigger": 1}
            server.start()
            wait_until(lambda: page.counts() == {"trigger": 3, "resolve": 2}, 120, watch.log)
            fault(page, "c", 0)
            wait_until(lambda: page.counts() == {"trigger": 3, "resolve": 3}, 120, watch.log)
        check_each_once(page, database_url)


@pytest.mark.servers
def test_of_two_watches_one_evaluates_and_the_other_takes_over(
    page: WatchedPage, tmp_path: Path, postgres_url: str
) -> None:
    first = WatchProcess(tmp_path / "first", page, database_url=postgres_url)
    second = WatchProcess(tmp_path / "second", page, database_url=postgres_url)
    with first, second:
        fault(page, "a", 1)
        wait_until(lambda: page.counts() == {"trigger": 1}, 120, first.log)
        wait_until(lambda: {_evaluates(first), _evaluates(second)} == {False, True}, 120, first.log)
        (leader,) = [one for one in (first, second) if _evaluates(one)]
        other = second if leader is first else first
        leader.kill()
        fault(page, "a", 0)
        fault(page, "b", 1)
        wait_until(lambda: page.counts() == {"trigger": 2, "resolve": 1}, 120, other.log)
        fault(page, "b", 0)
        wait_until(lambda: page.counts() == {"trigger": 2, "resolve": 2}, 120, other.log)
        assert _evaluates(other)
    check_each_once(page, postgres_url)


def _evaluates(watch: WatchProcess) -> bool | None:
    """Whether it is the one of several that evaluates; None while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{watch.port}/healthz", timeout=5) as answer:
            found: bool = json.load(answer)["evaluates"]
            return found
    except OSError:
        return None
