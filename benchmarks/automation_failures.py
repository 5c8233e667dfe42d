"""Seconds from the end of a failed run to its message, by Dagster's own daemon and the watch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import NamedTuple

import dagster as dg
from automation_drift import daemon
from dagster._core.storage.tags import MAX_RETRIES_TAG

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.child_processes import ended
from support.commands import BIN
from support.pagerduty_server import ROUTING_KEY, PagerDutyServer
from support.scripted_http import ScriptedServer
from support.servers import free_port
from tastemaker.settings import Settings, load_settings
from tastemaker.trainings.requests import TrainingRequests
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.automation.new_days import LANDING
from tastemaker_pipelines.instance import dagster_home, open_instance

PROBLEM = "name: a shop whose runs fail\nobjectives: [{name: sales, events: {purchase: {weight: 1}}}]\n"
TOML = """
home = "."
problem = "problem.yaml"
[source]
name = "table"
path = "missing.csv"
[automation]
enabled = false
[watch]
port = {port}
[watch.channels.hook]
type = "webhook"
url = "{hook}"
[watch.channels.pager]
type = "pagerduty"
url = "{pager}"
"""
_SHOWN = re.compile(rb"tastemaker runs show ([0-9a-f-]{36})")
WAIT_SECONDS = 300.0
AFTER_SECONDS = 20.0
"""After the last message: the sensor looks again in this time, and sees the same runs."""


class Reported(NamedTuple):
    """What channels received of runs that failed."""

    runs: int
    within: float
    """Seconds between the ends of the first and the last run."""
    seconds: Sequence[float]
    """Of each run and channel: from the end of the run to its first message."""
    doubled: int
    """Further messages about a run in a channel."""


@dg.job
def failing() -> None:
    """Do nothing: runs of it are recorded, and not executed."""


def report_failures(home: Path, launched: int, at_once: int, *, waits: bool = True) -> Iterator[Reported]:
    """Let runs fail, and yield what a webhook and a PagerDuty received of each group.

    Args:
        home: An empty folder.
        launched: Number of runs that the daemon's queue starts, one after the other: their source is missing.
        at_once: Number of runs that fail together afterwards, written into the instance as Dagster's run
            monitoring writes runs whose process has died.
        waits: Whether runs fail only when the daemon has started, and further messages are waited for.
    """
    after = AFTER_SECONDS if waits else 0.0
    home.mkdir(parents=True)
    (home / "problem.yaml").write_text(PROBLEM, "utf-8")
    with ExitStack() as stack:
        stack.enter_context(chdir(home))  # the processes read the settings there
        servers = [stack.enter_context(ScriptedServer()), stack.enter_context(PagerDutyServer())]
        toml = TOML.format(port=free_port(), hook=servers[0].url, pager=f"{servers[1].url}/v2/enqueue")
        (home / "tastemaker.toml").write_text(toml, "utf-8")
        settings = load_settings()
        stack.enter_context(_watch(home))
        stack.enter_context(daemon(settings))
        instance = stack.enter_context(open_instance(settings))
        if waits:
            _await_sensors(settings)
        for _ in range(launched):
            yield _received(instance, _launch(settings, instance), servers, after)
        yield _received(instance, _fail_together(instance, at_once), servers, after)


@contextmanager
def _watch(home: Path) -> Iterator[None]:
    """Run `tastemaker watch` on the home folder within the block."""
    with (home / "watch.log").open("wb") as log:
        environment = os.environ | {"PAGERDUTY_ROUTING_KEY": ROUTING_KEY}
        words = [str(BIN / "tastemaker"), "watch"]
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)
    with ended(process):
        yield


def _await_sensors(settings: Settings) -> None:
    """Wait until the daemon evaluates sensors."""
    workspace = Workspace(settings)
    requests = TrainingRequests(workspace.engine, workspace.problem.name)
    _wait(lambda: requests.looked_at() is not None, "evaluation of a sensor")


def _launch(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Have the daemon start a run, and return its id after it has failed."""
    known = {run.run_id for run in instance.get_runs()}
    words = ["job", "launch", "-m", "tastemaker_pipelines.definitions", "-j", LANDING]
    environment = os.environ | {"DAGSTER_HOME": str(dagster_home(settings))}
    subprocess.run([str(BIN / "dagster"), *words], env=environment, check=True, capture_output=True)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    _wait(lambda: {run.run_id for run in instance.get_runs(failed)} > known, "failed run")
    return [run.run_id for run in instance.get_runs(failed) if run.run_id not in known]


def _fail_together(instance: dg.DagsterInstance, count: int) -> list[str]:
    started, tags = dg.DagsterRunStatus.STARTED, {MAX_RETRIES_TAG: "0"}
    runs = [instance.create_run_for_job(failing, status=started, tags=tags) for _ in range(count)]
    for run in runs:
        instance.report_engine_event("The process of the run lives.", run)  # creates the file of its events
    for run in runs:
        instance.report_run_failed(run, "The process of the run has died.")
    return [run.run_id for run in runs]


def _received(
    instance: dg.DagsterInstance, run_ids: Sequence[str], servers: Sequence[ScriptedServer], after: float
) -> Reported:
    """Wait for a message about each run in each channel, and count those that follow in so many seconds."""
    _wait(lambda: all(len(_messages(one, run_ids)) == len(run_ids) for one in servers), "message of each run")
    time.sleep(after)
    records = instance.get_run_records(dg.RunsFilter(run_ids=list(run_ids)))
    ends = {one.dagster_run.run_id: one.end_time or 0.0 for one in records}
    found = [_messages(one, run_ids) for one in servers]
    return Reported(
        len(run_ids),
        max(ends.values()) - min(ends.values()),
        [times[0] - ends[run_id] for one in found for run_id, times in one.items()],
        sum(len(times) - 1 for one in found for times in one.values()),
    )


def _messages(server: ScriptedServer, run_ids: Sequence[str]) -> dict[str, list[float]]:
    """Return when messages about each of these runs came; a message has the command that shows its run."""
    found: dict[str, list[float]] = {}
    for request in list(server.received):
        for run_id in {*_SHOWN.findall(request.body)}:
            if run_id.decode() in run_ids:
                found.setdefault(run_id.decode(), []).append(request.at)
    return found


def _wait(is_there: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not is_there():
        if time.monotonic() > until:
            raise RuntimeError(f"no {what} within {WAIT_SECONDS:g} s; see the logs in {Path.cwd()}")
        time.sleep(0.2)
