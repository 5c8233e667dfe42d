"""kill -9 of a worker and of the server, as `tastemaker serve` and `bentoml serve` run them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest

from support import bento_servers, served_homes, visited_service

REPLACED = "another starts"
"""What the log says of a worker that ended."""
COMMANDS = {
    "tastemaker": ("tastemaker", "serve", "popularity", "--workers", "2"),
    "bentoml": ("bentoml", "serve", "tastemaker_baselines.service:Popularity"),
}
"""With two workers each: BentoML reads the number from its configuration."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a version."""
    served_homes.make_home(tmp_path / "home")
    return tmp_path / "home"


def environment(home: Path) -> dict[str, str]:
    """For the service of that home."""
    return {
        "TASTEMAKER_HOME": str(home),
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_CONFIG_OPTIONS": "services.popularity.workers=2",
    }


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_workers_end_with_their_server_and_the_port_is_free_at_once(
    home: Path, command: Sequence[str]
) -> None:
    with bento_servers.started(command, home, environment(home)) as server:
        workers = server.workers(2)
        folder = Path(workers[0].environ()["TASTEMAKER_METRICS_FOLDER"])
        assert folder.is_dir()
        server.process.kill()
        gone, alive = psutil.wait_procs(workers, timeout=30)
        assert not alive
        assert len(gone) == 2
        assert not folder.exists(), "what they shared is cleared away"
        with bento_servers.started(command, home, environment(home), port=server.port) as again:
            assert again.client.post("/recommend", json={"user_id": "user-01"}).status_code == 200


def test_a_worker_that_is_loading_ends_with_its_server_too(home: Path) -> None:
    with bento_servers.started(COMMANDS["tastemaker"], home, environment(home), ready=False) as server:
        visited_service.until(lambda: len(server.children()) == 2, "no workers are started")
        workers = server.children()
        server.process.kill()
        assert not psutil.wait_procs(workers, timeout=60)[1]


class Caller(threading.Thread):
    """Asks for lists again and again, on a connection that is kept; it leaves the processors some time."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.ending = url, threading.Event()
        self.statuses: list[int] = []
        self.failures: list[httpx.TransportError] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.ending.is_set():
                try:
                    status = client.post("/recommend", json={"user_id": "user-01", "k": 5}).status_code
                    self.statuses.append(status)
                except httpx.TransportError as failure:
                    self.failures.append(failure)
                time.sleep(0.01)


@contextmanager
def calling(url: str, n: int) -> Iterator[list[Caller]]:
    """So many at a time, until the block ends."""
    callers = [Caller(url) for _ in range(n)]
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.ending.set()
            caller.join(60)


def degraded(server: bento_servers.Started) -> list[str]:
    """What one of the workers says does not work, asked on a connection of its own."""
    while True:
        with suppress(httpx.TransportError):  # it was the one that was killed
            found: list[str] = httpx.get(f"{server.url}/readyz", timeout=60).json()["degraded"]
            return found


def test_a_killed_worker_is_replaced_and_fails_no_request_but_those_that_it_had(home: Path) -> None:
    with bento_servers.started(COMMANDS["tastemaker"], home, environment(home)) as server:
        before = server.workers(2)
        with calling(server.url, 6) as callers:
            visited_service.until(lambda: all(len(caller.statuses) > 20 for caller in callers), "no answers")
            before[0].kill()
            words = ["workers: 1 of 2 workers ended and restarted"]
            visited_service.until(lambda: degraded(server) == words, "it is not said that a worker is away")
            visited_service.until(lambda: degraded(server) == [], "it stays away")
            served = [len(caller.statuses) for caller in callers]
            visited_service.until(
                lambda: all(len(one.statuses) > n + 20 for one, n in zip(callers, served, strict=True)),
                "a caller is answered no more",
            )
        visited_service.until(
            lambda: "in the place of" in server.log.read_text(), "the worker does not say it"
        )
        after = server.children()
        said = [json.loads(line)["event"] for line in server.log.read_text().splitlines() if line[0] == "{"]
    assert before[1] in after
    assert len(set(after) - set(before)) == 1
    assert {status for caller in callers for status in caller.statuses} == {200}
    assert all(len(caller.failures) <= 1 for caller in callers), "each had one request at a time"
    (killed,) = (event for event in said if "SIGKILL" in event)
    (back,) = (event for event in said if "in the place of" in event)
    assert re.fullmatch(rf"worker [12] \(process {before[0].pid}\) was killed by SIGKILL; .*", killed)
    assert back.partition(" (")[0] == killed.partition(" (")[0]


def test_workers_that_end_before_they_serve_are_not_started_without_a_pause(home: Path) -> None:
    with bento_servers.started(COMMANDS["tastemaker"], home, environment(home)) as server:
        server.workers(2)
        shutil.rmtree(home / "artifacts")
        server.children()[0].kill()
        visited_service.until(lambda: server.log.read_text().count(REPLACED) >= 3, "none is started again")
        timestamps = [
            datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
            for line in server.log.read_text().splitlines()
            if REPLACED in line
        ]
        assert degraded(server) == ["workers: 1 of 2 workers ended and restarted"]
        assert server.client.post("/recommend", json={"user_id": "user-01"}).json()["stage"] == "model"
    assert timestamps[2] - timestamps[1] > 1, "one that failed at once is followed by a pause"


def test_a_server_that_is_asked_to_end_says_nothing_of_killed_workers(home: Path) -> None:
    with bento_servers.started(COMMANDS["tastemaker"], home, environment(home)) as server:
        workers = server.workers(2)
        server.process.send_signal(signal.SIGTERM)
        assert not psutil.wait_procs([psutil.Process(server.process.pid), *workers], timeout=60)[1]
        assert REPLACED not in server.log.read_text()
