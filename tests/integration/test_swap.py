"""A server that is asked all the time goes from version to version, and never fails to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from support import served_homes
from support.bento_servers import run, running
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.plugins import discovery
from tastemaker.registry import Registry, Version, deployment
from tastemaker.serving.build.precompute import precomputing
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.workflows.promotion_gate import PromotionGate

pytestmark = pytest.mark.servers

TIMEOUT_SECONDS = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of four versions of popularity, all sound."""
    home = tmp_path_factory.mktemp("swap") / "home"
    home.mkdir()
    served_homes.fill(Lake(home / "lake"), served_homes.events())
    return home


@pytest.fixture(scope="module")
def registry(home: Path) -> Registry:
    return Registry(open_engine(f"sqlite:///{home / 'tastemaker.db'}"), home / "artifacts")


@pytest.fixture(scope="module")
def versions(home: Path, registry: Registry) -> list[Version]:
    """The oldest first."""
    cut = Dataset.load(Lake(home / "lake"), served_homes.problem()).cut()
    model = discovery.get("popularity").recommender().fit(cut.training(0))
    return [
        registry.add(
            model,
            problem=served_homes.problem(),
            snapshot=cut.snapshot(),
            window=(cut.start, cut.end),
            counts={"events": 1, "users": 1, "items": 1},
            seed=seed,
            precompute=precomputing(Settings(home=home)),
        )
        for seed in range(4)
    ]


class Customer(threading.Thread):
    """Asks again and again, and remembers what came of it; it leaves the processors some time."""

    def __init__(self, url: httpx.URL) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.leave = threading.Event()
        self.answers: list[tuple[int, str, str | None]] = []
        """Status, version, and why it was not the model's."""

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self.leave.is_set():
                answer = client.post("/recommend", json={"user_id": "user-01", "k": 3})
                body = answer.json()
                self.answers.append((answer.status_code, body["version"], body["fallback"]))
                time.sleep(0.01)


BY_BENTOML = ("bentoml", "serve", "tastemaker_baselines.service:Popularity")


@contextmanager
def serving(
    home: Path, command: Sequence[str] = BY_BENTOML, **variables: str
) -> Iterator[tuple[httpx.Client, list[Customer]]]:
    """A server with one worker and two customers."""
    environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": str(home.parent / "bentoml"), **variables}
    with running(command, home.parent, environment) as client:
        customers = [Customer(client.base_url) for _ in range(2)]
        for customer in customers:
            customer.start()
        yield client, customers
        for customer in customers:
            customer.leave.set()
            customer.join()


def served(client: httpx.Client) -> str:
    """The version that answers now."""
    version: str = client.get("/readyz").json()["version"]
    return version


def serves(client: httpx.Client, version: Version) -> bool:
    """Whether this version answers now."""
    return served(client) == version.id


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_swaps_and_refusals_under_constant_requests(
    home: Path, registry: Registry, versions: list[Version]
) -> None:
    first, second, corrupt, newest = versions
    damaged = corrupt.folder / "serving" / "lists.npy"
    content = damaged.read_bytes()
    with serving(home) as (client, customers):
        assert served(client) == newest.id, "where nothing is deployed"
        for version in (first, second, first):  # there, and back again
            done = run(["tastemaker", "models", "deploy", version.id], home, {"TASTEMAKER_HOME": str(home)})
            assert (done.returncode, done.stdout) == (0, f"deployed: popularity {version.id}\n"), done.stderr
            wait_for(partial(serves, client, version))
        damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        deployment.deploy(registry.artifacts, "popularity", corrupt.id, "small shop")
        refused = 'tastemaker_swaps_total{model="popularity",outcome="refused"} 1.0'
        wait_for(lambda: refused in client.get("/metrics").text)
        assert served(client) == first.id
        deployment.path_of(registry.artifacts, "popularity").write_text("{")
        PromotionGate(registry).promote(second.id, force_reason="a test")
        wait_for(partial(serves, client, second))
        PromotionGate(registry).promote(newest.id, force_reason="a test")
        wait_for(partial(serves, client, newest))
        registry.rollback("small shop", "a test")
        wait_for(partial(serves, client, second))
        page = client.get("/metrics").text
        assert f'tastemaker_served_version_info{{model="popularity",version="{second.id}"}} 1.0' in page
        assert page.count("tastemaker_served_version_info{") == 1
    answers = [answer for customer in customers for answer in customer.answers]
    assert len(answers) > 100
    assert {(status, reason) for status, _, reason in answers} == {(200, None)}
    assert {version for _, version, _ in answers} == {first.id, second.id, newest.id}
    (log,) = home.parent.glob("server-*.log")
    assert f"version {corrupt.id} is refused, the old one stays: lists.npy" in log.read_text()


def test_a_server_starts_with_what_is_deployed_unless_that_is_damaged(
    home: Path, registry: Registry, versions: list[Version]
) -> None:
    first, _, corrupt, newest = versions
    registry.deploy(first)
    with serving(home) as (client, _):
        assert served(client) == first.id
    damaged = corrupt.folder / "serving" / "lists.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    deployment.deploy(registry.artifacts, "popularity", corrupt.id, "small shop")
    with serving(home) as (client, _):
        assert served(client) == newest.id


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_pinned_service_keeps_its_version_while_others_are_promoted(
    home: Path, registry: Registry, versions: list[Version], by_variable: bool
) -> None:
    pinned, second, _, newest = versions
    registry.deploy(second)
    command: Sequence[str] = BY_BENTOML
    variables = {"BENTOML_HOME": str(home.parent / "bentoml_of_pinned")}
    if by_variable:
        variables["TASTEMAKER_VERSION"] = pinned.id
    else:
        command = ["tastemaker", "serve", f"popularity@{pinned.id}"]
    others = set(home.parent.glob("server-*.log"))
    with serving(home, command, **variables) as (client, customers), serving(home) as (follower, _):
        assert serves(follower, second)
        PromotionGate(registry).promote(newest.id, force_reason="a test")
        wait_for(partial(serves, follower, newest))
        promoted_at = len(customers[0].answers)
        wait_for(lambda: len(customers[0].answers) > promoted_at + 100)
        ready = client.get("/readyz").json()
        assert (ready["version"], ready["pinned"], ready.get("wanted")) == (pinned.id, True, None)
        assert ready["degraded"] == []
        assert follower.get("/readyz").json()["pinned"] is False
        assert "no deployment replaces this version" in client.get("/").text
        assert "tastemaker_version_differs 0.0" in client.get("/metrics").text
    answers = [answer for customer in customers for answer in customer.answers]
    assert {(status, version, reason) for status, version, reason in answers} == {(200, pinned.id, None)}
    logs = "".join(log.read_text() for log in set(home.parent.glob("server-*.log")) - others)
    assert logs.count(f"popularity {pinned.id} is pinned by TASTEMAKER_VERSION") == 1


def test_a_pinned_service_does_not_start_with_another_version(
    home: Path, registry: Registry, versions: list[Version]
) -> None:
    pinned, newest = versions[1], versions[3]
    registry.deploy(newest)
    damaged = pinned.folder / "serving" / "lists.npy"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": str(home.parent / "bentoml")}
    try:
        done = run(BY_BENTOML, home.parent, environment | {"TASTEMAKER_VERSION": pinned.id})
        assert done.returncode != 0
        assert "lists.npy" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        damaged.write_bytes(content)


def test_the_champions_service_can_not_be_pinned(home: Path) -> None:
    environment = {
        "TASTEMAKER_HOME": str(home),
        "BENTOML_HOME": str(home.parent / "bentoml"),
        "TASTEMAKER_VERSION": "20200101-none",
    }
    service = "tastemaker.serving.champion_service:Champion"
    done = run(["bentoml", "serve", service], home.parent, environment)
    assert done.returncode != 0
    assert "this service follows the champion of any model" in done.stderr
    assert "fix: serve a version of one model: tastemaker serve MODEL@VERSION" in done.stderr
    assert "Traceback" not in done.stderr
