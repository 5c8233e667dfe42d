"""How long a search of the request log takes, over a million answers of ten items: by id, user, item, stage.

    python benchmarks/log_search.py            # writes 160 MB to a temporary folder
    python benchmarks/log_search.py --smoke    # 20,000 answers
    python benchmarks/log_search.py --json

The log is made as a drain writes it: a file of 10,000 answers at a time, over 30 days, 50,000 users and
20,000 items of which few are shown often. Each search is run five times in one process, without the start of
the program; the figures are the median and the slowest. Nothing of DuckDB stays open between two searches,
but the files are in the system's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.data.lake import Lake
from tastemaker.data.tables import REQUESTS, UTC_MICROSECONDS
from tastemaker.log_search.query import Parser
from tastemaker.log_search.search import search
from tastemaker.settings import Settings

START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
DAYS, K, USERS, ITEMS, PART = 30, 10, 50_000, 20_000, 10_000
RUNS = 5


class MeasuredSearch(NamedTuple):
    """The time of one search."""

    name: str
    query: str
    found: int
    median_ms: float
    slowest_ms: float
    target_ms: float


def write_log(lake: Lake, answers: int) -> None:
    """Write a log of so many answers."""
    rng = np.random.default_rng(0)
    times = START + np.arange(answers) * (DAYS * 86_400 / answers)
    days = (times // 86_400).astype(np.int64)
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        for first in range(0, len(rows), PART):
            part = times[rows[first : first + PART]]
            when = datetime.fromtimestamp(part[0], UTC).date()
            lake.write_day("requests", when, _rows(rng, part), part=f"served-{0:016x}-{rows[first]:012d}")


def _rows(rng: np.random.Generator, times: np.ndarray[Any, Any]) -> pa.Table:
    n = len(times)
    items = np.minimum(rng.zipf(1.2, n * K) - 1, ITEMS - 1)
    offsets = pa.array(np.arange(0, n * K + 1, K), pa.int32())
    is_popular = rng.random(n) < 0.001
    devices = rng.choice(["phone", "desktop"], n)
    numbers = rng.random((n, 2))
    known = {
        "request_id": [
            f"{int(at * 1_000):012x}{tail:020x}"
            for at, tail in zip(times, rng.integers(0, 2**62, n), strict=True)
        ],
        "occurred_at": pa.array((times * 1e6).astype(np.int64)).cast(UTC_MICROSECONDS),
        "user_id": [f"user-{user}" for user in rng.integers(0, USERS, n)],
        "k": pa.array(np.full(n, K, np.int32)),
        "context": [f'{{"page":"home","device":"{device}"}}' for device in devices],
        "features": [f'{{"recency_days":{a:.3f},"orders_per_day":{b:.4f}}}' for a, b in numbers],
        "model": ["item_knn"] * n,
        "version": np.where(times < np.median(times), "v1", "v2"),
        "item_ids": pa.ListArray.from_arrays(offsets, pa.array([f"item-{item}" for item in items])),
        "scores": pa.ListArray.from_arrays(offsets, pa.array(rng.random(n * K).astype(np.float32))),
        "propensities": pa.ListArray.from_arrays(offsets, pa.array(np.ones(n * K, np.float32))),
        "fallback": ["model_timeout" if one else None for one in is_popular],
        "latency_ms": pa.array(rng.gamma(2, 1, n).astype(np.float32)),
        "stage": np.where(is_popular, "popular", "model"),
        "kind": ["recommend"] * n,
    }
    columns = [known.get(field.name, pa.nulls(n, field.type)) for field in REQUESTS]
    return pa.table(dict(zip(REQUESTS.names, columns, strict=True)), schema=REQUESTS)


def measure(home: Path) -> Iterator[MeasuredSearch]:
    """Yield each search's time."""
    settings = Settings(home=home)
    files = Lake(settings.lake).files("requests")
    middle = pq.read_table(files[len(files) // 2], columns=["request_id", "user_id"], partitioning=None)
    one = middle.slice(len(middle) // 2, 1).to_pylist()[0]
    parser = Parser(datetime.fromtimestamp(START + DAYS * 86_400, UTC))
    searches = [
        ("by id", f"id:{one['request_id']}", 100),
        ("by user", f"user:{one['user_id']}", 500),
        ("by an item that is rarely shown", f"shown:item-{ITEMS // 2 + 1}", 500),
        ("by an item that is often shown", "shown:item-0", 500),
        ("by an item anywhere", f"item:item-{ITEMS // 2 + 1}", 1_000),
        ("by stage", "stage:popular", 500),
        ("short lists (none)", "items<k", 1_000),
        ("by context (none)", "tablet", 1_000),
        ("of the last day, by latency", "ms>10 since:1d", 500),
    ]
    for name, text, target in searches:
        query, seconds = parser.parse(text), []
        for _ in range(RUNS):
            start = time.perf_counter()
            found = search(query, settings)
            seconds.append(1_000 * (time.perf_counter() - start))
        yield MeasuredSearch(name, text, len(found), statistics.median(seconds), max(seconds), target)


def main() -> None:
    """Print one line per search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small log: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tastemaker-log-search-"))
    try:
        answers = 20_000 if chosen.smoke else 1_000_000
        start = time.perf_counter()
        write_log(Lake(folder / "lake"), answers)
        if not chosen.json:
            print(f"{answers:,} answers of {K} items in {time.perf_counter() - start:.0f} s", flush=True)
        found = []
        for one in measure(folder):
            found.append(one._asdict())
            if not chosen.json:
                print(
                    f"{one.name:32} {one.query[:40]:42} {one.found:>3} found  {one.median_ms:>6.0f} ms, "
                    f"slowest {one.slowest_ms:.0f} (at most {one.target_ms:.0f})",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if chosen.json:
        print(json.dumps({"processors": os.cpu_count(), "answers": answers, "searches": found}, indent=2))


if __name__ == "__main__":
    main()
