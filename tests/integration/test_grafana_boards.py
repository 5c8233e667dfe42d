"""Every expression of the boards returns data from a real Prometheus that scrapes a service under traffic.

The service is real, and its people are simulated. The facts of data and jobs, and the watch's own numbers,
come from a page with one value for each metric that the code declares. Grafana itself is not here.
"""

from __future__ import annotations

import math
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from support.exported_facts import declared_facts
from support.prometheus_servers import prometheus
from support.repository import ROOT
from support.servers import free_port
from support.shop_homes import make_ranker_home
from support.visited_service import BIN, environment, served
from tastemaker.alerting import generate
from tastemaker.alerting.grafana.boards import all_boards
from tastemaker.alerting.grafana.panel import Board
from tastemaker.settings import OnlineStoreSettings, Settings
from tastemaker.watch.watch_metrics import WatchMetrics

pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Feast imports deprecated modules
]

BOARDS = all_boards(Settings())
WINDOW = "30s"
WAIT_SECONDS = 60
VALUES = {"window": ("1d", "28d")}
EMPTY = {
    ("Requests for lists against last week", "{{job}} a week ago"): "Prometheus has run for a minute",
    ("Workers that ended and were replaced", "{{job}} {{instance}}"): "this service has one process",
}
"""What has no data here, by panel and legend, and why."""


class _Facts:
    """One value for each fact that the code declares, with the labels that it declares."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for family in declared_facts().values():
            windows = VALUES["window"] if "window" in family.labels else ("",)
            places = [tuple(each if name == "window" else "a" for name in family.labels) for each in windows]
            yield family.gauge(dict.fromkeys(places, 1.0))


@contextmanager
def exporter() -> Iterator[str]:
    """A page as `tastemaker watch` serves it, and its host:port."""
    registry = CollectorRegistry()
    registry.register(_Facts())
    text = generate_latest(registry) + WatchMetrics(["pager"]).page().encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus that scrapes a service which people visit all the time."""
    folder = tmp_path_factory.mktemp("boards")
    home = folder / "home"
    version = make_ranker_home(home, OnlineStoreSettings())
    (folder / "prometheus").mkdir()
    rules = ROOT / generate.RULES / "*.yml"
    with served(home, version) as service, exporter() as facts:
        jobs = {"tastemaker": [service.url.removeprefix("http://")], "tastemaker-watch": [facts]}
        with prometheus(
            folder / "prometheus", rules, jobs=jobs, alertmanager="127.0.0.1:9", seconds=1
        ) as url:
            words = [
                str(BIN / "tastemaker"),
                "simulate",
                service.url,
                "--for",
                "1h",
                "--rate",
                "30",
                "--at-once",
                "2",
            ]
            visits = subprocess.Popen(words, env=environment(home), stdout=subprocess.DEVNULL)
            try:
                yield url
            finally:
                visits.kill()
                visits.wait()


def ask(url: str, expression: str) -> list[float]:
    """The numbers with which Prometheus answers to an expression of a board."""
    filled = expression.replace("$__rate_interval", WINDOW).replace("$job", ".*")
    assert "$" not in filled, "a variable that this test does not know"
    reply = httpx.get(f"{url}/api/v1/query", params={"query": filled}, timeout=10)
    assert reply.status_code == 200, f"{filled}: {reply.text}"
    values = [float(series["value"][1]) for series in reply.json()["data"]["result"]]
    return [value for value in values if not math.isnan(value)]


@pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])
def test_every_expression_returns_data(server: str, board: Board) -> None:
    """But for those that are listed with the reason."""
    empty = {}
    for panel in board.panels:
        for query in panel.queries:
            give_up = time.monotonic() + WAIT_SECONDS
            known = EMPTY.get((panel.title, query.legend))
            while not (found := ask(server, query.expression)) and known is None:
                if time.monotonic() > give_up:
                    break
                time.sleep(1)
            if not found:
                empty[panel.title, query.legend] = query.expression
    assert empty.keys() <= EMPTY.keys(), empty


@pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])
def test_the_variables_and_the_annotation_are_valid(server: str, board: Board, tmp_path: Path) -> None:
    """The board's list of jobs has the service; the annotation's expression is accepted."""
    written = board.to_json("tastemaker")
    (annotation,) = written["annotations"]["list"]
    ask(server, annotation["expr"])
    params = {"match[]": "tastemaker_build_info"}
    jobs = httpx.get(f"{server}/api/v1/label/job/values", params=params, timeout=10).json()["data"]
    assert jobs == ["tastemaker"]
