"""docs/how-to/on-call.md lists every metric and every reason of a real server, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import bento_servers, served_homes
from support.repository import ROOT
from support.servers import not_installed
from tastemaker.registry import deployment
from tastemaker.serving.http.connections import MAX_HEAD_BYTES
from tastemaker.serving.http.routes import ROUTES
from tastemaker.serving.runtime.metrics import REASONS

OF_USER_FEATURES = "tastemaker_feature_values_total"
"""Is exported where a model reads user features."""
DOCUMENT = ROOT / "docs" / "how-to" / "on-call.md"


class Family(NamedTuple):
    """A metric, by what makes it this one."""

    name: str
    kind: str
    labels: frozenset[str]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a server of two workers is scraped for, after a request or two."""
    home = tmp_path_factory.mktemp("on call") / "home"
    version = served_homes.make_home(home)["popularity"]
    deployment.deploy(home / "artifacts", "popularity", version.id, version.manifest.problem)
    environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": str(home / "bentoml")}
    command = ("tastemaker", "serve", "popularity", "--workers", "2")
    with bento_servers.started(command, home, environment) as server:
        server.workers(2)
        for path in ("/", "/no/such/path", "/recommend"):
            httpx.get(server.url + path)
        httpx.get(f"{server.url}/livez", headers={"X-Long": "a" * MAX_HEAD_BYTES})
        for more in ({}, {"candidates": ["no such item"]}, {"k": 1_000}):
            asked = {"user_id": "user-01", "k": 5} | more
            httpx.post(f"{server.url}/recommend", json=asked).raise_for_status()
        seen = {"item_id": "item-01", "user_id": "user-01"}
        events = [seen | {"event_id": name, "event_type": name} for name in ("purchase", "invented")]
        httpx.post(f"{server.url}/feedback", json={"events": events}).raise_for_status()
        scraped: str = httpx.get(f"{server.url}/metrics").raise_for_status().text
    return scraped


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the document."""
    section = DOCUMENT.read_text().partition(f"\n## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_the_metrics_of_a_real_server(page: str) -> None:
    documented = {
        Family(name.strip("`"), kind, frozenset(re.findall("`(.*?)`", labels)))
        for name, kind, labels, _ in rows("Metrics")
    }
    exported = set()
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert family.samples, f"{name} is there, and has no value"
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        exported.add(Family(name, family.type, frozenset(labels)))
    assert {family.name for family in documented - exported} == {OF_USER_FEATURES}
    assert not exported - documented
    assert len(rows("Metrics")) == len(documented)


def test_the_table_has_every_reason_and_what_to_do(page: str) -> None:
    found = rows("Degraded")
    assert [reason.strip("`") for reason, *_ in found] == sorted(REASONS)
    assert all(len(what) > 20 and len(act) > 20 for _, what, act in found)
    for reason in REASONS:
        assert f'tastemaker_degraded{{reason="{reason}"}} 0.0' in page


def test_every_endpoint_is_counted_and_no_path_becomes_a_label(page: str) -> None:
    endpoints = set(re.findall(r'tastemaker_request_duration_seconds_count{endpoint="(.*?)"}', page))
    assert endpoints == {"/", "unknown", *(route.path for route in ROUTES)}
    assert 'tastemaker_requests_total{endpoint="unknown",status="404"} 1.0' in page
    assert 'tastemaker_requests_total{endpoint="unknown",status="431"} 1.0' in page
    assert 'tastemaker_requests_total{endpoint="/recommend",status="405"} 1.0' in page
    assert "no/such" not in page


def test_what_is_in_the_lists_is_counted(page: str) -> None:
    found = {
        (sample.name.removeprefix("tastemaker_"), *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert found["answers_total", "model", "none", "popularity"] == 3
    assert found["empty_answers_total", "popularity", "recommend"] == 1
    assert found["short_answers_total", "popularity", "recommend"] == 1
    assert found["shown_items_total", "model", "popularity"] > 5
    assert found["model_batch_duration_seconds_count", "popularity"] == 3
    assert found["feedback_events_total", "accepted", "purchase"] == 1
    assert found["feedback_events_total", "accepted", "other"] == 1
    assert found["ready", "popularity"] == 1
    assert found["waiting_limit_requests", "popularity"] == 1_000


def test_prometheus_finds_no_fault_with_it(page: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        not_installed("promtool (Debian: prometheus)")
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
