"""How fast the prediction service answers, beside stock BentoML, bare Starlette, and FastAPI by hand.

A personal top-10 by dot product over 4,000 and 100,000 items of 64 dimensions; user features read from the
online store (remembered for 30 s, as by default), every answer logged durably, one worker under
`bentoml serve`, kept to one processor (`serving.pin_workers`) unless the table says otherwise. Rounds of wrk
go from server to server, so that what the machine does besides hits all alike: read the ratios. Latency is
what people who look at their lists for a while (`loads`) wait at half of the server's own maximum.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
from loads import Flood, Paced, flood, paced, ratios
from serving_servers import BARE, NOOP, Home, Server, redis, rival_commands, server, service_command
from serving_shop import N_USERS, fill_features, install_plugin, make_home, user_id

HERE = Path(__file__).parent
OURS, ANYWHERE = "tastemaker, 4,000 items", "the same, on any processor"
LARGE, INDEXED = "tastemaker, 100,000 items, on any", "the same, with its index, on one"
TARGETS = {OURS: 5.0, LARGE: 2.0}
"""Times the throughput of the no-op."""
MIN_OF_BARE = 0.4
MAX_P99_MS, MAX_MB, MAX_WARM_US, MAX_COLD, MAX_ITEMS_MS = 10.0, 400, 50.0, 1.1, 0.5


class Effort(NamedTuple):
    """How much is measured."""

    homes: Sequence[str]
    """Keys of HOMES. The memory is that of the last but the indexed one."""
    reads: int
    """Users whose features are read."""
    floods: tuple[int, float]
    """Rounds, and seconds of each."""
    paced: tuple[int, float]


HOMES = {
    OURS: Home("small", 4_000, pin=True),
    ANYWHERE: Home("small", 4_000),
    LARGE: Home("large", 100_000),
    INDEXED: Home("indexed", 100_000, indexed=True, pin=True),
}
FULL = Effort(tuple(HOMES), 300, (5, 6.0), (5, 7.0))
QUICK = Effort((OURS, ANYWHERE, LARGE), 50, (2, 2.0), (1, 5.0))
SMOKE = Effort((OURS,), 5, (1, 1.0), (1, 1.0))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Short rounds and no index: no more than a hint.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the homes here, and use them again.")
@click.option("--json", "as_json", is_flag=True, help="For a machine to read.")
def main(quick: bool, smoke: bool, folder: Path | None, as_json: bool) -> None:
    """Throughput, latency, feature reads and memory of the prediction service, side by side with others."""
    if shutil.which("wrk") is None:
        raise click.ClickException(
            "wrk, which makes the load, is not installed (Debian: apt-get install wrk)"
        )
    with ExitStack() as kept:
        where = folder or Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="serving-")))
        figures = measure(where.resolve(), SMOKE if smoke else QUICK if quick else FULL)
    print(json.dumps(figures, indent=2)) if as_json else _show(figures)


def measure(folder: Path, effort: Effort) -> dict[str, Any]:
    """Measure every figure, and return them by name."""
    homes = {name: HOMES[name] for name in effort.homes}
    weighed = [name for name in homes if name != INDEXED][-1]
    environment = _prepare(folder, list(homes.values()))
    figures: dict[str, Any] = {
        "features": feature_reads(folder / "small", effort.reads),
        "items": homes[weighed].n_items,
    }
    with ExitStack() as running:
        url = running.enter_context(redis(folder)) if shutil.which("redis-server") else None
        commands = rival_commands(folder, environment, url)
        commands |= {name: service_command(folder, environment, home) for name, home in homes.items()}
        servers = {name: running.enter_context(server(*command)) for name, command in commands.items()}
        floods = _floods(servers, folder, *effort.floods)
        figures["throughput"] = _throughput(floods)
        figures["latency"] = _latency(servers, figures["throughput"], folder, *effort.paced)
        figures["answers"] = {name: answers(servers[name].port) for name in homes}
        figures["one worker"] = memory(servers[weighed].process.pid)
    with server(*service_command(folder, environment, homes[weighed], workers=2)) as both:
        flood(both.port, effort.floods[1], N_USERS, folder)
        figures["two workers"] = memory(both.process.pid)
    return figures


def _prepare(folder: Path, homes: Sequence[Home]) -> dict[str, str]:
    """Create the homes, with empty logs, and the plugin; return the servers' environment."""
    shutil.rmtree(folder / "plugins", ignore_errors=True)
    plugins = install_plugin(folder / "plugins")
    (plugins / "noop_service.py").write_text("from serving_rivals import noop\n\nNoop = noop()\n")
    for name, n_items, index, _ in homes:
        shutil.rmtree(folder / name / "spool", ignore_errors=True)
        if not (folder / name / "feast").exists():
            print(f"making a home of {n_items:,} items{' with an index' * index} ...", file=sys.stderr)
            make_home(folder / name, n_items, index=index)
            if name == homes[0].name:
                fill_features(folder / name)
            else:
                shutil.copytree(folder / homes[0].name / "feast", folder / name / "feast")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TASTEMAKER_", "BENTOML_"))
    }
    return kept | {
        "PYTHONPATH": f"{plugins}{os.pathsep}{HERE}",
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONWARNINGS": "ignore",
        **{f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")},
    }


def _floods(
    servers: Mapping[str, Server], folder: Path, rounds: int, seconds: float
) -> dict[str, list[Flood]]:
    for each in servers.values():
        flood(each.port, 1, N_USERS, folder)  # warm
    found: dict[str, list[Flood]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, each in servers.items():
            found[name].append(flood(each.port, seconds, N_USERS, folder))
    return found


def _throughput(floods: Mapping[str, list[Flood]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "per_second": median(one.per_second for one in found),
            "best_per_second": max(one.per_second for one in found),
            "times_noop": ratios(found, floods[NOOP]),
            "times_bare": ratios(found, floods[BARE]),
            "failed": sum(one.failed for one in found),
        }
        for name, found in floods.items()
    }


def _latency(
    servers: Mapping[str, Server],
    throughput: Mapping[str, Mapping[str, float]],
    folder: Path,
    rounds: int,
    seconds: float,
) -> dict[str, dict[str, float]]:
    """Measure each server's latency at half of its own maximum throughput.

    The others get no more than half of our maximum, which shows what the machine adds. The figures are
    medians over rounds that go from server to server; `worst_p99_ms` is the worst round's.
    """
    found: dict[str, list[Paced]] = {name: [] for name in servers if name != NOOP}
    for _ in range(rounds):
        for name, seen in found.items():
            half = min(throughput[each]["per_second"] for each in (name, OURS)) / 2
            seen.append(paced(servers[name].port, half, seconds, N_USERS, folder))
    return {
        name: {
            "per_second": median(one.per_second for one in seen),
            "p50_ms": median(one.p50_ms for one in seen),
            "p99_ms": median(one.p99_ms for one in seen),
            "worst_p99_ms": max(one.p99_ms for one in seen),
            "failed": sum(one.failed for one in seen),
        }
        for name, seen in found.items()
    }


def answers(port: int) -> dict[str, float]:
    """Return the share of answers that the model gave, and of log records that reached the disk."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    given = {name: float(value) for name, _, value in lines}
    all_of = {name: value for name, value in given.items() if name.startswith("tastemaker_answers_total")}
    by_model = sum(value for name, value in all_of.items() if 'reason="none"' in name)
    written = given['tastemaker_log_records_total{outcome="written"}']
    logged = written + given["tastemaker_log_waiting_records"]
    total = sum(all_of.values())
    return {"by_model": by_model / total, "logged": logged / total}


def feature_reads(home: Path, calls: int) -> dict[str, float]:
    """Return microseconds of one user's features by Feast itself, cold and warm, and of 100 items'."""
    import numpy as np
    from factors import FEATURES

    from tastemaker.features.online import USER_VIEW, open_reader
    from tastemaker.plugins import FeatureTable
    from tastemaker.serving.inference.user_features import UserFeatures
    from tastemaker.settings import Settings

    reader = open_reader(Settings(home=home))
    references = [f"{USER_VIEW}:{name}" for name in FEATURES]
    warm = UserFeatures(reader, FEATURES, seconds=5, fresh_seconds=600)
    cold = UserFeatures(reader, FEATURES, seconds=5, fresh_seconds=0)
    warm.users([user_id(number) for number in range(calls)])
    table = FeatureTable(FEATURES, np.random.default_rng(0).random((100_000, len(FEATURES)), np.float32))
    candidates = np.arange(0, 100_000, 1_000)
    ways: dict[str, Callable[[str], object]] = {
        "feast": lambda user: reader._store.get_online_features(references, [{"user_id": user}]).to_dict(),
        "cold": lambda user: cold.users([user]),
        "warm": lambda user: warm.users([user]),
        "100 items": lambda user: table[candidates],
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    with _on_one_processor():
        for number in range(calls):
            for name, read in ways.items():
                start = time.perf_counter()
                read(user_id(number))
                took[name].append(time.perf_counter() - start)
    return {f"{name}_us": sorted(seconds)[len(seconds) // 2] * 1e6 for name, seconds in took.items()}


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Keep this process to one processor, as `serving.pin_workers` does, where the system can.

    A thread that wakes another on an idle processor waits for it to come out of its sleep, for as long as a
    read takes or not at all: the figures of one program then differ by a factor of two.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    threads = [int(thread) for thread in os.listdir("/proc/self/task")]
    try:
        for thread in threads:
            os.sched_setaffinity(thread, {min(allowed)})
        yield
    finally:
        for thread in threads:
            os.sched_setaffinity(thread, allowed)


def memory(process: int) -> list[dict[str, float]]:
    """Return the megabytes of each worker, and of what it maps of the version, which workers share."""
    import psutil

    found = []
    for child in psutil.Process(process).children(recursive=True):
        if any("worker" in part for part in child.cmdline()):
            whole = child.memory_full_info()
            maps = [each for each in child.memory_maps() if "/artifacts/" in each.path]
            sizes = {
                "rss": whole.rss,
                "pss": whole.pss,
                "version_rss": sum(each.rss for each in maps),
                "version_pss": sum(each.pss for each in maps),
            }
            found.append({f"{name}_mb": size / 2**20 for name, size in sizes.items()})
    return found


def _show(figures: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=120)
    table = Table(
        "server", "req/s", "best", "times no-op", "p50 ms", "p99 ms", "worst p99", "failed", box=None
    )
    for name, row in figures["throughput"].items():
        late = figures["latency"].get(name, {})
        times, target = row["times_noop"], TARGETS.get(name)
        table.add_row(
            name,
            f"{row['per_second']:,.0f}",
            f"{row['best_per_second']:,.0f}",
            f"{times:.1f}" + (f"  (≥ {target:g}: {_mark(times >= target)})" if target else ""),
            *(f"{late[each]:.1f}" if late else "" for each in ("p50_ms", "p99_ms", "worst_p99_ms")),
            f"{row['failed'] + late.get('failed', 0):.0f}",
        )
    console.print(table)
    for name, said in figures["answers"].items():
        console.print(f"{name}: {said['by_model']:.1%} by the model, {said['logged']:.1%} logged")
    p99 = figures["latency"][OURS]["p99_ms"]
    console.print(
        f"\np99 at half of its own maximum: {p99:.1f} ms (≤ {MAX_P99_MS:g}: {_mark(p99 <= MAX_P99_MS)})"
    )
    bare = figures["throughput"][OURS]["times_bare"]
    console.print(
        f"of bare Starlette's throughput: {bare:.2f} (≥ {MIN_OF_BARE:g}: {_mark(bare >= MIN_OF_BARE)})"
    )
    reads = figures["features"]
    console.print(
        f"one user's features: Feast {reads['feast_us']:.0f} us; cold {reads['cold_us']:.0f} us "
        f"(≤ {MAX_COLD:g} of Feast: {_mark(reads['cold_us'] <= MAX_COLD * reads['feast_us'])}); "
        f"warm {reads['warm_us']:.0f} us (≤ {MAX_WARM_US:g}: {_mark(reads['warm_us'] <= MAX_WARM_US)})"
    )
    items_ms = reads["100 items_us"] / 1e3
    console.print(
        f"100 items' features: {items_ms:.3f} ms (≤ {MAX_ITEMS_MS:g}: {_mark(items_ms <= MAX_ITEMS_MS)})"
    )
    for name in ("one worker", "two workers"):
        each = "; ".join(
            f"{one['rss_mb']:.0f} MB, {one['pss_mb']:.0f} of them its own, "
            f"of the version {one['version_rss_mb']:.0f} and {one['version_pss_mb']:.0f}"
            for one in figures[name]
        )
        fits = _mark(all(one["rss_mb"] < MAX_MB for one in figures[name]))
        console.print(f"{name} of {figures['items']:,} items (RSS and PSS): {each} (< {MAX_MB} MB: {fits})")


def _mark(kept: bool) -> str:
    return "✓" if kept else "✗"


if __name__ == "__main__":
    main()
