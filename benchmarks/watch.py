"""What `tastemaker watch` costs: memory and processor time while it scrapes services and evaluates all rules.

    python benchmarks/watch.py                   ten services, three minutes
    python benchmarks/watch.py --services 50

Each service exports what a worker's metrics page has, and its counters rise. Memory is what is resident, of
the watch and of every process that it starts; it must stay below 150 MB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import click
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.served_homes import make_home
from support.servers import free_port
from tastemaker.event_log.spool import Spool
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.runtime.metrics import Metrics

MODEL = "ranker"
WARM_SECONDS = 30


LIMIT_BYTES = 150_000_000


class Figures(NamedTuple):
    """What was measured."""

    share: float
    """Processor time as a share of one core."""
    most_bytes: int
    """Most resident memory of the watch and its children."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--services", default=10, show_default=True, help="How many services are scraped.")
@click.option("--seconds", default=180, show_default=True, help="How long it is measured, after a warm-up.")
def main(smoke: bool, services: int, seconds: int) -> None:
    """Measure memory and processor time of the watch."""
    if smoke:
        services, seconds = 2, 5
    with tempfile.TemporaryDirectory(prefix="tastemaker-watch-") as folder:
        make_home(Path(folder))
        servers, lines = serve_pages(Path(folder) / "spool", services)
        try:
            found = measure(Path(folder), servers, seconds, 3 if smoke else WARM_SECONDS)
        finally:
            for server in servers:
                server.shutdown()
    click.echo(f"services                     {services}, {lines} lines each, every 5 s")
    click.echo(f"processor time, one core     {found.share:.1%}")
    click.echo(f"memory, highest              {found.most_bytes / 1e6:.0f} MB")
    if found.most_bytes > LIMIT_BYTES:
        click.echo(f"MORE THAN {LIMIT_BYTES / 1e6:.0f} MB")
        sys.exit(1)


def serve_pages(spool: Path, services: int) -> tuple[list[ThreadingHTTPServer], int]:
    """Start the services, and return them and the number of lines of a page."""
    metrics = Metrics(Spool(spool), endpoints=SERVICE_ROUTES.statuses())
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
        most = 0
        while time.monotonic() - began < seconds:
            most = max(most, process.memory_info().rss + _bytes_of_children(process))
            time.sleep(0.05)
        share = (sum(process.cpu_times()[:4]) - before) / (time.monotonic() - began)
        return Figures(share, most)
    finally:
        watch.terminate()
        watch.wait(20)


def _bytes_of_children(process: psutil.Process) -> int:
    found = 0
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            found += child.memory_info().rss
    return found


if __name__ == "__main__":
    main()
