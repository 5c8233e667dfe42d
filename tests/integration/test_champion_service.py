"""A service that follows the champion over families of models, and never fails to answer."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support import shop_homes
from support.bento_servers import run, running
from support.home_copies import copy_home
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.event_log.drain import drain, read_log
from tastemaker.plugins import discovery
from tastemaker.problem import load_problem
from tastemaker.registry import Registry, Version, deployment
from tastemaker.serving.build.precompute import precomputing
from tastemaker.serving.runtime.running_services import running as services_of
from tastemaker.settings import OnlineStoreSettings, Settings
from tastemaker.storage.engine import open_engine

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast imports deprecated modules
]

TIMEOUT_SECONDS = 120
PROBLEM = "visited shop"
SLOW = {"TASTEMAKER_SERVING__MODEL_TIMEOUT_SECONDS": "10", "TASTEMAKER_LEARNING__POLL_SECONDS": "0.5"}
"""The deadline is for a model of one's own machine; this one is shared."""


class Home:
    """A home with a version each of popularity, ials, ranker and thompson, and no champion."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ranker = shop_homes.make_ranker_home(folder, OnlineStoreSettings())
        self.settings = Settings(home=folder, problem=folder / "problem.yaml")
        dataset = Dataset.load(Lake(folder / "lake"), load_problem(folder / "problem.yaml"))
        self.versions = {"ranker": ranker} | {
            name: self._add(dataset, name) for name in ("popularity", "ials", "thompson")
        }

    @property
    def registry(self) -> Registry:
        return Registry(open_engine(self.settings.metadata_url), self.settings.artifacts)

    @property
    def champion_file(self) -> Path:
        return deployment.champion_path(self.settings.artifacts, PROBLEM)

    def tastemaker(self, *words: str) -> str:
        """What a command says."""
        done = run(["tastemaker", *words], self.folder, shop_homes.environment(self.folder))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def promote(self, model: str) -> str:
        return self.tastemaker("models", "promote", self.versions[model].id, "--force", f"{model} is tried")

    def _add(self, dataset: Dataset, name: str) -> Version:
        cut = dataset.cut()
        return self.registry.add(
            discovery.get(name).recommender().fit(cut.training(0)),
            problem=dataset.problem,
            snapshot=cut.serving_snapshot,
            window=(cut.start, cut.end),
            counts={"events": 1, "users": 1, "items": 1},
            seed=0,
            precompute=precomputing(self.settings),
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("champion") / "home")


@pytest.fixture
def home(whole: Home, tmp_path: Path) -> Home:
    """A copy of it."""
    copied = tmp_path / "home"
    copy_home(whole.folder, copied)
    made = object.__new__(Home)
    made.folder, made.versions = copied, whole.versions
    made.settings = Settings(home=copied, problem=copied / "problem.yaml")
    return made


class Customer(threading.Thread):
    """Asks again and again, and remembers what came of it; it leaves the processors some time."""

    def __init__(self, url: httpx.URL, name: str) -> None:
        super().__init__(daemon=True)
        self._url, self._name = url, name
        self.leave = threading.Event()
        self.answers: list[tuple[int, dict[str, Any]]] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self.leave.is_set():
                body = {"user_id": f"u000{len(self.answers) % 1_000:04d}", "k": 5}
                answer = client.post("/recommend", json=body)
                self.answers.append((answer.status_code, answer.json()))
                time.sleep(0.01)


@contextmanager
def serving(home: Home, *words: str, workers: int = 1, **more: str) -> Iterator[httpx.Client]:
    """`tastemaker serve`."""
    environment = shop_homes.environment(home.folder) | SLOW | more
    with running(["tastemaker", "serve", *words, "--workers", str(workers)], home.folder, environment) as one:
        yield one


@contextmanager
def asked(client: httpx.Client) -> Iterator[list[Customer]]:
    customers = [Customer(client.base_url, f"user-{number}") for number in range(2)]
    for customer in customers:
        customer.start()
    yield customers
    for customer in customers:
        customer.leave.set()
        customer.join()


def ready(client: httpx.Client, times: int = 1) -> list[dict[str, Any]]:
    """The answers to `times` connections, between which the workers take turns."""
    return [httpx.get(client.base_url.join("/readyz"), timeout=60).json() for _ in range(times)]


def all_serve(client: httpx.Client, version: Version, times: int) -> bool:
    """Whether every worker serves this version, is asked to, and is well."""
    wanted = {"model": version.model, "version": version.id}
    expected = {"status": "ready", "degraded": [], "pinned": False, **wanted, "wanted": wanted}
    return all(one == expected for one in ready(client, times))


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def log_of(home: Home) -> str:
    return "".join(path.read_text() for path in home.folder.glob("server-*.log"))


def test_two_workers_follow_the_champion_over_families_under_traffic(home: Home) -> None:
    order = ("ials", "ranker", "thompson")
    with serving(home, workers=2) as client, asked(client) as customers:
        (first,) = ready(client)
        assert (first["model"], first["degraded"], "wanted" in first) == ("popularity", [], False)
        for model in order:
            said = home.promote(model)
            assert "switches: the service that follows the champion on http://127.0.0.1:" in said
            wait_for(partial(all_serve, client, home.versions[model], 12), f"{model} is not served")
            wait_for(lambda: "tastemaker_version_differs 0.0" in client.get("/metrics").text, "a gauge stays")
            page = client.get("/metrics").text
            version = home.versions[model].id
            for name in ("tastemaker_served_version_info", "tastemaker_wanted_version_info"):
                assert f'{name}{{model="{model}",version="{version}"}} 1.0' in page
                assert page.count(f"{name}{{") == 1, "of all workers, now"
        for model in ("ranker", "ials"):
            home.tastemaker("models", "rollback", "--reason", "a test")
            wait_for(partial(all_serve, client, home.versions[model], 12), f"{model} is not served again")
        time.sleep(1)
    answers = [answer for customer in customers for answer in customer.answers]
    assert {status for status, _ in answers} == {200}
    assert {body["model"] for _, body in answers} == {"popularity", *order}
    assert {body["fallback"] for _, body in answers} == {None}
    log = log_of(home)
    for model in order:
        said_by = log.count(f"version {home.versions[model].id} of {model} is served now")
        assert said_by == (2 if model == "thompson" else 4), "once a worker and transition"
    drain(home.settings.spool, Lake(home.folder / "lake"))
    logged = {row["request_id"]: row for row in read_log(Lake(home.folder / "lake")).to_pylist()}
    for _, body in answers:
        row = logged[body["request_id"]]
        assert (row["model"], row["version"]) == (body["model"], body["version"])
    read = [row["features"] for row in logged.values() if row["model"] == "ranker"]
    assert any(value is not None for one in read for value in json.loads(one).values())


def test_a_restart_begins_with_the_champion_and_so_does_a_worker_that_was_killed(home: Home) -> None:
    home.promote("ials")
    with serving(home, workers=2) as client:
        assert all_serve(client, home.versions["ials"], 6)
        home.promote("ranker")
        wait_for(partial(all_serve, client, home.versions["ranker"], 12), "the ranker is not served")
        home.champion_file.write_text('{"model": "ia')
        for worker in workers_of(home):
            worker.kill()
        wait_for(lambda: steady(client), "no worker came back")
        for said in ready(client, 6):
            assert said["model"] == "ranker", "the last good one"
        # While the other worker is not back, the one that is back says that, too.
        wait_for(lambda: all(len(one["degraded"]) == 1 for one in ready(client, 6)), "it never says so")
        for said in ready(client, 6):
            (trouble,) = said["degraded"]
            assert f"{home.champion_file} can't be read" in trouble
    with serving(home) as client:  # the database knows
        wait_for(partial(all_serve, client, home.versions["ranker"], 1), "the file is not rebuilt")


def workers_of(home: Home) -> list[psutil.Process]:
    (service,) = services_of(home.folder)
    children = psutil.Process(service.process).children(recursive=True)
    return [one for one in children if "_bentoml_impl.worker.service" in " ".join(one.cmdline())]


def steady(client: httpx.Client) -> bool:
    try:
        return len(ready(client, 6)) == 6
    except (httpx.TransportError, KeyError):
        return False


def test_what_can_not_be_loaded_is_refused_and_the_old_one_serves_on(home: Home) -> None:
    ials, thompson = home.versions["ials"], home.versions["thompson"]
    home.promote("ials")
    with serving(home) as client, asked(client) as customers:
        folder = home.settings.artifacts / "thompson" / thompson.id
        hidden = folder.with_name("hidden")
        named = deployment.Champion("thompson", thompson.id, PROBLEM, time.time())
        folder.rename(hidden)
        deployment.deploy_champion(home.settings.artifacts, named)
        wait_for(lambda: ready(client)[0]["degraded"] != [], "it never says that it was refused")
        time.sleep(3)
        (said,) = ready(client)
        assert (said["model"], said["version"]) == ("ials", ials.id)
        assert said["wanted"] == {"model": "thompson", "version": thompson.id}
        (trouble,) = said["degraded"]
        assert trouble.startswith(f"version: thompson {thompson.id} is wanted and was refused: ")
        assert trouble.endswith(f"; ials {ials.id} is served")
        page = client.get("/metrics").text
        assert 'tastemaker_swaps_total{model="thompson",outcome="refused"} 1.0' in page
        assert "tastemaker_version_differs 1.0" in page
        for damaged in (b"", b"{", b'{"model": "ials"}', os.urandom(200)):
            home.champion_file.write_bytes(damaged)
            time.sleep(1.5)
            wait_for(lambda: "can't be read" in ready(client)[0]["degraded"][0], "it never says so")
            (said,) = ready(client)
            assert (said["version"], said["wanted"]["version"]) == (ials.id, thompson.id)
        hidden.rename(folder)
        deployment.deploy_champion(home.settings.artifacts, named)
        wait_for(partial(all_serve, client, thompson, 1), "it is not tried again")
    assert {status for one in customers for status, _ in one.answers} == {200}
    assert log_of(home).count(f"version {thompson.id} is refused, the old one stays") == 1
    model = home.settings.artifacts / "thompson" / thompson.id / "model"
    for path in model.iterdir():
        path.write_bytes(b"")
    with serving(home) as client:  # started while what is wanted is damaged: the champion before it
        pass


def test_a_service_of_one_model_says_that_it_does_not_follow(home: Home) -> None:
    with serving(home, "popularity") as client:
        said = home.promote("ials")
        assert "does not switch: the service of popularity on http://127.0.0.1:" in said
        time.sleep(3)
        assert ready(client)[0]["model"] == "popularity"
        said = home.promote("popularity")
        assert "switches: the service of popularity on http://127.0.0.1:" in said
        wait_for(partial(all_serve, client, home.versions["popularity"], 1), "it is not served")
    said = home.tastemaker("models", "rollback", "--reason", "a test")
    assert "no service of this home folder runs on this machine" in said


def test_what_was_learned_is_served_with_the_model_that_learned_it(home: Home) -> None:
    """A bandit that becomes champion learns; the model before it has nothing to learn, and says nothing."""
    home.promote("ials")
    with serving(home) as client:
        assert lag(client, "ials") == 0
        home.promote("thompson")
        wait_for(partial(all_serve, client, home.versions["thompson"], 1), "the bandit is not served")
        client.post("/recommend", json={"user_id": "u0000001", "k": 5})
        wait_for(lambda: lag(client, "thompson") > 1, "it learns nothing")
        home.promote("ials")
        wait_for(partial(all_serve, client, home.versions["ials"], 1), "ials is not served")
        assert lag(client, "thompson") == 0


def lag(client: httpx.Client, model: str) -> float:
    name = f'tastemaker_learning_lag_seconds{{model="{model}"}} '
    found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(found[0].removeprefix(name)) if found else 0.0
