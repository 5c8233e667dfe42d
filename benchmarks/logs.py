"""How fast the log is: feedback acknowledged on disk, and the way from there to Postgres.

    python benchmarks/logs.py            # needs wrk and a Postgres (Debian: wrk, postgresql)
    python benchmarks/logs.py --quick    # fewer seconds and rows
    python benchmarks/logs.py --json

Beside each figure stands what one would write first, on the same machine in the same run: a service that
commits each event on its own, and a row-by-row INSERT. Read the ratios; seconds belong to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import request_logs
from support.bento_servers import running
from support.served_homes import make_home
from support.servers import free_port, postgres
from tastemaker.event_log.drain import drain
from tastemaker.event_log.postgres import PostgresSink, connect
from tastemaker.event_log.records import Entry, FeedbackRecord
from tastemaker.event_log.spool import Spool, read
from tastemaker.event_log.spool_file import FILE_NAME

TARGETS = {"feedback": 5_000, "drain": 20_000}
"""A second."""
CONNECTIONS = 64
LUA = """
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args) sent = 0; size = tonumber(args[1]); run = args[2] end
function request()
  local events = {}
  for i = 1, size do
    sent = sent + 1
    events[i] = string.format('{"event_id":"%s-%d-%d","event_type":"click","item_id":"item-%02d",' ..
      '"user_id":"user-%02d","position":3}', run, id, sent, sent % 25, sent % 40)
  end
  return wrk.format("POST", "/feedback", {["content-type"] = "application/json"},
    '{"events":[' .. table.concat(events, ",") .. "]}")
end
"""
NAIVE = """
import json, sqlite3, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=FULL")
database.execute("CREATE TABLE events (id TEXT PRIMARY KEY, event TEXT)")
async def feedback(request):
    for event in (await request.json())["events"]:
        with database:
            row = (event["event_id"], json.dumps(event))
            database.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", row)
    return JSONResponse({"accepted": 1})
async def ready(request):
    return JSONResponse({})
routes = [Route("/feedback", feedback, methods=["POST"]), Route("/readyz", ready)]
uvicorn.run(Starlette(routes=routes), port=int(sys.argv[2]), access_log=False, log_level="error")
"""


class Measured(NamedTuple):
    """A rate and what it is held against."""

    name: str
    per_second: float
    baseline: str
    baseline_per_second: float
    target: int | None

    @property
    def ratio(self) -> float:
        """How many times the baseline."""
        return self.per_second / self.baseline_per_second


def measure(folder: Path, *, seconds: int, rows: int) -> Iterator[Measured]:
    """Yield each figure as soon as it is known."""
    naive = _naive(folder, seconds)
    for size in (1, 20):
        rate = _served(folder, size, seconds)
        name = f"feedback over HTTP, {size} a request, {CONNECTIONS} connections, durable"
        yield Measured(name, rate, "a commit per event, Starlette", naive, TARGETS["feedback"])
    with postgres(fsync=True) as (_, server):
        url = f"{server}/postgres"
        slow = _row_by_row(folder / "slow", url, rows // 50)
        shipped = _drained(folder / "spool", url, rows)
    yield Measured("drain to Postgres, half requests", shipped, "INSERT row by row", slow, TARGETS["drain"])


def _served(folder: Path, size: int, seconds: int) -> float:
    home = folder / f"home-{size}"
    make_home(home)
    environment = {"TASTEMAKER_HOME": str(home), "TASTEMAKER_PROBLEM": str(folder / "none.yaml")}
    command = ["bentoml", "serve", "tastemaker_baselines.service:Popularity"]
    with running(command, folder, environment) as client:
        _wrk(str(client.base_url), folder, size, 1, "warm")
        rate, acknowledged = _wrk(str(client.base_url), folder, size, seconds, "run")
    stored = read(home / "spool" / FILE_NAME, 10**9)
    if stored is None or sum("run-" in one.event_id for one in _clicks(stored.records)) < acknowledged:
        raise SystemExit("an acknowledged event is not on disk")
    return rate


def _clicks(records: list[Entry]) -> Iterator[FeedbackRecord]:
    return (one for one in records if isinstance(one, FeedbackRecord))


def _wrk(url: str, folder: Path, size: int, seconds: int, run: str) -> tuple[float, int]:
    """Send feedback with wrk, and return the acknowledged events per second and in all."""
    script = folder / "feedback.lua"
    script.write_text(LUA)
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "-s",
        str(script),
        url,
        "--",
        str(size),
        run,
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said:
        raise SystemExit(f"events were refused:\n{said}")
    done, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    if done is None or rate is None:
        raise SystemExit(f"wrk said something else:\n{said}")
    return float(rate[1]) * size, int(done[1]) * size


def _naive(folder: Path, seconds: int) -> float:
    with _process([sys.executable, "-c", NAIVE, str(folder / "naive.db")]) as url:
        return _wrk(url, folder, 1, seconds, "run")[0]


@contextmanager
def _process(command: list[str]) -> Iterator[str]:
    """Start a server on a free port, and yield its URL once it answers."""
    import httpx

    url = f"http://127.0.0.1:{(port := free_port())}"
    server = subprocess.Popen([*command, str(port)])
    try:
        for _ in range(100):
            try:
                httpx.get(f"{url}/readyz")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def _fill(folder: Path, rows: int) -> None:
    spool = Spool(folder)
    for number in range(0, rows, 1_000):
        some = range(number, min(number + 1_000, rows))
        spool.append(*(request_logs.request(n) if n % 2 else request_logs.click(n) for n in some)).result()
    spool.close()


def _drained(folder: Path, url: str, rows: int) -> float:
    _fill(folder, rows)
    target = PostgresSink(url)
    connect(url).close()  # creates the tables, once for all drains
    start = time.perf_counter()
    moved = drain(folder, target)
    seconds = time.perf_counter() - start
    target.close()
    if moved.requests + moved.feedback != rows:
        raise SystemExit(f"{moved} were drained of {rows}")
    return rows / seconds


def _row_by_row(folder: Path, url: str, rows: int) -> float:
    import psycopg2

    _fill(folder, rows)
    pending = read(folder / FILE_NAME, rows)
    records = [] if pending is None else pending.records
    with_driver = url.replace("postgresql+psycopg2", "postgresql")
    connection = psycopg2.connect(with_driver)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE slow (key TEXT PRIMARY KEY, record JSON)")
        start = time.perf_counter()
        for number, record in enumerate(records):
            row = (str(number), request_logs.as_json(record))
            cursor.execute("INSERT INTO slow VALUES (%s, %s) ON CONFLICT DO NOTHING", row)
        seconds = time.perf_counter() - start
    connection.close()
    return len(records) / seconds


def main() -> None:
    """Print a line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer seconds and rows")
    parser.add_argument(
        "--smoke", action="store_true", help="sizes so small that it takes seconds: shows that it runs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tastemaker-logs-"))
    seconds, rows = (1, 2_000) if chosen.smoke else (3, 40_000) if chosen.quick else (10, 200_000)
    found = []
    try:
        for one in measure(folder, seconds=seconds, rows=rows):
            found.append(one._asdict() | {"ratio": one.ratio})
            if not chosen.json:
                print(
                    f"{one.name}: {one.per_second:,.0f}/s (at least {one.target:,}), {one.ratio:.1f} times "
                    f"{one.baseline} ({one.baseline_per_second:,.0f}/s)",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if chosen.json:
        print(json.dumps({"processors": os.cpu_count(), "measured": found}, indent=2))


if __name__ == "__main__":
    main()
