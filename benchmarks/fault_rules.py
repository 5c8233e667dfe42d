"""Which alert rules fire for a fault of `tastemaker simulate --fault`, and after how long.

    python benchmarks/fault_rules.py                       all of them, about two hours
    python benchmarks/fault_rules.py cpu memory

Real services, controllers, learners and shippers of a simulated shop, real traffic, and a real watch with all
rules. Thresholds are the rules' own unless `settings` has another; a rule that waits longer (`for`) than 35 s
waits 35 s here, and the last column has what it waits in production. Where `windows` is set, no window is
longer than a minute, and what compares with a week ago compares with 90 s ago. `disk` needs root for a small
file system, and `memory` for a control group. A process that empties a queue stands for a worker of Celery.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import fault_nights as nights
import fault_worlds as worlds
from fault_worlds import World

from support.visited_service import BIN, environment
from tastemaker.alerting.rules import all_rules
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.simulator.faults.catalogue import FAULTS, Fault
from tastemaker.simulator.shop.shifts import ShiftKind
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_states

HEALTHY_SECONDS = 20.0
LINE = "{:<29} {:<22} {:<7} {:>8} {:>8}"
BRISK, CALM = ("--rate", "60", "--at-once", "16"), ("--rate", "15", "--at-once", "8")


class Scenario(NamedTuple):
    """How a fault is produced here."""

    traffic: tuple[str, ...] | None = CALM
    """None: there is none, neither before the fault."""
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
    """What happens during the fault; the seconds of what fires later are counted from its end."""
    fault: str = ""
    """The fault; empty: the one that the scenario is named after."""
    rules: tuple[str, ...] = ()
    """The rules that are waited for; none: all of the fault."""


def _shop(kind: ShiftKind, size: float = 1.0) -> Scenario:
    """Return the scenario of a fault of the source."""
    return Scenario(None, 150.0, world=worlds.run_shop_before, then=worlds.deliver(kind, size))


HOUR = datetime.now(UTC).hour
ALL_DAY = {
    "TASTEMAKER_ALERTS__DAY_START_HOUR": str(HOUR), "TASTEMAKER_ALERTS__DAY_END_HOUR": str((HOUR + 12) % 24),
}  # fmt: skip
"""Rules that call by day alone call now."""
MANY_WAITING = ("--rate", "60", "--at-once", "1000")
"""A visit whose events are not acknowledged lasts until it gives up."""
EXPERIMENT = Scenario(seconds=240.0, world=worlds.control_experiment)
RANKER = Scenario(BRISK, 150.0, world=worlds.serve_ranker, windows=True)
SHIP = ("tastemaker", "ship")
SCENARIOS: Mapping[str, Scenario] = {
    "nan_scores": Scenario(rules=("fallback_share", "fallback_budget_burn", "fallback_budget_slow")),
    "nan_scores of few lists": Scenario(
        ("--rate", "0.3"), 200.0, 0.5, healthy_seconds=0, fault="nan_scores", rules=("fallback_share_quiet",)
    ),
    "model_error": Scenario(rules=("fallback_share", "degraded")),
    "model_error of all variants": EXPERIMENT._replace(
        share=0.35, fault="model_error", rules=("experiment_held",)
    ),
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
    "no_model": Scenario(),
    "traffic_gone": Scenario(
        ("--rate", "150", "--at-once", "64"), 200.0, windows=True, healthy_seconds=120.0,
        rules=("traffic_gone", "cpu_idle"),
    ),
    "traffic_gone of an experiment": EXPERIMENT._replace(
        seconds=900.0, healthy_seconds=180.0, fault="traffic_gone", rules=("experiment_stale",)
    ),
    "feedback_gone": Scenario(
        BRISK, 200.0, windows=True, healthy_seconds=60.0, rules=("feedback_gone",)
    ),
    "foreign_host": Scenario(),
    "variant_lost": EXPERIMENT._replace(traffic=BRISK, healthy_seconds=0),
    "gate_failed": _shop("invalid_rows")._replace(settings=ALL_DAY),
    "quarantine": _shop("invalid_rows", 0.1),
    "data_stale": Scenario(None, 150.0, world=worlds.run_closed_shop, healthy_seconds=0),
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
    "guard_hang": EXPERIMENT._replace(traffic=("--rate", "2"), seconds=1_200.0),
    "variant_hang": EXPERIMENT,
    "scheduler_hang": Scenario(("--rate", "1"), 300.0, world=worlds.orchestrate),
    "run_hang": Scenario(
        ("--rate", "1"), 240.0, world=worlds.orchestrate_runs,
        settings={"TASTEMAKER_ALERTS__RUN_QUEUE__ABOVE": "2"}, healthy_seconds=0, then=worlds.launch_more,
    ),
    "executor_hang": Scenario(world=worlds.execute, then=worlds.fill_queue),
    "features_locked": RANKER,
    "log_locked": Scenario(MANY_WAITING, 150.0),
    "database_locked": Scenario(seconds=200.0),
    "features_missing": RANKER._replace(  # with more visits the users of months pass by, and many are new
        traffic=CALM, healthy_seconds=120.0, rules=("features_vanished",)
    ),
    "features_missing, shipped": RANKER._replace(
        windows=False, then=worlds.run_later(75.0, SHIP), fault="features_missing", rules=("feature_nulls",)
    ),
    "features_infinite": RANKER,
    "features_wrong": RANKER._replace(
        windows=False, then=worlds.run_later(75.0, SHIP, ("tastemaker", "data", "skew"))
    ),
    "items_scarce": Scenario(seconds=150.0),
    "items_withdrawn": Scenario(),
    "foreign_slow": Scenario(seconds=150.0),
    "foreign_silent": Scenario(
        settings={"TASTEMAKER_ALERTS__REPORT_LATE__ABOVE_SECONDS": "30"}, seconds=150.0
    ),
    "erasure_forgotten": Scenario(seconds=150.0),
    "rollout_forgotten": Scenario(seconds=150.0),
    "champion_beaten": Scenario(seconds=150.0, world=worlds.serve_champion),
    "price_shift": Scenario(
        None, 150.0, world=nights.serve_days(nights.shifted("price", 0.3)), then=nights.serve_faulty_days
    ),
    "feedback_gone of days": Scenario(
        None, 150.0, world=nights.serve_days(), then=nights.lose_events(0.8), settings=ALL_DAY,
        fault="feedback_gone", rules=("reward_fell",),
    ),
}  # fmt: skip
"""Scenario -> how a fault is produced. The other shifts of the shop are in `drift.py`."""


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
                found = produced(name, Path(folder), 5.0 if smoke else math.inf)
        except pytest.skip.Exception as skipped:  # what it needs is not on this machine
            click.echo(f"{name:<29} left out: {skipped}")
            continue
        except (AssertionError, RuntimeError, TastemakerError) as error:
            click.echo(f"{name:<29} failed: {error}")
            is_missing = True
            continue
        for rule in dict.fromkeys([*rules_of(name), *found.seconds]):
            after = found.seconds.get(rule)
            is_missing |= after is None
            text = "-" if after is None else f"{after:.0f}"
            click.echo(LINE.format(name, rule, known[rule].severity, text, f"{known[rule].for_seconds:.0f}"))
        if found.early:
            click.echo(f"{name:<29} before the fault: {', '.join(found.early)}")
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
    scenario, fault = SCENARIOS[name], fault_of(name)
    with ExitStack() as stack:
        world = World(fault, folder, stack)
        given = dict(fault.environment)
        if fault.command.startswith("tastemaker serve"):
            world.service = given
        scenario.world(world)
        began = time.time()
        of_watch = given if fault.command == "tastemaker watch" else {}
        worlds.watch(world, {**of_watch, **scenario.settings}, windows=scenario.windows)
        if scenario.healthy_seconds:
            with _traffic(world, scenario):
                time.sleep(min(healthy_seconds, scenario.healthy_seconds))
            began = time.time()
        early = tuple(firing(world))
        with _traffic(world, scenario, *_words(fault, scenario)) as check, ThreadPoolExecutor(1) as pool:
            happening = pool.submit(scenario.then or _nothing, world)
            return Fired(_times(world, set(rules_of(name)), began, scenario, early, happening, check), early)


def fault_of(name: str) -> Fault:
    """Return the fault of a scenario."""
    return FAULTS[SCENARIOS[name].fault or name]


def rules_of(name: str) -> tuple[str, ...]:
    """Return the rules that a scenario waits for."""
    return SCENARIOS[name].rules or fault_of(name).rules


def _words(fault: Fault, scenario: Scenario) -> tuple[str, ...]:
    """Return the arguments of `tastemaker simulate` that produce the fault; none if traffic can't."""
    if fault.place in ("source", "start"):
        return ()
    share = fault.share if scenario.share is None else scenario.share
    return ("--fault", fault.name if share is None else f"{fault.name}={share}")


def _nothing(world: World) -> None:
    pass


@contextmanager
def _traffic(world: World, scenario: Scenario, *words: str) -> Iterator[Callable[[], None]]:
    """Send traffic with a fault; yield what raises RuntimeError if that has ended by itself."""
    if scenario.traffic is None:
        yield lambda: None
        return
    log = world.home / "simulate.log"

    def check() -> None:
        if process.poll() is not None:
            raise RuntimeError(f"the simulation has ended:\n{log.read_text()[-1_000:]}")

    process = subprocess.Popen(
        [str(BIN / "tastemaker"), "simulate", world.url, "--for", "1h", *scenario.traffic, *words],
        cwd=world.home, env=environment(world.home, world.more), stdout=subprocess.DEVNULL,
        stderr=log.open("ab"),
    )  # fmt: skip
    try:
        yield check
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
    world: World,
    wanted: set[str],
    began: float,
    scenario: Scenario,
    early: tuple[str, ...],
    happening: Future[None],
    check: Callable[[], None],
) -> dict[str, float]:
    """Return when rules fired, until all that are wanted did or it took too long."""
    found: dict[str, float] = {}
    has_happened = False
    while not wanted <= found.keys() and time.time() - began < scenario.seconds:
        time.sleep(0.5)
        check()
        for rule in firing(world) - set(early):
            found.setdefault(rule, time.time() - began)
        if not has_happened and happening.done():
            happening.result()
            has_happened, began = True, began if scenario.then is None else time.time()
    return found


if __name__ == "__main__":
    os.environ.pop("TASTEMAKER_HOME", None)
    main()
