"""How long the product metrics of ten million events take, from scratch and for one more day, and the memory.

    python benchmarks/product_metrics.py            # writes 500 MB to a temporary folder
    python benchmarks/product_metrics.py --share 0.1    # of the events, users and items
    python benchmarks/product_metrics.py --smoke    # 40,000 events
    python benchmarks/product_metrics.py --json

An event is something that a user did, or an item that a list showed: 7 million and 3 million, over 180 days,
of 100,000 users, of which few come often. Two models have two versions each, and half of the lists are in
each variant of an experiment. The computation runs in a process of its own, whose greatest resident memory is
reported; it writes every window of 1, 7, 28 and 90 days that ends in the 180 days to SQLite. One more day is
then added, and the computation runs again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, FEEDBACK, ITEMS, REQUESTS, UTC_MICROSECONDS
from tastemaker.settings import Settings
from tastemaker.workflows.workspace import Workspace

FIRST_DAY = date(2026, 1, 1)
DAYS, USERS, ITEM_COUNT, K = 180, 100_000, 20_000, 10
EVENTS_PER_DAY, LISTS_PER_DAY = 38_900, 1_667
PROBLEM = """
name: shop
objectives:
  - name: interest
    events: {click: {weight: 1.0, window_days: 3}, purchase: {weight: 5.0, window_days: 7}}
"""


class ShopWriter:
    """A lake that gets one day after the other."""

    def __init__(self, home: Path, share: float) -> None:
        """Write the catalogue.

        Args:
            home: The home folder.
            share: Of the number of users, items and events.
        """
        self.lake, self.share = Lake(home / "lake"), share
        self.rng = np.random.default_rng(0)
        self.users, self.items = max(200, int(USERS * share)), max(100, int(ITEM_COUNT * share))
        weights = 1 / np.arange(1, self.users + 1) ** 0.7
        self.cumulative = np.cumsum(weights / weights.sum())
        (home / "problem.yaml").write_text(PROBLEM, encoding="utf-8")
        rows = {
            "item_id": [f"item-{n}" for n in range(self.items)],
            "category": [f"category-{n % 12}" for n in range(self.items)],
            "first_seen_at": [datetime(2026, 1, 1 + n % 28, tzinfo=UTC) for n in range(self.items)],
        }
        self.lake.write("items", _table(rows, ITEMS, self.items))

    def write_day(self, number: int) -> int:
        """Write a day, and return its number of events and impressions."""
        day = FIRST_DAY + timedelta(days=number)
        events, lists = max(50, int(EVENTS_PER_DAY * self.share)), max(20, int(LISTS_PER_DAY * self.share))
        visits = self._chosen(events // 4).repeat(4)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        times = midnight + self.rng.uniform(0, 80_000, len(visits))
        n = len(visits)
        self.lake.write_day("events", day, self._events(f"e{number}", visits, times, ["view"] * n))
        users, times = self._chosen(lists), midnight + self.rng.uniform(0, 80_000, lists)
        shown = self.rng.integers(0, self.items, (lists, K))
        self.lake.write_day("requests", day, self._requests(number, users, times, shown))
        clicked = np.flatnonzero(self.rng.random(lists) < 0.2)
        items = [f"item-{item}" for item in shown[clicked, self.rng.integers(0, K, len(clicked))]]
        reports = {
            "event_id": [f"f{number}-{row}" for row in clicked],
            "item_id": items,
            "event_type": np.where(self.rng.random(len(clicked)) < 0.2, "purchase", "click"),
            "value": np.ones(len(clicked)),
            "occurred_at": _times(times[clicked] + 900),
            "received_at": _times(times[clicked] + 905),
            "request_id": [_request_id(number, int(row)) for row in clicked],
        }
        self.lake.write_day("feedback", day, _table(reports, FEEDBACK, len(clicked)))
        return n + lists * K

    def _chosen(self, n: int) -> np.ndarray[Any, Any]:
        return np.searchsorted(self.cumulative, self.rng.random(n))

    def _events(self, prefix: str, users: Any, times: Any, types: list[str]) -> pa.Table:
        n = len(users)
        items = self.rng.integers(0, self.items, n)
        rows = {
            "event_id": [f"{prefix}-{row}" for row in range(n)],
            "user_id": [f"user-{user}" for user in users],
            "item_id": [f"item-{item}" for item in items],
            "event_type": types,
            "value": np.ones(n),
            "occurred_at": _times(times),
        }
        return _table(rows, EVENTS, n)

    def _requests(self, number: int, users: Any, times: Any, shown: Any) -> pa.Table:
        n = len(users)
        offsets = pa.array(np.arange(0, n * K + 1, K), pa.int32())
        ones = pa.array(np.ones(n * K, np.float32))
        is_fallback = self.rng.random(n) < 0.01
        rows = {
            "request_id": [_request_id(number, row) for row in range(n)],
            "occurred_at": _times(times),
            "user_id": [f"user-{user}" for user in users],
            "k": np.full(n, K, np.int32),
            "model": np.where(users % 5 == 0, "popularity", "ranker"),
            "version": np.where(users % 5 == 0, "popularity-", "ranker-") + str(1 + 2 * number // DAYS),
            "item_ids": pa.ListArray.from_arrays(
                offsets, pa.array([f"item-{item}" for item in shown.ravel()])
            ),
            "scores": pa.ListArray.from_arrays(offsets, ones),
            "propensities": pa.ListArray.from_arrays(offsets, ones),
            "fallback": pa.array(np.where(is_fallback, "model_timeout", ""), mask=~is_fallback),
            "latency_ms": self.rng.gamma(2, 3, n).astype(np.float32),
            "stage": np.where(is_fallback, "popular", "model"),
            "experiment": ["page"] * n,
            "epoch": np.zeros(n, np.int64),
            "variant": np.where(users % 2 == 0, "control", "treatment"),
            "variant_probability": np.full(n, 0.5),
        }
        return _table(rows, REQUESTS, n)


def _request_id(number: int, row: int) -> str:
    return f"{number:012x}{row:020x}"


def _times(seconds: Any) -> pa.Array:
    return pa.array((np.asarray(seconds) * 1e6).astype(np.int64)).cast(UTC_MICROSECONDS)


def _table(known: dict[str, Any], schema: pa.Schema, n: int) -> pa.Table:
    columns = [known.get(field.name, pa.nulls(n, field.type)) for field in schema]
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def measure_once(home: Path) -> dict[str, float]:
    """Measure the home in this process: seconds, greatest resident memory, and rows written."""
    metrics = Workspace(Settings(home=home, problem=home / "problem.yaml")).product_metrics
    start = time.perf_counter()
    end = datetime.combine(FIRST_DAY, datetime.min.time(), UTC) + timedelta(days=DAYS + 2)
    found = metrics.measure(now=end)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu = time.process_time()
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak, "rows": found.rows}


def main() -> None:
    """Print one line per computation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a small shop: shows that it runs")
    parser.add_argument("--share", type=float, default=1.0, help="of the events, users and items")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.home is not None:
        print(json.dumps(measure_once(chosen.home)))
        return
    home = Path(tempfile.mkdtemp(prefix="tastemaker-product-metrics-"))
    try:
        days, share = (12, 0.05) if chosen.smoke else (DAYS, chosen.share)
        shop = ShopWriter(home, share)
        events = sum(shop.write_day(day) for day in range(days))
        results = {"from scratch": _in_a_process(home)}
        shop.write_day(days)
        results["one more day"] = _in_a_process(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if chosen.json:
        print(
            json.dumps(
                {"processors": os.cpu_count(), "days": days, "events": events, "runs": results}, indent=2
            )
        )
        return
    print(f"{events:,} events of {days} days")
    for name, one in results.items():
        print(
            f"{name:14} {one['seconds']:>6.1f} s  {one['cpu_seconds']:>6.1f} s of processors  "
            f"{one['peak_mb']:>6,.0f} MB  {one['rows']:>9,} rows written"
        )


def _in_a_process(home: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--home", str(home)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
