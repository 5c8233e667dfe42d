"""Which alert rules fire for a fault of `tastemaker simulate --fault`, and after how long.

    python benchmarks/fault_rules.py                       all of them, about fifteen minutes
    python benchmarks/fault_rules.py cpu memory

A real service of a simulated shop, real traffic, and a real `tastemaker watch` with all rules. Windows and
thresholds are the rules' own; a rule that waits longer (`for`) than 35 s waits 35 s here, and the last column
has what it waits in production. `disk` needs root for a small file system, and `memory` for a control group.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import click
import pytest
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.commands import environment_as_it_is
from support.repository import ROOT
from support.servers import free_port
from support.shop_homes import make_shop_home
from support.small_disks import mounted
from support.visited_service import BIN, environment, served
from tastemaker.alerting.rules import all_rules
from tastemaker.settings import Settings
from tastemaker.simulator.faults.catalogue import FAULTS
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_states

HEALTHY_SECONDS = 20.0
LINE = "{:<17} {:<18} {:<7} {:>8} {:>8}"
LIMITS = {
    "memory": {"memory/{}/memory.limit_in_bytes": "1000000000", "{}/memory.max": "1000000000"},
    "cpu": {"cpu/{}/cpu.cfs_quota_us": "25000", "{}/cpu.max": "25000 100000"},
}
"""File of a control group, version 1 and 2, for a limit -> its text: 1 GB, a quarter of a processor."""


class Scenario(NamedTuple):
    """How a fault is produced here."""

    traffic: tuple[str, ...] = ("--rate", "15", "--at-once", "8")
    seconds: float = 100.0
    """After which a rule that has not fired is given up."""
    share: float | None = None
    """None: the catalogue's."""


SCENARIOS: Mapping[str, Scenario] = {
    "overloaded": Scenario(("--at-once", "24")),
    "worker_crash": Scenario(seconds=150.0),
    "file_descriptors": Scenario(),
    "short_rows": Scenario(),
    "memory": Scenario(),
    "cpu": Scenario(("--rate", "1"), 150.0),
    "disk": Scenario(),
    "spool_full": Scenario(("--rate", "60", "--at-once", "16"), 120.0),
}


class Fired(NamedTuple):
    """When rules fired."""

    seconds: dict[str, float]
    """Rule -> seconds from the fault's begin."""
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
    """Produce a fault against a service of its own.

    Args:
        name: The fault.
        folder: For the home folder.
        healthy_seconds: How long the service has traffic before.

    Returns:
        Which rules fired.
    """
    fault, scenario = FAULTS[name], SCENARIOS[name]
    with ExitStack() as stack:
        home = folder / "home"
        if name == "disk":
            stack.enter_context(mounted(home, "300m"))
        version = make_shop_home(home)["popularity"]
        prepared = subprocess.run(
            [str(BIN / "tastemaker"), "simulate", "--prepare-faults"],
            env=environment(home), capture_output=True, text=True, check=True,
        )  # fmt: skip
        more = {"PYTHONPATH": prepared.stdout.strip(), "TASTEMAKER_VERSION": "", **dict(fault.environment)}
        began = time.time()
        service = stack.enter_context(served(home, version, command=_command(name, stack), more=more))
        stack.enter_context(watch(home, service.url))
        begins_now = fault.place == "start"
        if not begins_now:
            with _traffic(home, service.url, scenario):
                time.sleep(healthy_seconds)
            began = time.time()
        early = tuple(firing(home))
        share = fault.share if scenario.share is None else scenario.share
        words = () if begins_now else ("--fault", f"{name}={share}")
        with _traffic(home, service.url, scenario, *words):
            return Fired(_times(home, set(fault.rules), began, scenario.seconds, early), early)


def _command(name: str, stack: ExitStack) -> list[str]:
    """Return the command that starts the service, in a shell that limits it."""
    serve = [str(BIN / "tastemaker"), "serve", "faulty"]
    before = "ulimit -n 1024"
    if name in LIMITS:
        before += f" && echo $$ > {stack.enter_context(control_group(LIMITS[name]))}/cgroup.procs"
    return ["/bin/sh", "-c", f'{before} && exec "$0" "$@"', *serve]


@contextmanager
def control_group(limits: Mapping[str, str]) -> Iterator[Path]:
    """Make a control group with a limit; else skip.

    Args:
        limits: File of the limit in either version, {} for the group's name -> its text.
    """
    for place, text in limits.items():
        file = Path("/sys/fs/cgroup") / place.format(f"tastemaker-{uuid4().hex[:8]}")
        try:
            file.parent.mkdir()
            file.write_text(text)
        except OSError:
            continue
        try:
            yield file.parent
        finally:
            file.parent.rmdir()
        return
    pytest.skip("no control group with a limit can be made here")


@contextmanager
def watch(home: Path, target: str) -> Iterator[None]:
    """Run a watch with short waits, which notifies no person."""
    settings = {"TASTEMAKER_HOME": str(home), "TASTEMAKER_WATCH__TARGETS": target}
    settings |= {"TASTEMAKER_WATCH__PORT": str(free_port()), "PYTHONPATH": str(ROOT / "tests")}
    with (home / "watch.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.short_waits"],
            cwd=home, env=environment_as_it_is(home, settings), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _traffic(home: Path, url: str, scenario: Scenario, *words: str) -> Iterator[None]:
    process = subprocess.Popen(
        [str(BIN / "tastemaker"), "simulate", url, "--for", "1h", *scenario.traffic, *words],
        cwd=home, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def firing(home: Path) -> set[str]:
    """Return the rules that fire now."""
    engine = open_engine(Settings(home=home).metadata_url)
    try:
        with engine.connect() as connection:
            found = connection.execute(select(alert_states.c.rule).where(alert_states.c.phase == "firing"))
            return set(found.scalars()) - {"watchdog"}
    finally:
        engine.dispose()


def _times(
    home: Path, wanted: set[str], began: float, seconds: float, early: tuple[str, ...]
) -> dict[str, float]:
    """Return when rules fired, until all that are wanted did or it took too long."""
    found: dict[str, float] = {}
    while not wanted <= found.keys() and time.time() - began < seconds:
        time.sleep(0.5)
        for rule in firing(home) - set(early):
            found.setdefault(rule, time.time() - began)
    return found


if __name__ == "__main__":
    os.environ.pop("TASTEMAKER_HOME", None)
    main()
