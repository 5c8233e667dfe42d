"""Models behind a real `bentoml serve`: answered, counted, logged, drained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.bento_servers import run, running
from support.served_homes import make_home
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain, read_log
from tastemaker.registry import Registry, Version
from tastemaker.storage.engine import open_engine
from tastemaker.workflows.promotion_gate import PromotionGate

pytestmark = pytest.mark.servers

PROBLEM = "name: small shop\nobjectives:\n  - name: sales\n    events:\n      purchase: {weight: 1}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to work in, with a home in it."""
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def versions(folder: Path) -> dict[str, Version]:
    """Two models that can be served."""
    return make_home(folder / "home", ["popularity", "random"])


@pytest.fixture(scope="module")
def popularity(folder: Path, versions: dict[str, Version]) -> Iterator[httpx.Client]:
    """The popularity service, started from a folder that has nothing to do with the home."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    environment = {"TASTEMAKER_HOME": str(folder / "home"), "BENTOML_HOME": str(folder / "bentoml")}
    with running(
        ["bentoml", "serve", "tastemaker_baselines.service:Popularity"], elsewhere, environment
    ) as client:
        yield client


def test_a_known_user_an_unknown_user_and_every_option(
    popularity: httpx.Client, versions: dict[str, Version]
) -> None:
    body = popularity.post("/recommend", json={"user_id": "user-01", "k": 3}).json()
    assert (body["model"], body["version"], body["fallback"]) == (
        "popularity",
        versions["popularity"].id,
        None,
    )
    scores = [item["score"] for item in body["items"]]
    assert scores == sorted(scores, reverse=True)
    best = [item["item_id"] for item in body["items"]]
    unknown = popularity.post("/recommend", json={"user_id": "Ž🛍", "k": 3}).json()
    assert [item["item_id"] for item in unknown["items"]] == best
    assert unknown["request_id"] != body["request_id"]
    sent = {
        "user_id": "user-01",
        "k": 2,
        "context": {"page": "home"},
        "exclude": best[:1],
        "candidates": [*best, "no such item"],
    }
    chosen = popularity.post("/recommend", json=sent).json()
    assert [item["item_id"] for item in chosen["items"]] == best[1:]
    assert {item["propensity"] for item in chosen["items"]} == {1.0}


def test_a_wrong_request_is_refused_with_the_field_and_its_limit(popularity: httpx.Client) -> None:
    answer = popularity.post("/recommend", json={"user_id": "u", "k": 5_000})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    problem = answer.json()
    assert problem.pop("request_id") == answer.headers["x-request-id"]
    assert problem == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "k = 5000: Expected `int` <= 1000",
        "field": "k",
        "value": 5000,
        "limit": 1000,
    }
    assert popularity.get("/recommend").status_code == 405
    assert popularity.get("/nothing/here").status_code == 404


def test_the_server_says_how_it_does(popularity: httpx.Client, versions: dict[str, Version]) -> None:
    assert popularity.get("/livez").json() == {"status": "alive"}
    version = versions["popularity"].id
    ready = {"status": "ready", "model": "popularity", "version": version, "degraded": [], "pinned": False}
    assert popularity.get("/readyz").json() == ready
    before = _value(popularity, 'tastemaker_requests_total{endpoint="/recommend",status="200"}')
    for _ in range(5):
        popularity.post("/recommend", json={"user_id": "user-01"})
    assert _value(popularity, 'tastemaker_requests_total{endpoint="/recommend",status="200"}') == before + 5
    page = popularity.get("/metrics").text
    assert (
        f'tastemaker_served_version_info{{model="popularity",version="{versions["popularity"].id}"}} 1.0'
        in page
    )
    popularity.get("/nothing/here/3141592653")
    assert "3141592653" not in popularity.get("/metrics").text, "paths are not labels"


def test_the_page_for_people_says_what_answers_and_how_it_is_asked(
    popularity: httpx.Client, versions: dict[str, Version]
) -> None:
    answer = popularity.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for said in ("popularity", versions["popularity"].id, "everything works", "POST /recommend/batch"):
        assert said in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (
        popularity.head("/").headers["content-security-policy"] == answer.headers["content-security-policy"]
    )
    for path, methods in popularity.get("/openapi.json").json()["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/docs.json",
        "/static_content/swagger-initializer.js",
        "/static_content/index.css",
        "/schema.json",
        "/docs",
    ],
)
def test_pages_of_bentoml_are_not_served(popularity: httpx.Client, path: str) -> None:
    assert popularity.get(path).status_code == 404


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "no sound version of 'popularity'"),
        ({"TASTEMAKER_VERSION": "20200101-nothing"}, "holds no manifest.json"),
        ({"TASTEMAKER_THREADS": "many"}, "threads = 'many'"),
    ],
)
def test_a_server_that_has_nothing_to_serve_says_so_and_ends(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    more = {
        "TASTEMAKER_HOME": str(tmp_path / "empty"),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        **environment,
    }
    done = run(["bentoml", "serve", "tastemaker_baselines.service:Popularity"], tmp_path, more)
    assert done.returncode != 0
    assert message in done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr


def test_one_word_serves_the_champion_and_what_it_answers_is_logged(
    folder: Path, versions: dict[str, Version]
) -> None:
    """Without a champion, the baseline; after a promotion, the champion, by two workers."""
    home = folder / "home"
    (folder / "problem.yaml").write_text(PROBLEM)
    environment = {"TASTEMAKER_HOME": "home"}
    with running(["tastemaker", "serve"], folder, environment) as client:
        assert client.get("/readyz").json()["model"] == "popularity"
    registry = Registry(open_engine(f"sqlite:///{home / 'tastemaker.db'}"), home / "artifacts")
    PromotionGate(registry).promote(versions["random"].id, force_reason="a test")
    drain(home / "spool", Lake(home / "lake"))
    before = len(read_log(Lake(home / "lake")))
    with running(["tastemaker", "serve", "--workers", "2"], folder, environment) as client:
        given = [
            client.post("/recommend", json={"user_id": f"user-{n:02d}", "k": 4}).json() for n in range(40)
        ]
        assert _value(client, 'tastemaker_requests_total{endpoint="/recommend",status="200"}') == 40
    assert {answer["version"] for answer in given} == {versions["random"].id}
    assert drain(home / "spool", Lake(home / "lake")).requests == 40
    rows = {row["request_id"]: row for row in read_log(Lake(home / "lake")).to_pylist()}
    assert len(rows) == before + 40
    for answer in given:
        row = rows[answer["request_id"]]
        assert row["item_ids"] == [item["item_id"] for item in answer["items"]]
        assert row["propensities"] == pytest.approx([item["propensity"] for item in answer["items"]])


def _value(client: httpx.Client, name: str) -> float:
    """One number of the metrics page."""
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(name):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"{name} is not on the page")
