"""Each fault of a running service is in its log once when it begins and once when it is over.

Meanwhile /readyz names it with its reason, and so does the metric, with two real workers each.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import bento_servers, served_homes, servers, shop_homes, visited_service
from tastemaker.registry import Version, deployment
from tastemaker.serving.runtime.metrics import REASONS
from tastemaker.settings import OnlineStoreSettings
from tastemaker.storage.engine import open_engine
from tastemaker.util.beat_file import FILE_NAME, write_beat

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast imports deprecated modules
]

WORKERS = 2
OFTEN = 6
"""Connections of their own, so that each of the workers is asked."""


class Running(NamedTuple):
    """A server that is asked on new connections, so that both workers are."""

    server: bento_servers.Started

    def degraded(self) -> list[set[str]]:
        """What the workers say does not work, whichever answer."""
        found = list[set[str]]()
        while len(found) < OFTEN:
            with suppress(httpx.TransportError):  # it was the one that was killed
                found.append(set(httpx.get(f"{self.server.url}/readyz", timeout=60).json()["degraded"]))
        return found

    def metrics(self) -> dict[str, float]:
        """What one of them exports, of all."""
        return {
            f"{sample.name}{''.join(value for _, value in sorted(sample.labels.items()))}": sample.value
            for family in text_string_to_metric_families(httpx.get(f"{self.server.url}/metrics").text)
            for sample in family.samples
        }

    def reasons(self) -> set[str]:
        """What does not work, by the metric."""
        found = self.metrics()
        return {reason for reason in REASONS if found[f"tastemaker_degraded{reason}"]}

    def ask(self) -> None:
        """Ask for lists; which worker answers is up to the system."""
        for _ in range(OFTEN):
            body = {"user_id": "u0000001", "k": 5}
            assert httpx.post(f"{self.server.url}/recommend", json=body, timeout=60).status_code == 200

    def said(self, *words: str) -> int:
        """Lines of the log that hold all of the words."""
        lines = self.server.log.read_text().splitlines()
        return sum(all(word in line for word in words) for line in lines if line.startswith("{"))

    def says(self, words: str, times: int, more: str, of_those: int) -> None:
        """Each worker that is asked says it, as often and no more."""
        end = time.monotonic() + visited_service.START_SECONDS
        while (found := (self.said(words), self.said(words, more))) != (times, of_those):
            assert time.monotonic() < end, found
            self.ask()
            time.sleep(0.1)


@contextmanager
def serving(home: Path, *words: str, **more: str) -> Iterator[Running]:
    """`tastemaker serve` with two workers, all well."""
    environment = shop_homes.environment(home) if (home / "problem.yaml").exists() else {}
    environment |= {"TASTEMAKER_HOME": str(home), "TASTEMAKER_SERVING__MODEL_TIMEOUT_SECONDS": "10", **more}
    command = ("tastemaker", "serve", *words, "--workers", str(WORKERS))
    with bento_servers.started(command, home, environment) as server:
        server.workers(WORKERS)
        yield Running(server)


@contextmanager
def degraded(one: Running, reason: str, words: str, *, logged: int = 0) -> Iterator[None]:
    """Once a fault began: the reason is named everywhere, and nothing else. After the block it is over.

    Where workers find out by requests, they are asked until `logged` lines have the words.
    """
    expected = f"{reason}: {words}"

    def begun() -> bool:
        if one.said(words) < logged:
            one.ask()
            return False
        return all(any(each.startswith(expected) for each in said) for said in one.degraded())

    visited_service.until(begun, f"it never says {expected}")
    assert {each.partition(":")[0] for said in one.degraded() for each in said} == {reason}
    visited_service.until(lambda: one.reasons() == {reason}, "the metric does not say so")
    yield
    visited_service.until(lambda: one.degraded() == [set()] * OFTEN, "it is not over")
    visited_service.until(lambda: one.reasons() == set(), "the metric says it still")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_killed_worker(home: Path) -> None:
    served_homes.make_home(home)
    with serving(home, "popularity") as one:
        one.ask()
        before = one.metrics()
        killed = one.server.children()[0]
        assert one.degraded() == [set()] * OFTEN
        killed.kill()
        visited_service.until(lambda: any(one.degraded()), "it never says so")
        visited_service.until(lambda: one.degraded() == [set()] * OFTEN, "it does not come back")
        after = one.metrics()
        assert one.said("was killed by SIGKILL") == 1
        assert one.said("in the place of one that ended") == 1
        assert sum(after[f"tastemaker_worker_restarts_totalworker-{n}"] for n in (1, 2)) == 1
        counts = {name for name in before if "_total" in name or "_duration_" in name}
        assert [name for name in counts if after[name] < before[name]] == []
        asked = "tastemaker_requests_total/recommend200"
        assert (before[asked], after[asked]) == (OFTEN, OFTEN)
        assert killed.pid not in {process.pid for process in one.server.children()}


def test_a_feature_store_that_hangs_and_one_that_refuses(home: Path) -> None:
    with servers.redis() as (redis, url):
        shop_homes.make_ranker_home(home, OnlineStoreSettings(type="redis", url=url))
        more = {
            "TASTEMAKER_ONLINE_STORE__TYPE": "redis",
            "TASTEMAKER_ONLINE_STORE__URL": url,
            "TASTEMAKER_SERVING__FEATURES_CACHE_SECONDS": "0",  # what was read is not kept
            "TASTEMAKER_SERVING__FEATURES_TIMEOUT_SECONDS": "0.5",  # long enough on a busy machine
        }
        with serving(home, "ranker", **more) as one:
            one.ask()
            assert one.degraded() == [set()] * OFTEN
            words = "the online feature store "
            with ExitStack() as hanging:
                hanging.enter_context(redis.frozen())
                with degraded(one, "features", words + "does not answer within 0.5 s", logged=WORKERS):
                    hanging.close()
            one.says(words, 2 * WORKERS, "answers in time again", WORKERS)
            redis.stop()
            # Redis's client tries again before it raises: the store fails, or is late before it fails.
            with degraded(one, "features", words, logged=3 * WORKERS):
                redis.start()
            one.says(words, 4 * WORKERS, "answers in time again", 2 * WORKERS)


def test_a_watch_that_stopped(home: Path) -> None:
    served_homes.make_home(home)
    with serving(home, "popularity") as one:
        (home / FILE_NAME).write_text("1764424930\n")
        begun, over = "no watch has evaluated the alert rules", "the alert rules are evaluated again"
        with degraded(one, "watch", f"{begun} since 2025-11-29 14:02:10 UTC"):
            visited_service.until(lambda: one.said(begun) >= WORKERS, "a worker does not log it")
            write_beat(home)
        visited_service.until(lambda: one.said(over) >= WORKERS, "a worker does not log that it is over")
        assert (one.said(begun), one.said(over)) == (WORKERS, WORKERS)


def test_a_metadata_database_in_a_file_that_is_missing(home: Path) -> None:
    served_homes.make_home(home)
    with serving(home, "popularity") as one:
        database, hidden = home / "tastemaker.db", home / "hidden.db"
        database.rename(hidden)
        with degraded(one, "database", "the metadata database can't be used"):
            assert not database.exists(), "looking makes no new one"
            hidden.rename(database)
        assert one.said("the metadata database can't be used") == 1
        assert one.said("the metadata database can be used again") == 1
        assert one.said("metadata database") == 2


def test_a_metadata_database_on_a_server_that_stops(home: Path) -> None:
    version = served_homes.make_home(home)["popularity"]
    deployment.deploy(home / "artifacts", "popularity", version.id, version.manifest.problem)
    with servers.postgres() as (server, address):
        url = f"{address}/postgres"
        open_engine(url).dispose()  # makes the tables
        with serving(home, "popularity", TASTEMAKER_DATABASE_URL=url) as one:
            server.stop()
            with degraded(one, "database", "the metadata database can't be used"):
                server.start()
            assert one.said("the metadata database can't be used") == 1
            assert one.said("the metadata database can be used again") == 1


def test_a_version_that_is_refused(home: Path) -> None:
    versions = two_versions(home)
    good, bad = (version.id for version in versions)
    folder = home / "artifacts" / "popularity" / bad
    hidden = folder.with_name("hidden")
    deploy(home, versions[0])
    with serving(home, "popularity") as one:
        assert one.metrics()["tastemaker_version_differs"] == 0
        shutil.move(folder, hidden)
        deploy(home, versions[1])
        with degraded(one, "version", f"popularity {bad} is wanted and was refused: "):
            ready = httpx.get(f"{one.server.url}/readyz").json()
            assert (ready["version"], ready["wanted"]["version"]) == (good, bad)
            found = one.metrics()
            assert found[f"tastemaker_served_version_infopopularity{good}"] == 1
            assert f"tastemaker_served_version_infopopularity{bad}" not in found
            assert found["tastemaker_version_differs"] == 1
            assert found["tastemaker_swaps_totalpopularityrefused"] == WORKERS
            assert one.said(f"version {bad} of popularity is wanted", f"{good} is served") == WORKERS
            shutil.move(hidden, folder)
            deploy(home, versions[1])
        found = one.metrics()
        assert found["tastemaker_version_differs"] == 0
        assert found[f"tastemaker_served_version_infopopularity{bad}"] == 1
        assert one.said(f"version {bad} is refused") == WORKERS
        assert one.said(f"popularity {bad} is served, as wanted") == WORKERS


def test_a_refusal_is_over_when_the_old_version_is_wanted_again(home: Path) -> None:
    versions = two_versions(home)
    deploy(home, versions[0])
    shutil.rmtree(home / "artifacts" / "popularity" / versions[1].id)
    with serving(home, "popularity") as one:
        deploy(home, versions[1])
        with degraded(one, "version", f"popularity {versions[1].id} is wanted and was refused: "):
            deploy(home, versions[0])
        assert one.said(f"version {versions[1].id} is refused") == WORKERS
        assert one.said(f"popularity {versions[0].id} is served, as wanted") == WORKERS


def test_a_worker_that_begins_during_a_refusal_says_it_once(home: Path) -> None:
    versions = two_versions(home)
    deploy(home, versions[0])
    shutil.rmtree(home / "artifacts" / "popularity" / versions[1].id)
    with serving(home, "popularity") as one:
        deploy(home, versions[1])
        with degraded(one, "version", f"popularity {versions[1].id} is wanted and was refused: "):
            before = one.said(versions[1].id, "is refused")
            one.server.children()[0].kill()
            visited_service.until(
                lambda: one.said("in the place of one that ended") == 1, "it does not come back"
            )
            visited_service.until(
                lambda: one.metrics()["tastemaker_swaps_totalpopularityrefused"] == 3, "no trial"
            )
            assert one.said(versions[1].id, "is refused") == before + 1
            deploy(home, versions[0])


def two_versions(home: Path) -> list[Version]:
    """Of popularity, the older one first."""
    return [served_homes.make_home(home)["popularity"] for _ in range(2)]


def deploy(home: Path, version: Version) -> None:
    deployment.deploy(home / "artifacts", "popularity", version.id, version.manifest.problem)
