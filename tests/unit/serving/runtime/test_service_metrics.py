"""What Prometheus scrapes: every name as promised, all there before it happens, and no counter ever falls."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families as parsed

from support.child_processes import ended
from support.request_logs import request
from tastemaker._version import __version__
from tastemaker.event_log.spool import Spool, SpoolError
from tastemaker.registry.deployment import Target
from tastemaker.serving.http.routes import ROUTES, SERVICE_ROUTES
from tastemaker.serving.inference.fallback_reasons import FALLBACKS, MODEL_SHORT
from tastemaker.serving.runtime.metrics import REASONS, SECONDS, Metrics
from tastemaker.serving.runtime.processes import Processes
from tastemaker.serving.runtime.worker_slots import Workers

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as opened:
        yield opened


def samples(metrics: Metrics) -> Samples:
    """What is scraped."""
    return read(metrics.page().decode())


def read(page: str) -> Samples:
    """A page as Prometheus' own parser reads it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parsed(page)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"tastemaker_{name}", frozenset(labels.items())]


def test_what_is_counted_is_on_the_page(spool: Spool) -> None:
    metrics = Metrics(spool)
    engine = metrics.engine("canned")
    engine.serves("canned", "v1")
    engine.answered({("canned", "model", None): 2, ("canned", "popular", MODEL_SHORT): 1}, {}, {})
    metrics.requested("/recommend", 200, 0.0007)
    metrics.requested("/recommend", 400, 0.004)
    metrics.requested("/feedback", 429, 30.0)
    engine.featured("late", 3)
    assert isinstance(spool.append(cast(Any, object())).exception(), SpoolError)
    metrics.count_rest()
    metrics.count_rest()
    found = samples(metrics)
    assert value(found, "requests_total", endpoint="/recommend", status="200") == 1
    assert value(found, "requests_total", endpoint="/feedback", status="429") == 1
    assert value(found, "request_duration_seconds_bucket", endpoint="/recommend", le="0.001") == 1
    assert value(found, "request_duration_seconds_bucket", endpoint="/recommend", le="0.005") == 2
    assert value(found, "request_duration_seconds_bucket", endpoint="/feedback", le="2.0") == 0
    assert value(found, "request_duration_seconds_count", endpoint="/feedback") == 1
    assert value(found, "request_duration_seconds_sum", endpoint="/feedback") == 30
    assert value(found, "answers_total", model="canned", stage="model", reason="none") == 2
    assert value(found, "answers_total", model="canned", stage="popular", reason=MODEL_SHORT) == 1
    assert value(found, "user_features_total", model="canned", outcome="late") == 3
    assert value(found, "log_records_total", outcome="failed") == 1
    assert value(found, "log_lost_records_total", cause="failed") == 0, "its caller got an error"
    assert value(found, "log_limit_bytes") == spool.max_bytes
    assert value(found, "log_waiting_limit_records") == spool.capacity


def test_requests_that_are_counted_together_count_as_much_as_one_by_one(spool: Spool) -> None:
    seconds = [0.0, 0.0004, *SECONDS, *(bound * 1.01 for bound in SECONDS), 30.0, 0.0005]
    together, alone = Metrics(spool), Metrics(spool)
    together.requested("/recommend", 200, *seconds)
    for one in seconds:
        alone.requested("/recommend", 200, one)
    oracle = Histogram("oracle", "By prometheus_client's own call.", buckets=SECONDS, registry=None)
    for one in seconds:
        oracle.observe(one)
    expected = {
        (each.name, each.labels.get("le")): each.value
        for family in oracle.collect()
        for each in family.samples
    }
    for metrics in (together, alone):
        found = samples(metrics)
        assert value(found, "requests_total", endpoint="/recommend", status="200") == len(seconds)
        for (name, bound), n in expected.items():
            labels = {"endpoint": "/recommend"} | ({} if bound is None else {"le": bound})
            name = name.replace("oracle", "request_duration_seconds")
            assert value(found, name, **labels) == pytest.approx(n, rel=1e-12)


def test_answers_that_the_log_never_gets_are_lost_and_feedback_is_not(tmp_path: Path) -> None:
    with Spool(tmp_path, capacity=1) as spool:
        metrics = Metrics(spool)
        while spool.offer(request(1)):  # until two wait at once
            pass
        assert isinstance(spool.append(*cast(Any, [object()] * 5)).exception(), SpoolError)
        metrics.count_rest()
        found = samples(metrics)
    assert value(found, "log_lost_records_total", cause="full") == 1
    assert value(found, "log_records_total", outcome="refused") == 6


def test_all_that_may_happen_is_there_before_it_happens(spool: Spool) -> None:
    metrics = Metrics(spool, endpoints=SERVICE_ROUTES.statuses())
    metrics.engine("canned").wants(None, Target("other", "v2"))
    found = samples(metrics)
    for route in ROUTES:
        for status in (200, *map(int, route.failures), 405):
            assert value(found, "requests_total", endpoint=route.path, status=str(status)) == 0
        assert value(found, "request_duration_seconds_count", endpoint=route.path) == 0
    for reason in REASONS:
        assert value(found, "degraded", reason=reason) == 0
    for model, fallback in product(("canned", "other"), FALLBACKS):
        assert value(found, "answers_total", model=model, stage="popular", reason=fallback) == 0
        assert value(found, "swaps_total", model=model, outcome="refused") == 0
        assert value(found, "learning_lag_seconds", model=model) == 0
        assert value(found, "user_features_total", model=model, outcome="failed") == 0
        for kind in ("recommend", "session", "rank"):
            assert value(found, "empty_answers_total", model=model, kind=kind) == 0
            assert value(found, "short_answers_total", model=model, kind=kind) == 0
        for source in ("model", "precomputed", "popular", "static", "new"):
            assert value(found, "shown_items_total", model=model, source=source) == 0
        assert value(found, "waiting_requests", model=model) == 0
        assert value(found, "model_batch_duration_seconds_count", model=model) == 0
    for event_type, outcome in product(("impression", "other"), ("accepted", "refused")):
        assert value(found, "feedback_events_total", event_type=event_type, outcome=outcome) == 0


def test_only_the_present_versions_are_there_and_whether_they_differ(spool: Spool) -> None:
    metrics = Metrics(spool)
    engine = metrics.engine("one")
    engine.serves("one", "v1")
    engine.wants(None, Target("one", "v1"))
    engine.wants(Target("one", "v1"), Target("two", "v2"))
    metrics.is_degraded(["version", "model"], differs=True)
    found = samples(metrics)
    infos = {name: labels for name, labels in found if "version_info" in name}
    assert len([name for name, _ in found if "version_info" in name]) == 2
    assert infos == {
        "tastemaker_served_version_info": frozenset({"model": "one", "version": "v1"}.items()),
        "tastemaker_wanted_version_info": frozenset({"model": "two", "version": "v2"}.items()),
    }
    assert value(found, "version_differs") == 1
    degraded = {reason: value(found, "degraded", reason=reason) for reason in REASONS}
    assert degraded == {reason: float(reason in ("version", "model")) for reason in REASONS}
    engine.serves("two", "v2")
    metrics.is_degraded((), differs=False)
    found = samples(metrics)
    assert value(found, "served_version_info", model="two", version="v2") == 1
    assert sum(found["tastemaker_degraded", frozenset({("reason", reason)})] for reason in REASONS) == 0


def test_values_of_features_are_counted_by_their_state(spool: Spool) -> None:
    metrics = Metrics(spool)
    engine = metrics.engine("canned")
    engine.reads("canned", ("age", "spent"))
    found = samples(metrics)
    for feature, state in product(("age", "spent"), ("present", "missing", "invalid")):
        assert value(found, "feature_values_total", model="canned", feature=feature, state=state) == 0
    values = np.array([[1, np.nan], [2, np.inf], [np.nan, np.nan]], np.float32)
    for rows in (values[:1], values[1:], values[:0]):
        engine.read(("age", "spent"), rows)
    metrics.count_rest()
    metrics.count_rest()
    found = samples(metrics)
    states = {"age": (2, 1, 0), "spent": (0, 2, 1)}
    for feature, counts in states.items():
        for state, n in zip(("present", "missing", "invalid"), counts, strict=True):
            assert value(found, "feature_values_total", model="canned", feature=feature, state=state) == n


def test_types_of_feedback_that_no_problem_has_are_one(spool: Spool) -> None:
    metrics = Metrics(spool)
    metrics.engine("canned").learns_from(["purchase"])
    metrics.feedback(["purchase", "impression", "impression", "invented", "also invented"], "accepted")
    metrics.feedback(["purchase"], "refused")
    found = samples(metrics)
    counts = {
        tuple(dict(labels)[label] for label in ("event_type", "outcome")): n
        for (name, labels), n in found.items()
        if name == "tastemaker_feedback_events_total" and n
    }
    assert counts == {
        ("purchase", "accepted"): 1, ("impression", "accepted"): 2, ("other", "accepted"): 2,
        ("purchase", "refused"): 1,
    }  # fmt: skip


def test_gauges_by_model_are_put_together_from_its_engines(spool: Spool) -> None:
    """A model is ready where all of its engines are, and one that is no longer served is not shown."""
    metrics = Metrics(spool)
    first, other = metrics.engine("a"), metrics.engine("a")
    first.serves("a", "v1")
    first.measured(ready=True, waiting=3, limit=10)
    other.measured(ready=False, waiting=7, limit=10)
    found = samples(metrics)
    assert value(found, "ready", model="a") == 0
    assert value(found, "waiting_requests", model="a") == 7
    assert value(found, "waiting_limit_requests", model="a") == 10
    for engine in (first, other):
        engine.serves("b", "v2")
        engine.measured(ready=True, waiting=1, limit=10)
    found = samples(metrics)
    ready = {dict(labels)["model"]: n for (name, labels), n in found.items() if name == "tastemaker_ready"}
    assert ready == {"b": 1}
    assert value(found, "waiting_requests", model="a") == 0
    assert value(found, "waiting_requests", model="b") == 1


def test_the_build_says_what_runs(spool: Spool) -> None:
    found = samples(Metrics(spool))
    assert value(found, "build_info", version=__version__, python=platform.python_version()) == 1


WORKER = """
import os, sys
from pathlib import Path
import prometheus_client
from tastemaker.event_log.spool import Spool
from tastemaker.serving.runtime.metrics import Metrics
from tastemaker.serving.runtime.worker_slots import Workers
folder, place = Path(sys.argv[1]), int(sys.argv[2])
workers = Workers(folder)
workers.arrive(place)
metrics = Metrics(Spool(folder / "spool"), folder, place=place, server=os.getppid())
foreign = prometheus_client.Counter("feast_something", "Of a library")
workers.serve(place)
engine = metrics.engine("m")
for number in range(50):
    engine.serves("m", f"past-{number}")
engine.serves("m", sys.argv[3])
metrics.is_degraded(["log"] if sys.argv[3] == "v1" else [], differs=False)
engine.measured(ready=sys.argv[3] != "v2", waiting=place, limit=10)
for _ in range(10):
    metrics.requested("/recommend", 200, 0.01)
sum(range(5_000_000))
print("ready", flush=True)
for _ in sys.stdin:
    page = metrics.page().decode()
    print(page + "end", flush=True)
"""


class AWorker:
    """A process that counted ten requests, and says what all did when it is asked."""

    def __init__(self, folder: Path, place: int, version: str) -> None:
        words = [sys.executable, "-c", WORKER, str(folder), str(place), version]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
        assert self._lines("ready") == []

    def page(self) -> Samples:
        """What it says when it is scraped."""
        assert self._process.stdin is not None
        print("next", file=self._process.stdin, flush=True)
        return read("".join(self._lines("end")))

    def kill(self) -> None:
        """As kill -9 does."""
        with ended(self._process):
            self._process.kill()

    def _lines(self, last: str) -> list[str]:
        assert self._process.stdout is not None
        found = list[str]()
        while (line := self._process.stdout.readline()) != f"{last}\n":
            assert line, "it ended"
            found.append(line)
        return found


@pytest.mark.processes
@pytest.mark.slow
def test_a_worker_that_is_killed_and_replaced_takes_no_count_along(tmp_path: Path) -> None:
    Workers(tmp_path).expect(2)
    first, other = AWorker(tmp_path, 1, "v1"), AWorker(tmp_path, 2, "v2")
    pages = [other.page()]
    try:
        for version in ("v3", "v4"):
            first.kill()
            pages.append(other.page())
            first = AWorker(tmp_path, 1, version)
            pages.append(other.page())
        assert first.page().keys() == pages[-1].keys(), "any of them answers for all"
    finally:
        first.kill()
        other.kill()
    counts = [value(page, "requests_total", endpoint="/recommend", status="200") for page in pages]
    assert counts == [20, 20, 30, 30, 40]
    seconds = [value(page, "request_duration_seconds_count", endpoint="/recommend") for page in pages]
    assert seconds == counts
    for before, after in pairwise(pages):
        for (name, labels), was in before.items():
            if name.endswith(("_total", "_count", "_bucket", "_sum")):
                assert after[name, labels] >= was, name
    restarts = [value(page, "worker_restarts_total", process="worker-1") for page in pages]
    assert restarts == [0, 0, 1, 1, 2]
    degraded = [value(page, "degraded", reason="log") for page in pages]
    assert degraded == [1, 0, 0, 0, 0], "what the dead said is no longer so"
    assert [value(page, "ready", model="m") for page in pages] == [0] * 5, "one of the workers is not"
    assert [value(page, "waiting_requests", model="m") for page in pages] == [2] * 5, "the most of a worker"
    versions = [
        {dict(labels)["version"] for name, labels in page if name == "tastemaker_served_version_info"}
        for page in pages
    ]
    assert versions == [{"v1", "v2"}, {"v2"}, {"v2", "v3"}, {"v2"}, {"v2", "v4"}]
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.suffix for path in files} == {".db", ".json"}
    assert not [path.name for path in files if b"past-" in path.read_bytes()], "read by each scrape"
    alive = [("tastemaker_process_open_fds", frozenset({("process", "worker-1")})) in page for page in pages]
    assert alive == [True, False, True, False, True]
    assert all(name.startswith("tastemaker_") for page in pages for name, _ in page)


def test_processes_are_measured_as_psutil_does(tmp_path: Path) -> None:
    process = psutil.Process()
    families = {family.name: family for family in Processes().collect()}
    found = {name: {s.labels["process"]: s.value for s in one.samples} for name, one in families.items()}
    assert found["tastemaker_process_start_time_seconds"] == {"server": process.create_time()}
    assert found["tastemaker_process_resident_memory_bytes"]["server"] == pytest.approx(
        process.memory_info().rss, rel=0.2
    )
    assert found["tastemaker_process_max_fds"] == {"server": process.rlimit(psutil.RLIMIT_NOFILE)[0]}
    with open(os.devnull):
        more = {family.name: family for family in Processes().collect()}
        assert more["tastemaker_process_open_fds"].samples[0].value == 1 + (
            families["tastemaker_process_open_fds"].samples[0].value
        )
    assert found["tastemaker_worker_restarts"] == {}


def test_a_worker_that_is_not_a_child_of_the_server_is_not_taken_for_one(tmp_path: Path) -> None:
    """The number of a process that ended is given to another one in time."""
    workers = Workers(tmp_path)
    workers.arrive(1)
    families = {family.name: family for family in Processes(tmp_path, os.getppid()).collect()}
    names = {sample.labels["process"] for sample in families["tastemaker_process_open_fds"].samples}
    assert "worker-1" in names
    families = {family.name: family for family in Processes(tmp_path, os.getpid()).collect()}
    names = {sample.labels["process"] for sample in families["tastemaker_process_open_fds"].samples}
    assert names == {"server"}
