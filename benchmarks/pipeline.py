"""Seconds and peak memory of each stage of the pipeline on a simulated shop.

Every stage runs in a process of its own, so that its peak memory is its own; its seconds include starting
Python and reading what the stage before left on disk. On a busy machine only ratios mean anything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click

from tastemaker.errors import TastemakerError
from tastemaker.settings import load_settings
from tastemaker.workflows.workspace import Workspace

PROBLEM = Path(__file__).parents[1] / "platform/tastemaker/simulator/problem.yaml"
DEFAULT_EVENTS = (500_000, 2_000_000, 10_000_000)
SMOKE_EVENTS, SMOKE_MODEL = 10_000, "popularity"
DAYS = 180
EVENTS_PER_USER = 80
SMALL_EVENTS, SMALL_ITEMS = 500_000, 2_000
"""A shop four times as busy as this one has twice its catalogue."""

COLUMNS = "{:>12} {:<24} {:>9} {:>9}  {}"


class Measured(NamedTuple):
    """What one stage took."""

    events: int
    stage: str
    seconds: float
    peak_mb: float
    found: str


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--events", type=click.IntRange(min=10_000), multiple=True, help="Events of the shop; repeatable."
)
@click.option("--model", "models", multiple=True, help="Backtest only this model; repeatable.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
@click.option("--home", type=click.Path(path_type=Path), help="Work in this folder, and keep it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per stage.")
@click.option("--stage", hidden=True, help="Run one stage in this process.")
def main(
    events: tuple[int, ...],
    models: tuple[str, ...],
    smoke: bool,
    home: Path | None,
    as_json: bool,
    stage: str | None,
) -> None:
    """Seconds and peak memory of each stage on a simulated shop: 0.5, 2 and 10 million events.

    \b
    Examples:
      python benchmarks/pipeline.py
      python benchmarks/pipeline.py --events 500000 --model popularity --model ranker
    """
    if stage is not None and home is not None:
        click.echo(run_stage(stage, workspace(home, events[0])))
        return
    if smoke:
        events, models = (SMOKE_EVENTS,), (SMOKE_MODEL,)
    if not as_json:
        click.echo(COLUMNS.format("events", "stage", "seconds", "peak MB", "found"))
    for count in events or DEFAULT_EVENTS:
        with tempfile.TemporaryDirectory(prefix="tastemaker-benchmark-") as folder:
            for measured in measure_all(count, models, home / str(count) if home else Path(folder)):
                click.echo(json.dumps(measured._asdict()) if as_json else line(measured))


def measure_all(events: int, models: tuple[str, ...], home: Path) -> Iterator[Measured]:
    """Measure every stage in order, each in a process of its own, and yield its cost; then that of all."""
    from tastemaker.plugins.discovery import find

    home.mkdir(parents=True, exist_ok=True)
    stages = []
    for stage in (*STAGES, *(f"backtest {name}" for name in models or find().names)):
        stages.append(measure(stage, events, home))
        yield stages[-1]
    yield Measured(
        events, "all", sum(stage.seconds for stage in stages), max(stage.peak_mb for stage in stages), ""
    )


def measure(stage: str, events: int, home: Path) -> Measured:
    """Run one stage in a process of its own and read its peak memory off the operating system."""
    command = [sys.executable, __file__, "--stage", stage, "--events", str(events), "--home", str(home)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = process.stdout.read().strip()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"the stage {stage} failed with exit status {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(events, stage, time.perf_counter() - started, usage.ru_maxrss * unit / 1e6, found)


def line(measured: Measured) -> str:
    """Return the table's row of a stage."""
    return COLUMNS.format(
        f"{measured.events:,}",
        measured.stage,
        f"{measured.seconds:,.1f}",
        f"{measured.peak_mb:,.0f}",
        measured.found,
    )


def workspace(home: Path, events: int) -> Workspace:
    """Return a workspace of a shop with about so many events, and the problem suggested for it."""
    options = {
        "n_days": DAYS,
        "events_per_day": events / DAYS,
        "n_users": max(events // EVENTS_PER_USER, 1),
        "n_items": round(SMALL_ITEMS * (events / SMALL_EVENTS) ** 0.5),
    }
    source = {"name": "simulated", "options": options}
    return Workspace(load_settings(home=home, problem=PROBLEM, source=source))


def run_stage(stage: str, opened: Workspace) -> str:
    """Run one stage in this process, and return in words what it found."""
    if stage.startswith("backtest "):
        return backtest(opened, stage.removeprefix("backtest "))
    return STAGES[stage](opened)


def land(opened: Workspace) -> str:
    """Draw the shop's events and land them by day."""
    from tastemaker.data.ingest import land

    landed = land(opened.source, opened.lake, chunk_rows=opened.settings.chunk_rows)
    return f"{landed.rows:,} events"


def validate(opened: Workspace) -> str:
    """Validate the landed events with the gate, and publish the valid ones."""
    from tastemaker.data.validation.publishing import validate_and_publish
    from tastemaker_expectations.gate import GreatExpectationsGate

    source = opened.source.name
    gate = GreatExpectationsGate(source)
    published = validate_and_publish(
        source, opened.lake, gate, opened.engine, chunk_rows=opened.settings.chunk_rows
    )
    return f"{published.total.accepted:,} accepted"


def dataset(opened: Workspace) -> str:
    """Read the lake as arrays, and split it by time."""
    loaded, split = opened.dataset(), opened.split()
    return f"{len(loaded.user_ids):,} users, {len(loaded.item_ids):,} items, {len(split.users):,} evaluated"


def features(opened: Workspace) -> str:
    """Write the feature snapshots at the cut and at the end."""
    from tastemaker.features.snapshots import write_snapshots

    cuts = {opened.split().cut, opened.dataset().end}
    rows = write_snapshots(opened.lake, opened.settings.features, cuts)
    return f"{rows['users']:,} users and {rows['items']:,} items at {len(cuts)} cutoffs"


def materialize(opened: Workspace) -> str:
    """Write the latest features to the online store."""
    from tastemaker_features.store import apply, materialize

    apply(opened.settings)
    return f"{materialize(opened.settings, opened.dataset().end):,} rows"


def backtest(opened: Workspace, name: str) -> str:
    """Fit one model before the cutoff and evaluate it after."""
    from tastemaker.plugins.discovery import get

    result = opened.backtest(get(name))
    ndcg = result.metrics["ndcg"].value
    return f"NDCG {ndcg:.4f}, {result.train_seconds:.1f} s to fit, {result.score_seconds:.1f} s to score"


STAGES: dict[str, Callable[[Workspace], str]] = {
    "land": land,
    "validate": validate,
    "dataset": dataset,
    "features": features,
    "materialize": materialize,
}

if __name__ == "__main__":
    try:
        main()
    except TastemakerError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
