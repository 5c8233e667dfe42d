"""Whether runs that are killed with -9, and started again by Dagster's daemon, lose or double rows.

    python benchmarks/run_kills.py               50 kills
    python benchmarks/run_kills.py --kills 10

A file of events grows by days, and an earlier day of it changes; some rows lack their item. After each
delivery the job `landing` runs: from the file to the features, first in a calm home and then in one where its
process is killed at a random point of the time that the calm one took, and those of the runs that take its
place likewise, five times at most. In the end both homes must have the same rows in each table of the lake
and of features, as often, and the same digests of validated days; the valid rows must be those that were
delivered. Only killed runs may have failed, and the last run of each delivery must have succeeded.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import click
import dagster as dg
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import commands
from support.child_processes import ended
from tastemaker.data.validation.ingested_days import read_ingested_days
from tastemaker.settings import Settings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.automation.new_days import LANDED_GROUPS, LANDING
from tastemaker_pipelines.dagster_yaml import WRITTEN
from tastemaker_pipelines.failures import step_failures
from tastemaker_pipelines.instance import dagster_home, open_instance
from tastemaker_pipelines.run import run

MODULE = ("-m", "tastemaker_pipelines.definitions")
KILLS_OF_A_DELIVERY = 5
USERS, FIRST_DAYS, NEW_DAYS = 200, 30, 10
WAIT_SECONDS = 300.0
PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")
WAITS = re.compile(r"\b(poll_interval_seconds|free_slots_after_run_end_seconds): \d+")
PROBLEM = """
name: a shop whose runs are killed
objectives:
  - name: sales
    events: {purchase: {weight: 1}}
split: {test_days: 3}
"""
TOML = f"""
[source]
name = "table"
path = "{{file}}"
[models]
enabled = ["popularity"]
[automation]
enabled = false
[orchestrator]
max_retries = {KILLS_OF_A_DELIVERY}
"""


class Kill(NamedTuple):
    """A run that was killed."""

    step: str
    """The step that it had begun and not ended; empty: none."""
    seconds: float
    """From the kill until the process of the next run had started."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="One kill: shows that it runs.")
@click.option("--kills", default=50, show_default=True, help="How often a run is killed.")
@click.option("--seed", default=1, show_default=True, help="Seed of the times.")
def main(smoke: bool, kills: int, seed: int) -> None:
    """Kill runs, and compare what they left with an undisturbed home."""
    os.environ.pop("DAGSTER_HOME", None)
    warnings.simplefilter("ignore", dg.BetaWarning)
    wanted, found, rng = 1 if smoke else kills, list[Kill](), random.Random(seed)
    deliveries = 0
    with tempfile.TemporaryDirectory(prefix="tastemaker-kills-") as folder:
        file = Path(folder) / "events.csv"
        disturbed, calm = (_home(Path(folder) / name, file) for name in ("disturbed", "calm"))
        _shorten_waits(dagster_home(disturbed))
        with open_instance(disturbed) as instance, _daemon(disturbed):
            while len(found) < wanted:
                valid = _deliver(file, deliveries)
                began = time.monotonic()
                run(calm, select=" or ".join(f"group:{name}" for name in LANDED_GROUPS))
                wait = partial(rng.uniform, 0.0, time.monotonic() - began)
                _launch(disturbed)
                most = min(wanted - len(found), KILLS_OF_A_DELIVERY)
                found += _kill(instance, len(found) + deliveries, wait, most)
                deliveries += 1
            ends = Counter(one.status for one in instance.get_runs())
        tables = [*_compare(Workspace(disturbed), Workspace(calm), valid)]
    _print_kills(found)
    click.echo(f"\n{'after the kills':<24} {'rows':>9} {'lost':>9} {'too many':>9}")
    for name, *counts in tables:
        click.echo(f"{name:<24} " + " ".join(f"{count:>9,}" for count in counts))
    said = ", ".join(f"{count} {status.value.lower()}" for status, count in ends.items())
    click.echo(f"\n{deliveries} deliveries, {len(found)} kills, runs: {said}")
    expected = {dg.DagsterRunStatus.FAILURE: len(found), dg.DagsterRunStatus.SUCCESS: deliveries}
    is_right = ends == expected and not any(lost or doubled for _, _, lost, doubled in tables)
    click.echo("nothing is lost, nothing is doubled" if is_right else "NOT EQUAL")
    sys.exit(0 if is_right else 1)


def _home(home: Path, file: Path) -> Settings:
    home.mkdir()
    (home / "problem.yaml").write_text(PROBLEM, "utf-8")
    (home / "tastemaker.toml").write_text(TOML.format(file=file), "utf-8")
    with chdir(home):
        return Settings(home=home, problem=home / "problem.yaml")


def _shorten_waits(folder: Path) -> None:
    """Let the places of killed runs in pools be free after a second; the instance is as shipped otherwise."""
    config = folder / "dagster.yaml"
    config.write_text(WAITS.sub(r"\1: 1", config.read_text("utf-8").removeprefix(WRITTEN)), "utf-8")


def _deliver(file: Path, number: int) -> int:
    """Write the events of all days up to a delivery; return the number of valid rows.

    Each delivery brings new days, and one more row of an earlier day.
    """
    days = range(FIRST_DAYS + number * NEW_DAYS)
    rows = [(user, day) for day in days for user in range(USERS + (day < number))]
    lines = [
        f"u{user},{'' if (user + day) % 50 == 0 else f'i{user * day % 29}'},purchase,"
        f"{date(2026, 1, 1) + timedelta(day)}T{user % 24:02}:00:00"
        for user, day in rows
    ]
    file.write_text("\n".join(["user_id,item_id,event_type,occurred_at", *lines]), "utf-8")
    return sum((user + day) % 50 != 0 for user, day in rows)


@contextmanager
def _daemon(settings: Settings) -> Iterator[None]:
    """Run Dagster's daemon, and the code server that it starts."""
    with (settings.home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [str(commands.BIN / "dagster-daemon"), "run", *MODULE],
            cwd=settings.home,
            env=_environment(settings),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        with ended(process):
            yield


def _launch(settings: Settings) -> None:
    subprocess.run(
        [str(commands.BIN / "dagster"), "job", "launch", *MODULE, "-j", LANDING],
        cwd=settings.home,
        env=_environment(settings),
        check=True,
        capture_output=True,
    )


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which Dagster finds its instance, and looks for failed runs each second."""
    more = {
        "DAGSTER_HOME": str(dagster_home(settings)),
        "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    return commands.environment_as_it_is(settings.home, more)


def _kill(instance: dg.DagsterInstance, runs_before: int, wait: Callable[[], float], most: int) -> list[Kill]:
    """Kill the newest run and those that take its place, until one succeeds; return the kills.

    Args:
        instance: The instance that keeps the runs.
        runs_before: Number of runs before the first of these.
        wait: Returns the seconds from the start of a process to its kill.
        most: Number of kills after which a run is left alone.
    """
    steps, seconds, killed = list[str](), list[float](), 0.0
    while True:
        number = runs_before + len(steps) + 1
        run_id, process = _wait(partial(_started, instance, number), f"run {number}")
        if steps:
            seconds.append(time.monotonic() - killed)
        if len(steps) < most:
            time.sleep(wait())
            if _ended(instance, run_id) is None:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            killed = time.monotonic()
        if _wait(partial(_ended, instance, run_id), f"the end of run {number}").is_success:
            return [*map(Kill, steps, seconds)]
        steps.append(", ".join(one.asset for one in step_failures(instance, run_id)))


def _started(instance: dg.DagsterInstance, number: int) -> tuple[str, int] | None:
    """Return the newest run and its process, if it is the one of this number and has started."""
    runs = instance.get_runs()
    if len(runs) < number:
        return None
    said = (PROCESS.search(entry.message or "") for entry in instance.all_logs(runs[0].run_id))
    return next(((runs[0].run_id, int(match[1])) for match in said if match), None)


def _ended(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    run = instance.get_run_by_id(run_id)
    return run if run is not None and run.is_finished else None


T = TypeVar("T")


def _wait(found: Callable[[], T | None], what: str) -> T:
    """Return what is found in the end, looking four times a second."""
    until = time.monotonic() + WAIT_SECONDS
    while (one := found()) is None:
        if time.monotonic() > until:
            raise click.ClickException(f"{what}: nothing for {WAIT_SECONDS:g} seconds")
        time.sleep(0.25)
    return one


def _compare(disturbed: Workspace, calm: Workspace, valid: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield each table, its rows, and how many are lost and too many beside the calm home."""
    found, expected = _rows(disturbed), _rows(calm)
    for table in sorted({*found, *expected}):
        lost, doubled = expected[table] - found[table], found[table] - expected[table]
        yield table, found[table].total(), lost.total(), doubled.total()
    rows = found["lake/events"].total()
    yield "events as delivered", rows, max(0, valid - rows), max(0, rows - valid)


def _rows(workspace: Workspace) -> defaultdict[str, Counter[str]]:
    """Return the rows of each table with their files, and the results of the validated days."""
    rows = defaultdict[str, Counter[str]](Counter)
    for root in (workspace.lake.root, workspace.settings.features):
        for path in root.rglob("*.parquet"):
            place = path.relative_to(root)
            found = (f"{place} {row}" for row in pq.read_table(path).to_pylist())
            rows[f"{root.name}/{place.parts[0]}"].update(found)
    ingested = read_ingested_days(workspace.engine, workspace.source.name)
    rows["validated days"].update(f"{day} {entry}" for day, entry in ingested.items())
    return rows


def _print_kills(kills: Sequence[Kill]) -> None:
    """Print in which step runs were killed, and how soon the next run's process had started."""
    click.echo(f"{'killed in':<24} {'kills':>9} {'median s':>9} {'most s':>9}")
    for step in sorted({one.step for one in kills}):
        seconds = [one.seconds for one in kills if one.step == step]
        name = step or "no step"
        click.echo(f"{name:<24} {len(seconds):>9} {median(seconds):>9.1f} {max(seconds):>9.1f}")


if __name__ == "__main__":
    main()
