"""Which alert rules fire for a fault of `tastemaker simulate --fault`, and after how long.

    python benchmarks/fault_rules.py                       all of them, about fifty minutes
    python benchmarks/fault_rules.py cpu memory

Real services, controllers, learners and shippers of a simulated shop, real traffic, and a real watch with all
rules. Thresholds are the rules' own unless `settings` has another; a rule that waits longer (`for`) than 35 s
waits 35 s here, and the last column has what it waits in production. Where `windows` is set, no window is
longer than a minute, and what compares with a week ago compares with 90 s ago. `disk` needs root for a small
file system, and `memory` for a control group. A process that empties a queue stands for a worker of Celery.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fault_worlds as worlds
from fault_worlds import World

from support.visited_service import BIN, environment
from tastemaker.alerting.rules import all_rules
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.simulator.faults.catalogue import FAULTS
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_states

HEALTHY_SECONDS = 20.0
LINE = "{:<17} {:<21} {:<7} {:>8} {:>8}"
BRISK, CALM = ("--rate", "60", "--at-once", "16"), ("--rate", "15", "--at-once", "8")


class Scenario(NamedTuple):
    """How a fault is produced here."""

    traffic: tuple[str, ...] = CALM
    seconds: float = 100.0
    """After which a rule that has not fired is given up."""
    share: float | None = None
    """None: the catalogue's."""
    world: Callable[[World], None] = worlds.serve_faulty
    settings: Mapping[str, str] = {}
    """Environment variables of the watch."""
    windows: bool = False
    """Whether windows are short."""
    healthy_seconds: float = HEALTHY_SECONDS
    then: Callable[[World], None] | None = None
    """What happens during the fault; the seconds are counted from its end."""


def _shop(kind: str, size: float = 1.0) -> Scenario:
    """Return the scenario of a fault of the source."""
    return Scenario((), 150.0, world=worlds.run_shop, then=worlds.deliver(kind, size), healthy_seconds=0)


EXPERIMENT = Scenario(seconds=240.0, world=worlds.control_experiment)
SCENARIOS: Mapping[str, Scenario] = {
    "nan_scores": Scenario(),
    "model_error": EXPERIMENT,
    "model_hang": Scenario(),
    "slow_model": Scenario(BRISK),
    "overloaded": Scenario(("--at-once", "24")),
    "short_rows": Scenario(),
    "errors": Scenario(BRISK),
    "worker_crash": Scenario(seconds=150.0),
    "file_descriptors": Scenario(),
    "cpu": Scenario(("--rate", "1"), 150.0),
    "memory": Scenario(),
    "disk": Scenario(),
    "bad_version": Scenario(seconds=150.0),
    "traffic_gone": EXPERIMENT._replace(traffic=BRISK, windows=True, healthy_seconds=120.0),
    "feedback_gone": Scenario(BRISK, 150.0, windows=True, healthy_seconds=60.0),
    "foreign_host": Scenario(),
    "variant_lost": EXPERIMENT._replace(traffic=BRISK, healthy_seconds=0),
    "gate_failed": _shop("invalid_rows"),
    "quarantine": _shop("invalid_rows", 0.1),
    "data_stale": _shop("closed"),
    "source_changed": _shop("new_column"),
    "source_unreadable": _shop("unreadable"),
    "spool_full": Scenario(BRISK, 120.0, healthy_seconds=0),
    "no_broker": Scenario(healthy_seconds=0),
    "no_target": Scenario(healthy_seconds=0),
    "no_channel": Scenario(share=0.5, seconds=240.0),
    "service_hang": Scenario(),
    "learner_hang": Scenario(
        world=worlds.serve_bandit, settings={"TASTEMAKER_ALERTS__LEARNER_BEHIND__ABOVE_SECONDS": "30"},
        seconds=150.0,
    ),
    "shipper_hang": Scenario(
        world=worlds.serve_shipped, settings={"TASTEMAKER_ALERTS__SPOOL_OLD__ABOVE_SECONDS": "30"},
        seconds=150.0,
    ),
    "guard_hang": EXPERIMENT._replace(seconds=300.0),
    "variant_hang": EXPERIMENT,
    "scheduler_hang": Scenario(
        world=worlds.orchestrate, settings={"TASTEMAKER_ALERTS__JOB_LATE__ABOVE_SECONDS": "60"},
        seconds=150.0,
    ),
    "run_hang": Scenario(
        seconds=240.0, world=worlds.orchestrate_runs, settings={"TASTEMAKER_ALERTS__RUN_QUEUE__ABOVE": "2"},
        healthy_seconds=0, then=worlds.launch_more,
    ),
    "executor_hang": Scenario(world=worlds.execute, then=worlds.fill_queue),
    "features_locked": Scenario(BRISK, world=worlds.serve_ranker, windows=True, seconds=150.0),
    "log_locked": Scenario(BRISK, seconds=240.0),
    "database_locked": Scenario(seconds=200.0),
    "features_missing": Scenario(
        BRISK, 240.0, world=worlds.serve_ranker, windows=True, healthy_seconds=120.0,
        then=worlds.run_steps("+feature_skew", 30.0),
    ),
    "features_infinite": Scenario(BRISK, world=worlds.serve_ranker, windows=True, seconds=150.0),
    "features_wrong": Scenario(
        BRISK, 200.0, world=worlds.serve_ranker, then=worlds.run_steps("+feature_skew", 20.0),
    ),
    "items_scarce": Scenario(seconds=150.0),
    "items_withdrawn": Scenario(),
    "foreign_slow": Scenario(seconds=150.0),
    "foreign_silent": Scenario(
        settings={"TASTEMAKER_ALERTS__REPORT_LATE__ABOVE_SECONDS": "30"}, seconds=150.0
    ),
}  # fmt: skip
"""Fault -> how it is produced. Shifts of the shop and what needs weeks of data are in `drift.py`."""


class Fired(NamedTuple):
    """When rules fired."""

    seconds: dict[str, float]
    """Rule -> seconds from the fault's begin, or from the end of what happened during it."""
    early: tuple[str, ...]
    """Rules that fired before."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[FAULT]...")
@click.option("--smoke", is_flag=True, help="One fault, the one that is found soonest.")
def main(names: tuple[str, ...], smoke: bool) -> None:
    """Produce faults one after the other, and time the rules."""
    if smoke:
        names = ("overloaded",)
    if unknown := set(names) - SCENARIOS.keys():
        raise click.UsageError(f"{', '.join(sorted(unknown))}: none of {', '.join(SCENARIOS)}")
    known = {rule.name: rule for rule in all_rules(Settings())}
    click.echo(LINE.format("fault", "rule", "", "after s", "for s"))
    is_missing = False
    for name in names or SCENARIOS:
        try:
            with tempfile.TemporaryDirectory(prefix="tastemaker-faults-") as folder:
                found = produced(name, Path(folder), 5.0 if smoke else HEALTHY_SECONDS)
        except pytest.skip.Exception as skipped:  # what it needs is not on this machine
            click.echo(f"{name:<17} left out: {skipped}")
            continue
        for rule in dict.fromkeys([*FAULTS[name].rules, *found.seconds]):
            after = found.seconds.get(rule)
            is_missing |= after is None
            text = "-" if after is None else f"{after:.0f}"
            click.echo(LINE.format(name, rule, known[rule].severity, text, f"{known[rule].for_seconds:.0f}"))
        if found.early:
            click.echo(f"{name:<17} before the fault: {', '.join(found.early)}")
    sys.exit(1 if is_missing else 0)


def produced(name: str, folder: Path, healthy_seconds: float) -> Fired:
    """Produce a fault in a world of its own.

    Args:
        name: The fault.
        folder: For the home folder.
        healthy_seconds: The longest time for which the world has traffic before.

    Returns:
        Which rules fired.
    """
    fault, scenario = FAULTS[name], SCENARIOS[name]
    with ExitStack() as stack:
        world = World(fault, folder, stack)
        given = dict(fault.environment)
        if fault.command == "tastemaker serve":
            world.more |= given
        scenario.world(world)
        began = time.time()
        of_watch = given if fault.command == "tastemaker watch" else {}
        worlds.watch(world, {**of_watch, **scenario.settings}, windows=scenario.windows)
        if scenario.healthy_seconds:
            with _traffic(world, scenario):
                time.sleep(min(healthy_seconds, scenario.healthy_seconds))
            began = time.time()
        early = tuple(firing(world))
        share = fault.share if scenario.share is None else scenario.share
        words = () if fault.place in ("source", "start") else ("--fault", f"{name}={share}")
        with _traffic(world, scenario, *words):
            if scenario.then is not None:
                scenario.then(world)
                began = time.time()
            return Fired(_times(world, set(fault.rules), began, scenario.seconds, early), early)


@contextmanager
def _traffic(world: World, scenario: Scenario, *words: str) -> Iterator[None]:
    """Send traffic with a fault; none without a service."""
    if not world.url:
        yield
        return
    process = subprocess.Popen(
        [str(BIN / "tastemaker"), "simulate", world.url, "--for", "1h", *scenario.traffic, *words],
        cwd=world.home, env=environment(world.home, world.more), stdout=subprocess.DEVNULL,
        stderr=(world.home / "simulate.log").open("ab"),
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def firing(world: World) -> set[str]:
    """Return the rules that fire now; of a watch without its database, the one that its metrics show."""
    try:
        engine = open_engine(Settings(home=world.home).metadata_url)
    except TastemakerError:
        return (
            {"watch_database"} if "tastemaker_watch_database_up 0" in worlds.watch_metrics(world) else set()
        )
    try:
        with engine.connect() as connection:
            found = connection.execute(select(alert_states.c.rule).where(alert_states.c.phase == "firing"))
            return set(found.scalars()) - {"watchdog"}
    finally:
        engine.dispose()


def _times(
    world: World, wanted: set[str], began: float, seconds: float, early: tuple[str, ...]
) -> dict[str, float]:
    """Return when rules fired, until all that are wanted did or it took too long."""
    found: dict[str, float] = {}
    while not wanted <= found.keys() and time.time() - began < seconds:
        time.sleep(0.5)
        for rule in firing(world) - set(early):
            found.setdefault(rule, time.time() - began)
    return found


if __name__ == "__main__":
    os.environ.pop("TASTEMAKER_HOME", None)
    main()
