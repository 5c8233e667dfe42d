"""How soon a page of the dashboard is seen, and how much memory it takes, with 1,000 versions of 90 days.

    python benchmarks/dashboard.py             # a database of 300 MB in a temporary folder
    python benchmarks/dashboard.py --smoke     # 20 versions
    python benchmarks/dashboard.py --json

The database has daily, weekly and four-weekly windows of five metrics: 1.35 million measurements, and 10,000
reports. Each page is asked for five times, each time with an address that was not asked for before, so that
nothing is kept from the last time. The time to HTML is that of a client on the same machine; the first paint
is Chromium's first contentful paint, if Chromium is installed. Memory is the resident memory of the process,
and of the one that draws charts, after all pages and their charts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
from playwright.sync_api import sync_playwright
from sqlalchemy import Engine, insert, text

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.servers import free_port
from tastemaker.dashboard.pages import PAGES
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import measurements, promotions, reports, versions

DAY = timedelta(days=1)
METRICS = ("ctr_list", "ctr_impression", "reward_per_request", "model_answer_share", "requests")
WINDOWS = (1, 7, 28)
RUNS = 5
TARGET_MS, TARGET_MB = 300.0, 200.0
FILL = """
INSERT INTO measurements
WITH RECURSIVE
    version(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM version WHERE n + 1 < :versions),
    day(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM day WHERE n + 1 < :days),
    metric(name) AS (SELECT value FROM json_each(:metrics)),
    length(days) AS (SELECT value FROM json_each(:lengths))
SELECT 'tastemaker', 'shop', 'model-' || (version.n % 7), printf('version-%06d', version.n), '', '', '',
    metric.name,
    strftime('%Y-%m-%d 00:00:00.000000', :today, '-' || (day.n + length.days) || ' days'),
    strftime('%Y-%m-%d 00:00:00.000000', :today, '-' || day.n || ' days'),
    CASE metric.name WHEN 'reward_per_request' THEN 'GBP' WHEN 'requests' THEN 'requests' ELSE 'share' END,
    0.1 + (version.n * 31 + day.n * 17) % 100 / 1000.0, 0.09, 0.21, 1000 + version.n, 1,
    strftime('%Y-%m-%d 03:00:00.000000', :today)
FROM version, metric, length, day
ORDER BY 3, 4, 8, 9, 10
"""
"""Measurements in the order of the primary key."""
FIRST_PAINT = """() => new Promise((done) => {
  const name = "first-contentful-paint";
  const look = (list) => list.getEntriesByName(name).forEach((one) => done(one.startTime));
  new PerformanceObserver(look).observe({ type: "paint", buffered: true });
})"""


class MeasuredPage(NamedTuple):
    """The times of one page, in milliseconds."""

    path: str
    html_ms: float
    slowest_html_ms: float
    paint_ms: float | None
    """None: Chromium is not installed."""
    bytes: int


class MeasuredDashboard(NamedTuple):
    """What the benchmark measured."""

    pages: list[MeasuredPage]
    process_mb: float
    drawing_mb: float
    """Memory of the process that draws charts."""


def fill(engine: Engine, count: int, days: int) -> int:
    """Write versions with measurements of so many days; return the number of measurements."""
    now = datetime.now(UTC)
    manifest = {"window": {"start": 0, "end": int(now.timestamp())}, "problem_spec": {"metric": "ndcg"}}
    ids = [f"version-{number:06}" for number in range(count)]
    common = {"problem": "shop", "created_at": now}
    with engine.begin() as connection:
        for index in measurements.indexes:
            index.drop(connection)
        values = {
            "versions": count, "days": days, "metrics": json.dumps(METRICS), "lengths": json.dumps(WINDOWS),
            "today": f"{now:%Y-%m-%d}",
        }  # fmt: skip
        rows = connection.execute(text(FILL), values).rowcount
        for index in measurements.indexes:
            index.create(connection)
        connection.execute(
            insert(versions),
            [
                common | {"id": one, "model": f"model-{n % 7}", "content_hash": one, "manifest": manifest}
                for n, one in enumerate(ids)
            ],
        )
        connection.execute(
            insert(promotions),
            [
                {
                    "problem": "shop", "version_id": one, "action": "promote", "forced": False,
                    "reason": "better", "at": now - n * DAY,
                }
                for n, one in enumerate(ids[:60])
            ],
        )  # fmt: skip
        summary = {
            "verdict": "Nothing changed.", "alarm": False, "note": None, "requests": 500, "days": [],
            "reference_days": {}, "columns": [],
        }  # fmt: skip
        connection.execute(
            insert(reports),
            [
                common
                | {"kind": "drift", "version_id": ids[n % count], "summary": summary, "path": "report.html"}
                for n in range(10 * count)
            ],
        )  # fmt: skip
    return rows


@contextmanager
def dashboard(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the address of a dashboard and its process."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("tastemaker")), "dashboard", "--port", str(port)]
    environment = os.environ | {"TASTEMAKER_HOME": str(home)}
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            while not _answers(url):
                if process.poll() is not None:
                    raise SystemExit(f"the dashboard ended with {process.returncode}")
                time.sleep(0.1)
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()


def measure(home: Path) -> MeasuredDashboard:
    """Measure each page of a home's dashboard."""
    paths = [page.path.replace("{version:path}", "version-000000") for page in PAGES]
    with dashboard(home) as (url, process):
        client = httpx.Client(base_url=url, timeout=60)
        client.get("/static/dashboard.css")
        html = {path: list(_html(client, path)) for path in paths if "{" not in path}
        paints = _paints(url, list(html))
        pages = [
            MeasuredPage(
                path,
                statistics.median(ms for ms, _ in found),
                max(ms for ms, _ in found),
                paints.get(path),
                found[0][1],
            )
            for path, found in html.items()
        ]
        own = process.memory_info().rss
        drawing = sum(child.memory_info().rss for child in process.children(recursive=True))
        return MeasuredDashboard(pages, own / 1e6, drawing / 1e6)


def _html(client: httpx.Client, path: str) -> Iterator[tuple[float, int]]:
    for run in range(RUNS):
        started = time.perf_counter()
        answer = client.get(path, params={"run": run})
        answer.raise_for_status()
        yield (time.perf_counter() - started) * 1_000, len(answer.content)


def _paints(url: str, paths: Sequence[str]) -> dict[str, float]:
    """Return the median first contentful paint of each page; nothing without Chromium."""
    found = shutil.which("chromium")
    if found is None:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1_280, "height": 900})
        paints: dict[str, float] = {}
        for path in paths:
            times = []
            for run in range(RUNS):
                page.goto(f"{url}{path}?paint={run}", wait_until="load")
                times.append(page.evaluate(FIRST_PAINT))
            page.wait_for_load_state("networkidle")
            paints[path] = statistics.median(times)
        browser.close()
    return paints


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).is_success
    except httpx.TransportError:
        return False


def main() -> None:
    """Print one line per page, and the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a few versions: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tastemaker-dashboard-") as folder:
        home = Path(folder)
        engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
        started = time.perf_counter()
        rows = fill(engine, 20 if chosen.smoke else 1_000, 14 if chosen.smoke else 90)
        engine.dispose()
        if not chosen.json:
            print(f"{rows:,} measurements in {time.perf_counter() - started:.0f} s", flush=True)
        found = measure(home)
    if chosen.json:
        print(json.dumps(_as_json(found, rows), indent=2))
        return
    for page in found.pages:
        paint = "" if page.paint_ms is None else f", first paint {page.paint_ms:.0f} ms"
        print(
            f"{page.path:28} HTML {page.html_ms:>5.0f} ms, slowest {page.slowest_html_ms:.0f}{paint} "
            f"(at most {TARGET_MS:.0f}); {page.bytes / 1e3:.0f} kB"
        )
    print(f"memory {found.process_mb:.0f} MB (at most {TARGET_MB:.0f}), drawing {found.drawing_mb:.0f} MB")


def _as_json(found: MeasuredDashboard, rows: int) -> dict[str, Any]:
    pages = [page._asdict() for page in found.pages]
    return {"processors": os.cpu_count(), "measurements": rows, **found._asdict(), "pages": pages}


if __name__ == "__main__":
    main()
