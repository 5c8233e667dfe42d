"""How long the looks at an experiment with a million units take, and how much memory they need.

    python benchmarks/experiment_looks.py            # 1,000,000 units; writes 200 MB to a temporary folder
    python benchmarks/experiment_looks.py --smoke    # 5,000 units
    python benchmarks/experiment_looks.py --json

Each unit is a user with one or two lists in 14 days, and of every three users one clicks or buys; half of
the users came before the experiment. The table of units is read from the lake once, and 14 looks are taken
from it, each by what its day's log had. All runs in a process of its own, whose greatest resident memory is
reported.
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
from tastemaker.data.tables import EVENTS, FEEDBACK, REQUESTS, UTC_MICROSECONDS
from tastemaker.experiments.analysis.look import look_at
from tastemaker.experiments.analysis.units import UnitQuery, read_units
from tastemaker.experiments.design import Design, GuardrailDesign, VariantDesign
from tastemaker.problem import load_problem

FIRST_DAY = date(2026, 3, 2)
DAYS, BEFORE_DAYS, WINDOW_DAYS, K = 14, 28, 7, 10
UNITS = 1_000_000
DAY = 86_400
PROBLEM = """
name: shop
objectives:
  - name: interest
    events: {click: {weight: 1.0, window_days: 3}, purchase: {weight: 5.0, window_days: 7}}
"""
NOW = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=DAYS + WINDOW_DAYS)


def design(units: int) -> Design:
    """Return the design of two rankers with equal shares."""
    halves = {name: VariantDesign(500_000, model="ranker", version=f"r-{name}") for name in "AB"}
    return Design(
        name="ranker_b",
        namespace="home",
        owner="benchmark",
        hypothesis="none",
        control="A",
        variants=halves,
        primary="reward_per_user",
        secondary=("active_share", "requests_per_user"),
        guardrails=(GuardrailDesign("fallback_share", 0.01),),
        minimum_effect=0.02,
        planned_units=int(0.98 * units),
        window_days=WINDOW_DAYS,
        covariate_days=BEFORE_DAYS,
    )


def write_shop(home: Path, units: int) -> int:
    """Write the log, and return its number of requests and events."""
    lake, rng = Lake(home / "lake"), np.random.default_rng(0)
    (home / "problem.yaml").write_text(PROBLEM, encoding="utf-8")
    first = rng.uniform(0, DAYS * DAY, units)
    again = np.flatnonzero(rng.random(units) < 0.5)
    users = np.concatenate([np.arange(units), again])
    times = np.concatenate([first, first[again] + rng.exponential(2 * DAY, len(again))])
    before = np.flatnonzero(rng.random(units) < 0.5)
    rows = 0
    rows += _write_requests(lake, rng, users, times, "e", is_assigned=True)
    rows += _write_requests(lake, rng, before, rng.uniform(-BEFORE_DAYS * DAY, 0, len(before)), "b")
    chosen = rng.random(len(users)) < 0.33
    buyers, after = users[chosen], times[chosen] + rng.exponential(2 * DAY, int(chosen.sum()))
    early = before[: len(before) // 2]
    happened = np.concatenate(
        [after, rng.uniform(-BEFORE_DAYS * DAY, 0, len(early)), [NOW.timestamp() - _START]]
    )
    return rows + _write_events(lake, rng, np.concatenate([buyers, early, [0]]), happened)


_START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def _write_requests(
    lake: Lake, rng: Any, users: Any, times: Any, prefix: str, *, is_assigned: bool = False
) -> int:
    for day in np.unique(times // DAY).astype(int).tolist():
        rows = np.flatnonzero(times // DAY == day)
        n = len(rows)
        items = pa.array([f"item-{one}" for one in range(2_000)]).take(
            pa.array(rng.integers(0, 2_000, n * K))
        )
        offsets, ones = pa.array(np.arange(0, n * K + 1, K), pa.int32()), pa.array(np.ones(n * K, np.float32))
        is_fallback = rng.random(n) < 0.01
        known: dict[str, Any] = {
            "request_id": [f"{prefix}{row:031x}" for row in rows],
            "occurred_at": _times(times[rows]),
            "user_id": _names(users[rows]),
            "k": np.full(n, K, np.int32),
            "model": ["ranker"] * n,
            "version": np.where(users[rows] % 2, "r-B", "r-A"),
            "item_ids": pa.ListArray.from_arrays(offsets, items),
            "scores": pa.ListArray.from_arrays(offsets, ones),
            "propensities": pa.ListArray.from_arrays(offsets, ones),
            "fallback": pa.array(np.where(is_fallback, "model_timeout", ""), mask=~is_fallback),
            "latency_ms": rng.gamma(2, 3, n).astype(np.float32),
        }
        if is_assigned:
            known |= {
                "experiment": ["ranker_b"] * n,
                "epoch": np.zeros(n, np.int64),
                "variant": np.where(users[rows] % 2, "B", "A"),
                "variant_served": np.where(users[rows] % 2, "B", "A"),
                "variant_probability": np.full(n, 0.5),
                "plan_digest": ["0123456789abcdef"] * n,
                "unit": _names(users[rows]),
            }
        lake.write_day("requests", FIRST_DAY + timedelta(days=day), _table(known, REQUESTS, n), part=prefix)
    return len(users)


def _write_events(lake: Lake, rng: Any, users: Any, times: Any) -> int:
    """Half of the events come from a source, half as feedback."""
    for day in np.unique(times // DAY).astype(int).tolist():
        rows = np.flatnonzero(times // DAY == day)
        for table, schema, some in (("events", EVENTS, rows[::2]), ("feedback", FEEDBACK, rows[1::2])):
            n = len(some)
            known = {
                "event_id": [f"e{row}" for row in some],
                "user_id": _names(users[some]),
                "item_id": ["item-1"] * n,
                "event_type": np.where(rng.random(n) < 0.3, "purchase", "click"),
                "value": np.ones(n),
                "occurred_at": _times(times[some]),
                "received_at": _times(times[some] + 5),
            }
            lake.write_day(table, FIRST_DAY + timedelta(days=day), _table(known, schema, n))
    return len(users)


def _names(users: Any) -> list[str]:
    return [f"user-{user}" for user in users]


def _times(seconds: Any) -> pa.Array:
    return pa.array(((np.asarray(seconds) + _START) * 1e6).astype(np.int64)).cast(UTC_MICROSECONDS)


def _table(known: dict[str, Any], schema: pa.Schema, n: int) -> pa.Table:
    columns = [known.get(field.name, pa.nulls(n, field.type)) for field in schema]
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def measure(home: Path, units: int) -> dict[str, Any]:
    """Read the units and take 14 looks in this process."""
    problem, plan = load_problem(home / "problem.yaml"), design(units)
    query = UnitQuery.of(plan, range(1), "user", problem, started_at=_START)
    start, cpu = time.perf_counter(), time.process_time()
    with Lake(home / "lake").connect() as connection:
        table = read_units(connection, query, problem, NOW)
    read = time.perf_counter()
    past: list[float] = []
    for day in range(DAYS):
        until = _START + (WINDOW_DAYS + day + 1) * DAY
        look = look_at(table.as_of(until), plan, query.metrics, past=past)
        if look.is_planned:
            past.append(look.information)
    return {
        "units": len(table),
        "planned_looks": len(past),
        "seconds": time.perf_counter() - start,
        "seconds_of_units": read - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "sentence": look.sentence,
    }


def main() -> None:
    """Print seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="few units: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    units = 5_000 if chosen.smoke else UNITS
    if chosen.home is not None:
        print(json.dumps(measure(chosen.home, units)))
        return
    home = Path(tempfile.mkdtemp(prefix="tastemaker-experiment-looks-"))
    try:
        rows = write_shop(home, units)
        command = [sys.executable, __file__, "--home", str(home), *(["--smoke"] if chosen.smoke else [])]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    found = json.loads(done.stdout)
    if chosen.json:
        print(json.dumps({"processors": os.cpu_count(), "rows": rows, **found}, indent=2))
        return
    print(f"{rows:,} requests and events, {found['units']:,} units, {found['planned_looks']} planned looks")
    print(
        f"{found['seconds']:.1f} s ({found['seconds_of_units']:.1f} s for the table of units), "
        f"{found['cpu_seconds']:.1f} s of processors, {found['peak_mb']:,.0f} MB"
    )
    print(found["sentence"])


if __name__ == "__main__":
    main()
