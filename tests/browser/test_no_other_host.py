"""No page that the platform writes, serves or ships asks for anything from another host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from support import commands, request_logs
from support.bento_servers import running, stop
from support.browsers import WIDTHS, Browser, browsing, overhang
from support.repository import ROOT
from support.served_homes import make_home
from support.servers import free_port
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Item
from tastemaker.monitoring.drift import MIN_REQUESTS, drift_report
from tastemaker.registry import Registry
from tastemaker.storage.engine import open_engine
from tastemaker.workflows.drift_reference import ensure_drift_reference
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import Outcome

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::RuntimeWarning"
    ),  # Feast's and Evidently's own use of other libraries
]

BIN = Path(sys.executable).parent
START_SECONDS = 300.0
DAGSTER = ("/", "/assets", "/asset-groups", "/runs", "/locations", "/jobs", "/automation", "/health")
PREFECT = ("/", "/dashboard", "/runs", "/flows", "/deployments", "/work-pools", "/settings")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser without a past."""
    with browsing(tmp_path / "browser") as found:
        yield found


@contextmanager
def server(command: Sequence[str], environment: Mapping[str, str], log: Path, health: str) -> Iterator[None]:
    """A program of the environment, started in the repository as its users start it, once it answers."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not _answers(health):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.3)
        yield
    finally:
        stop(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).is_success
    except httpx.TransportError:
        return False


def test_a_page_that_does_is_found_out(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<script>fetch("https://other.example/x")</script><img src="http://tracker.example/1.png">'
    )
    browser.look(page.as_uri())
    assert browser.foreign == {"https://other.example/x", "http://tracker.example/1.png"}


def test_the_page_of_a_service(browser: Browser, tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    environment = {"TASTEMAKER_HOME": str(tmp_path / "home"), "BENTOML_HOME": str(tmp_path / "bentoml")}
    with running(
        ["bentoml", "serve", "tastemaker_baselines.service:Popularity"], tmp_path, environment
    ) as client:
        url = str(client.base_url)
        page = browser.open(url)
        assert "popularity" in page.title()
        assert page.locator("h3", has_text="POST /recommend").count() >= 1
        background = page.evaluate("getComputedStyle(document.body).fontFamily")
        assert "system-ui" in background, "the policy lets the page's own style in"
        for width in WIDTHS:
            assert overhang(page, width) <= 0
        links = {link.get_attribute("href") for link in page.locator("a").all()}
        for link in sorted(link for link in links if link is not None and not link.startswith("#")):
            assert client.get(link).status_code == 200
            browser.look(urljoin(url, link))
    assert browser.asked >= {urljoin(url, path) for path in ("/", "/openapi.json", "/readyz", "/metrics")}
    assert not browser.foreign


def test_every_report_of_a_home(
    browser: Browser, finished: tuple[Workspace, Outcome], tmp_path: Path
) -> None:
    home = finished[0].settings.home
    board, plot = tmp_path / "board.html", tmp_path / "board.png"
    commands.done(home, "tastemaker", "leaderboard", "--html", str(board), "--plot", str(plot))
    commands.done(home, "tastemaker", "learning-curve", "popularity", "--weeks", "2")
    tuned = tmp_path / "tuned.png"
    commands.done(home, "tastemaker", "tune", "trending", "--trials", "3", "--plot", str(tuned))
    pages = [*home.rglob("*.html"), *home.rglob("*.png"), board, plot, tuned]
    names = {page.name for page in pages}
    assert {"leaderboard.html", "learning_curve.html", "simulated-events.html", "index.html"} <= names, names
    assert {"report.html", "rows-evidently.html", "ranking-evidently.html"} <= names, names
    for page in pages:
        browser.look(page.as_uri())
    assert {page.as_uri() for page in pages} <= browser.asked
    assert not browser.foreign


def test_the_report_of_evidently(browser: Browser, tmp_path: Path) -> None:
    home = tmp_path / "home"
    version = make_home(home)["popularity"]
    shown = [Item("item-01", 1.0, 1.0), Item("item-07", 0.5, 1.0)]
    served = {"model": "popularity", "version": version.id, "items": shown}
    request_logs.fill(
        home / "spool", [request_logs.request(number, **served) for number in range(MIN_REQUESTS)]
    )
    drain(home / "spool", Lake(home / "lake"))
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    lake, registry = Lake(home / "lake"), Registry(engine, home / "artifacts")
    reference = ensure_drift_reference(lake, registry, version)
    report = drift_report(lake, engine, home / "reports", version, reference)
    assert report.summary["note"] is None
    pages = [*(home / "reports").rglob("*.html")]
    assert any("evidently" in page.read_text("utf-8") for page in pages)
    for page in pages:
        browser.look(page.as_uri())
    assert not browser.foreign


def test_dagster(browser: Browser, finished: tuple[Workspace, Outcome], tmp_path: Path) -> None:
    home, port = finished[0].settings.home, free_port()
    dagster = tmp_path / "dagster"
    dagster.mkdir()
    (dagster / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    environment = commands.environment(home, {"DAGSTER_HOME": str(dagster)})
    url = f"http://127.0.0.1:{port}"
    command = ["dagster", "dev", "--host", "127.0.0.1", "--port", str(port)]
    with server(command, environment, tmp_path / "dagster.log", f"{url}/server_info"):
        assert "Dagster" in browser.open(url).content()
        for path in DAGSTER:
            browser.look(url + path)
    assert not browser.foreign


def test_prefect(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DO_NOT"))}
    environment = kept | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
    }
    url = f"http://127.0.0.1:{port}"
    command = ["tastemaker", "flows", "server", "--port", str(port)]
    with server(command, environment, tmp_path / "prefect.log", f"{url}/api/health"):
        assert "Prefect" in browser.open(url).title()
        for path in PREFECT:
            browser.look(url + path)
    assert any("/api/" in asked for asked in browser.asked), "the page reached its server"
    assert not browser.foreign
