"""`tastemaker simulate --fault` against a real service of the model that fails on demand."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from support.child_processes import ended
from support.servers import free_port
from support.shop_homes import make_shop_home
from support.visited_service import BIN, Service, environment, served, until
from tastemaker.registry import Version
from tastemaker.settings import Settings
from tastemaker.simulator.faults.switch import NAME
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_states

pytestmark = [pytest.mark.slow, pytest.mark.servers]
Counts = dict[tuple[str, tuple[str, ...]], float]


def simulate(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "tastemaker"), "simulate", *words]
    return subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Service]]:
    """A home, and a service of the model `faulty` in it."""
    home = tmp_path_factory.mktemp("faults") / "home"
    shown: Version = make_shop_home(home)["popularity"]
    prepared = simulate(home, "--prepare-faults")
    assert prepared.returncode == 0, prepared.stderr
    path = {"PYTHONPATH": prepared.stdout.strip(), "TASTEMAKER_VERSION": ""}
    with served(home, shown, command=["tastemaker", "serve", "faulty"], more=path) as running:
        yield home, running


def counts(service: Service) -> Counts:
    """Counters of the service, by name and values of their labels."""
    found: Counts = {}
    for family in text_string_to_metric_families(service.get("/metrics").text):
        for sample in family.samples:
            if sample.name.endswith(("_total", "_bucket", "_count")):
                key = sample.name, tuple(value for _, value in sorted(sample.labels.items()))
                found[key] = found.get(key, 0.0) + sample.value
    return found


def risen(service: Service, before: Counts, name: str, *values: str) -> float:
    """The increase of the counters with these values of labels."""
    return sum(
        value - before.get(key, 0.0)
        for key, value in counts(service).items()
        if key[0] == name and set(values) <= set(key[1])
    )


def visited(service: tuple[Path, Service], *words: str) -> dict[str, Any]:
    """Send 200 visits, and return the summary."""
    home, running = service
    done = simulate(home, running.url, "--visits", "200", "--at-once", "4", "--json", *words)
    assert done.returncode == 0, done.stderr
    assert not (home / NAME).exists(), "the faults have ended"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


ANSWERS, REQUESTS = "tastemaker_answers_total", "tastemaker_requests_total"


def test_a_fifth_of_the_users_gets_scores_that_are_not_numbers(service: tuple[Path, Service]) -> None:
    before = counts(service[1])
    visited(service, "--fault", "nan_scores=0.2")
    invalid = risen(service[1], before, ANSWERS, "model_invalid")
    lists = risen(service[1], before, ANSWERS)
    assert 0.08 < invalid / lists < 0.4
    healthy = counts(service[1])
    visited(service)
    assert risen(service[1], healthy, ANSWERS, "model_invalid") == 0


@pytest.mark.parametrize(
    ("fault", "metric", "label"),
    [
        ("model_error=0.5", ANSWERS, "model_error"),
        ("model_hang", ANSWERS, "model_resting"),
        ("short_rows=0.5", "tastemaker_shown_items_total", "precomputed"),
        ("foreign_host=0.5", REQUESTS, "421"),
        ("errors=0.5", REQUESTS, "500"),
    ],
)
def test_a_fault_is_counted_where_its_rule_reads(
    service: tuple[Path, Service], fault: str, metric: str, label: str
) -> None:
    before = counts(service[1])
    visited(service, "--fault", fault)
    assert risen(service[1], before, metric, label) > 10


def test_a_slow_model_makes_lists_slow(service: tuple[Path, Service]) -> None:
    visited(service, "--visits", "20")  # a model that hung may still be resting
    before = counts(service[1])
    visited(service, "--fault", "slow_model")
    name = "tastemaker_request_duration_seconds"
    lists = risen(service[1], before, f"{name}_count", "/recommend")
    assert risen(service[1], before, f"{name}_bucket", "/recommend", "0.1") < 0.9 * lists


def test_traffic_and_feedback_that_are_gone_are_not_sent(service: tuple[Path, Service]) -> None:
    before = counts(service[1])
    visited(service, "--fault", "feedback_gone")
    assert risen(service[1], before, REQUESTS, "/recommend") > 100
    assert risen(service[1], before, REQUESTS, "/feedback") == 0
    before = counts(service[1])
    visited(service, "--fault", "traffic_gone")
    assert risen(service[1], before, REQUESTS, "/recommend") == 0


def test_withdrawn_items_leave_lists_empty_until_the_end(service: tuple[Path, Service]) -> None:
    before = counts(service[1])
    visited(service, "--fault", "items_withdrawn")
    empty = risen(service[1], before, "tastemaker_empty_answers_total")
    assert empty > 100
    healthy = counts(service[1])
    visited(service)
    assert risen(service[1], healthy, "tastemaker_empty_answers_total") == 0


def test_items_that_a_killed_simulation_withdrew_are_offered_again(service: tuple[Path, Service]) -> None:
    home, running = service
    command = [str(BIN / "tastemaker"), "simulate", running.url, "--for", "1h", "--rate", "5"]
    before = counts(running)
    with subprocess.Popen([*command, "--fault", "items_withdrawn"], env=environment(home)) as simulator:
        until(lambda: risen(running, before, "tastemaker_empty_answers_total") > 0, "no list is empty")
        simulator.kill()
    healthy = counts(running)
    visited(service)
    assert risen(running, healthy, "tastemaker_empty_answers_total") == 0


def test_the_watch_finds_a_bad_version_that_is_refused_and_a_good_one_follows(
    service: tuple[Path, Service],
) -> None:
    home, running = service
    before, first = counts(running), running.get("/readyz").json()["version"]
    targets = {"TASTEMAKER_WATCH__TARGETS": running.url, "TASTEMAKER_WATCH__PORT": str(free_port())}
    with ended(subprocess.Popen([str(BIN / "tastemaker"), "watch"], env=environment(home, targets))):
        until(lambda: "watchdog" in firing(home), "the watch does not evaluate its rules")
        visited(service, "--for", "8s", "--rate", "20", "--fault", "bad_version")
        assert risen(running, before, "tastemaker_swaps_total", "refused") > 0
        until(lambda: "swap_refused" in firing(home), "no alert fires")
    until(lambda: running.get("/readyz").json()["version"] != first, "the good version is not served")


def firing(home: Path) -> set[str]:
    """The rules of which an alert fires, as the watch stored them."""
    engine = open_engine(Settings(home=home).metadata_url)
    try:
        with engine.connect() as connection:
            query = select(alert_states.c.rule).where(alert_states.c.phase == "firing")
            return set(connection.execute(query).scalars())
    finally:
        engine.dispose()


def test_a_service_that_hangs_answers_again_after_the_fault(service: tuple[Path, Service]) -> None:
    home, running = service
    command = [str(BIN / "tastemaker"), "simulate", running.url, "--for", "1h", "--rate", "5"]
    with subprocess.Popen([*command, "--fault", "service_hang"], env=environment(home)) as simulator:
        until(lambda: not answers(running), "the service does not hang")
        assert not any(answers(running) for _ in range(3)), "it hangs for as long as the simulator runs"
        assert simulator.poll() is None
        simulator.kill()
    until(lambda: answers(running), "the service still hangs")


def answers(running: Service) -> bool:
    try:
        with urllib.request.urlopen(f"{running.url}/livez", timeout=1):
            return True
    except OSError:
        return False


def test_the_service_of_another_model_is_refused(service: tuple[Path, Service], tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home, make_shop_home(home)["popularity"]) as other:
        done = simulate(home, other.url, "--visits", "1", "--fault", "nan_scores")
    assert done.returncode != 0
    assert "serves popularity, which does not fail on demand" in done.stderr
