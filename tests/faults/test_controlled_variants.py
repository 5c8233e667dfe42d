"""Harm to the services and the plan of a real controller with two workers, while users ask for lists.

Control is a pinned service that the controller starts; the variant is a process of the test, which is up
again shortly after each kill. All tests have the same server, which takes seconds to start.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from support import bento_servers, scripted_service, served_homes
from support.bento_servers import Started
from support.experiment_plans import ROUTED, experiment, plan_of
from support.servers import free_port
from tastemaker.event_log import spool_file
from tastemaker.experiments.plan import ControlPlan, PinnedService
from tastemaker.experiments.plan_file import write_plan
from tastemaker.experiments.tripped import TrippedExperiment

pytestmark = pytest.mark.servers

KILLS = 20
STATIC = ("item-00", "item-01")
USERS = [f"user-{number:02d}" for number in range(40)]
KILL_SECONDS, TRIP_SECONDS = 2.0, 2.0
"""Within which all workers act by a plan, and by a trip of one of them."""
BUSY_SECONDS = 60.0
"""For what is only waited for, on a machine that has other things to do."""


class Variant:
    """The process of the variant."""

    def __init__(self) -> None:
        self.port, self.version = free_port(), "v2"
        self.process = self._started()

    def kill(self) -> None:
        """Kill it as it is, in the middle of its requests."""
        self.process.kill()
        self.process.wait()

    def start(self, version: str = "v2") -> None:
        """Start it, with a version."""
        self.version = version
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        script = scripted_service.__file__
        return subprocess.Popen([sys.executable, script, str(self.port), self.version])


class World:
    """A controller that runs."""

    def __init__(self, home: Path, plan: ControlPlan, variant: Variant, server: Started) -> None:
        self.home, self.plan, self.variant, self.server = home, plan, variant, server
        self.epoch = 0

    def put(self, **changed: Any) -> None:
        """Put a changed experiment into the plan."""
        plan = plan_of(
            experiment("ranker", variants=ROUTED, epoch=self.epoch, **changed),
            default="champion",
            services=self.plan.services,
        )
        write_plan(self.home / "experiments" / "plan.json", plan)

    def renew(self) -> None:
        """Begin an epoch, in which the variant has its traffic whatever happened to it, and wait for it."""
        self.epoch += 1
        self.put()
        self.until(lambda: "v2" in self.versions(users=USERS[:8]), BUSY_SECONDS, "the variant has no traffic")

    def versions(self, *, users: list[str] = USERS) -> set[str]:
        """The versions of all users' lists, each asked on a connection of its own."""
        found = set()
        for user in users:
            reply = httpx.post(f"{self.server.url}/recommend", json={"user_id": user, "k": 1}, timeout=10)
            found.add(reply.raise_for_status().json()["version"])
        return found

    def tripped(self) -> set[str]:
        """The variants that lost their traffic in this epoch."""
        path = self.home / "experiments" / "tripped" / "ranker.json"
        if not path.exists():
            return set()
        found = msgspec.json.decode(path.read_bytes(), type=TrippedExperiment)
        return set(found.trips) if found.epoch == self.epoch else set()

    def ready(self) -> dict[str, Any]:
        """What a worker says of itself."""
        found: dict[str, Any] = httpx.get(f"{self.server.url}/readyz", timeout=10).json()
        return found

    def all_up(self) -> bool:
        """Whether all services answer, as each worker sees it."""
        return all(one["up"] for _ in range(8) for one in self.ready()["services"])

    @property
    def control(self) -> PinnedService:
        return self.plan.services[0]

    def until(self, holds: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait; return how long it took."""
        start = time.monotonic()
        while not holds():
            assert time.monotonic() - start < seconds, (
                f"{what} after {seconds} s:\n{self.server.log.read_text()}"
            )
            time.sleep(0.05)
        return time.monotonic() - start


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller in front of both, once both answer."""
    home = tmp_path_factory.mktemp("h")
    version = served_homes.make_home(home)["popularity"]
    variant = Variant()
    services = (
        PinnedService("champion", "popularity", version.id, f"unix:{home}/experiments/sockets/c.sock"),
        PinnedService("challenger", "scripted", "v2", f"http://127.0.0.1:{variant.port}"),
    )
    plan = plan_of(experiment("ranker", variants=ROUTED), default="champion", services=services)
    write_plan(home / "experiments" / "plan.json", plan)
    problem = home / "problem.yaml"  # JSON is YAML; the guard reads it
    problem.write_text(served_homes.problem().model_dump_json(exclude_defaults=True), "utf-8")
    environment = {
        "TASTEMAKER_HOME": str(home),
        "TASTEMAKER_PROBLEM": str(problem),
        "TASTEMAKER_SERVING__STATIC_ITEMS": json.dumps(STATIC),
    }
    try:
        command = ("tastemaker", "control", "--workers", "2")
        with bento_servers.started(command, home, environment) as server:
            found = World(home, plan, variant, server)
            server.workers(2)
            found.until(lambda: found.versions() == {version.id, "v2"}, BUSY_SECONDS, "not both answer")
            yield found
    finally:
        variant.kill()


class ShopUsers(threading.Thread):
    """Asks for lists of one user after the other, until it is stopped; it leaves the processors some time."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.stopping = url, threading.Event()
        self.lists: list[dict[str, Any]] = []
        self.failures: list[Exception] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            while not self.stopping.is_set():
                for user in USERS:
                    try:
                        reply = client.post("/recommend", json={"user_id": user, "k": 1})
                        self.lists.append(reply.raise_for_status().json())
                    except (httpx.HTTPError, ValueError) as failure:
                        self.failures.append(failure)
                    time.sleep(0.01)


def test_twenty_kills_of_a_variant_lose_no_list(world: World) -> None:
    shoppers = [ShopUsers(world.server.url) for _ in range(4)]
    for one in shoppers:
        one.start()
    for _ in range(KILLS):
        world.variant.kill()
        world.variant.start()
        world.renew()
    for one in shoppers:
        one.stopping.set()
        one.join(10)
    lists = [each for one in shoppers for each in one.lists]
    assert [failure for one in shoppers for failure in one.failures] == []
    assert all(one["items"] for one in lists)
    assert {one["version"] for one in lists} == {world.control.version, "v2"}
    own = [one["request_id"] for one in lists if one["version"] == world.control.version]
    assert len(set(own)) == len(own)
    logged = world.home / "spool" / spool_file.FILE_NAME
    records = [spool_file.find_request(logged, one) for one in own]
    assert all(record is not None for record in records)
    fallen = [
        one
        for one in records
        if one is not None and one.assignment is not None and one.assignment.variant == "treatment"
    ]
    assert fallen, "some kills hit requests, which are booked as assigned and as served by control"
    assert all(one.assignment is not None and one.assignment.served == "control" for one in fallen)


def test_a_kill_acts_in_both_workers_within_two_seconds(world: World) -> None:
    world.put(killed=True)
    time.sleep(KILL_SECONDS)
    # 40 users, each on a connection of its own: both workers are asked.
    assert world.versions() == {world.control.version}
    world.put()
    world.until(lambda: "v2" in world.versions(), BUSY_SECONDS, "not assigned again")


def test_half_a_plan_changes_nothing(world: World) -> None:
    path = world.home / "experiments" / "plan.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    world.until(
        lambda: any(one.startswith("plan: ") for one in world.ready()["degraded"]),
        BUSY_SECONDS,
        "it is not said",
    )
    assert world.versions() == {world.control.version, "v2"}
    path.write_bytes(whole)
    world.until(lambda: not world.ready()["degraded"], BUSY_SECONDS, "it is still said")


def test_a_variant_that_serves_another_version_is_counted_and_named(world: World) -> None:
    world.variant.kill()
    world.variant.start("v3")
    world.until(lambda: "v3" in world.versions(), BUSY_SECONDS, "the variant is not back")
    page = httpx.get(f"{world.server.url}/metrics", timeout=10).text
    (line,) = (
        one
        for one in page.splitlines()
        if one.startswith("tastemaker_control_wrong_versions_total{") and 'service="challenger"' in one
    )
    assert float(line.rpartition(" ")[2]) > 0
    world.until(
        lambda: any("challenger answers with version v3" in one for one in world.ready()["degraded"]),
        BUSY_SECONDS,
        "it is not said",
    )
    world.variant.kill()
    world.variant.start()
    world.renew()


def test_a_dead_variant_loses_its_traffic_and_does_not_get_it_back(world: World) -> None:
    world.variant.kill()
    world.until(lambda: world.tripped() == {"treatment"}, BUSY_SECONDS, "not tripped")
    world.variant.start()
    world.until(world.all_up, BUSY_SECONDS, "the variant is not back")
    time.sleep(TRIP_SECONDS)
    assert world.versions() == {world.control.version}, "in both workers, until there is a new epoch"
    world.renew()


def test_control_that_is_killed_is_started_again_and_users_get_lists_meanwhile(world: World) -> None:
    (server,) = (one for one in world.server.children() if "popularity" in " ".join(one.cmdline()).lower())
    processes = [server, *server.children()]
    server.send_signal(signal.SIGKILL)
    assert world.versions() <= {"none", "v2", world.control.version}
    psutil.wait_procs(processes, timeout=10)
    world.until(lambda: world.control.version in world.versions(), BUSY_SECONDS, "control is not back")


def test_a_service_whose_version_is_gone_takes_no_user_with_it(world: World) -> None:
    address = f"unix:{world.home}/experiments/sockets/g.sock"
    gone = PinnedService("gone", "popularity", "20200101-000000-000000-000000000000", address)
    variants = (ROUTED[0], msgspec.structs.replace(ROUTED[1], service="gone"))
    plan = plan_of(
        experiment("ranker", variants=variants, epoch=world.epoch + 1),
        default="champion",
        services=(world.control, gone),
    )
    write_plan(world.home / "experiments" / "plan.json", plan)
    world.until(lambda: world.versions() == {world.control.version}, BUSY_SECONDS, "not all get control")
    services = {one["name"]: one["up"] for one in world.ready()["services"]}
    assert services == {"champion": True, "gone": False}
