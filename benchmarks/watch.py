"""What `tastemaker watch` costs: memory and processor time while it scrapes services and evaluates all rules.

    python benchmarks/watch.py                   ten services, three minutes
    python benchmarks/watch.py --services 50

Each service exports what a worker's metrics page has, and its counters rise. The home folder has the requests
of a day and a snapshot of user features, which are read for the facts. Memory is the proportional set size
(PSS) of all processes of the watch: pages that processes share count once. It must stay below 150 MB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import click
import duckdb
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.request_logs import request
from support.served_homes import make_home
from support.servers import free_port
from tastemaker.data.lake import Lake, by_day
from tastemaker.event_log.rows import request_rows
from tastemaker.event_log.spool import Spool
from tastemaker.features.names import USER_FEATURES
from tastemaker.features.snapshot_path import snapshot_path
from tastemaker.serving.http.routes import statuses
from tastemaker.serving.runtime.metrics import Metrics
from tastemaker.settings import Settings

MODEL = "ranker"
WARM_SECONDS = 30


LIMIT_BYTES = 150_000_000
KNOWN_USERS = 20_000


class Figures(NamedTuple):
    """What was measured."""

    share: float
    """Processor time as a share of one core."""
    most_bytes: int
    """Most memory (PSS) of the watch, while it is alone."""
    most_bytes_together: int
    """The same with the process that reads the lake."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--services", default=10, show_default=True, help="How many services are scraped.")
@click.option("--seconds", default=180, show_default=True, help="How long it is measured, after a warm-up.")
@click.option("--requests", default=200_000, show_default=True, help="Logged requests of the last day.")
def main(smoke: bool, services: int, seconds: int, requests: int) -> None:
    """Measure memory and processor time of the watch."""
    if smoke:
        services, seconds, requests = 2, 5, 2_000
    with tempfile.TemporaryDirectory(prefix="tastemaker-watch-") as folder:
        fill_home(Path(folder), requests)
        servers, lines = serve_pages(Path(folder) / "spool", services)
        try:
            found = measure(Path(folder), servers, seconds, 3 if smoke else WARM_SECONDS)
        finally:
            for server in servers:
                server.shutdown()
    click.echo(f"services                     {services}, {lines} lines each, every 5 s")
    click.echo(f"processor time, one core     {found.share:.1%}, with the processes that read the lake")
    click.echo(f"memory of the watch          {found.most_bytes / 1e6:.0f} MB")
    click.echo(f"while the lake is read       {found.most_bytes_together / 1e6:.0f} MB, all processes")
    if found.most_bytes_together > LIMIT_BYTES:
        click.echo(f"MORE THAN {LIMIT_BYTES / 1e6:.0f} MB")
        sys.exit(1)


def fill_home(home: Path, requests: int) -> None:
    """Make a home folder with a version, its users' features, and the requests of the last day."""
    version = make_home(home)["popularity"]
    settings = Settings(home=home)
    now = datetime.now(UTC)
    with duckdb.connect() as connection:
        values = ", ".join(f"(random() * 9)::FLOAT AS {name}" for name in USER_FEATURES)
        path = snapshot_path(settings.features, "users", version.manifest.window.end)
        path.parent.mkdir(parents=True)
        connection.execute(
            f"COPY (SELECT 'user-' || i AS user_id, {values} FROM range({KNOWN_USERS}) t(i)) TO '{path}'"  # noqa: S608
        )
        features = dict.fromkeys(USER_FEATURES, 1.5)
        rows = request_rows(
            [request(0, model=version.model, version=version.id, kind="recommend", features=features)]
        )
        asked = connection.execute(
            "SELECT rows.* REPLACE (uuid()::VARCHAR AS request_id, ?::TIMESTAMPTZ - to_seconds(i) AS "
            "occurred_at, 'user-' || i % ? AS user_id) FROM rows, range(?) t(i)",
            [now, KNOWN_USERS, requests],
        ).to_arrow_table()
    for day, part in by_day(asked.sort_by("occurred_at")):
        Lake(settings.lake).write_day("requests", day, part.cast(rows.schema))


def serve_pages(spool: Path, services: int) -> tuple[list[ThreadingHTTPServer], int]:
    """Start the services, and return them and the number of lines of a page."""
    metrics = Metrics(Spool(spool), endpoints=statuses())
    engine = metrics.engine(MODEL)
    engine.serves(MODEL, "v1")
    metrics.is_degraded((), differs=False)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            for _ in range(20):
                metrics.requested("/recommend", 200, 0.004)
            body = metrics.page()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Page) for _ in range(services)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return servers, metrics.page().count(b"\n")


def measure(home: Path, servers: list[ThreadingHTTPServer], seconds: float, warm_seconds: float) -> Figures:
    """Return what a watch of these services takes."""
    targets = ",".join(f"http://127.0.0.1:{server.server_port}" for server in servers)
    watch = subprocess.Popen(
        [sys.executable, "-m", "tastemaker.cli.main", "watch"],
        cwd=home,
        env=os.environ
        | {
            "TASTEMAKER_HOME": str(home),
            "TASTEMAKER_WATCH__TARGETS": targets,
            "TASTEMAKER_WATCH__PORT": str(free_port()),
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        process = psutil.Process(watch.pid)
        time.sleep(warm_seconds)
        began, before = time.monotonic(), sum(process.cpu_times()[:4])
        most = most_together = 0
        while time.monotonic() - began < seconds:
            own, children = process.memory_full_info().pss, _bytes_of_children(process)
            most_together = max(most_together, own + children)
            most = most if children else max(most, own)
            time.sleep(0.1)
        share = (sum(process.cpu_times()[:4]) - before) / (time.monotonic() - began)
        return Figures(share, most, most_together)
    finally:
        watch.terminate()
        watch.wait(20)


def _bytes_of_children(process: psutil.Process) -> int:
    found = 0
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            found += child.memory_full_info().pss
    return found


if __name__ == "__main__":
    main()
