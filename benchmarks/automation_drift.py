"""Seconds from a drift report to the version that answers it, by Dagster's own daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import numpy as np

from tastemaker.api.schemas import Request
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import request_rows
from tastemaker.registry import Version
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.settings import Settings, load_settings
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import Shop, user_ids
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.instance import dagster_home, open_instance
from tastemaker_pipelines.run import run

MODEL, K = "trending", 10
PROBLEM = """
name: a shop with a campaign
objectives:
  - name: interest
    events: {purchase: {weight: 1.0}, view: {weight: 1.0}}
"""
SIZE = {"n_users": 600, "n_items": 200, "events_per_day": 900}
LEARNED_DAYS = 43
"""On the day after these, 30 % of the visits are by users of one small country."""
WAIT_SECONDS = 300.0


class Answered(NamedTuple):
    """How soon drift was answered, in seconds."""

    until_request: float
    """From the end of the report's run to the request of a training: at most two polls."""
    until_start: float
    """From then to the start of the run, whose process starts in this time."""
    training: float
    """From then to the new version."""


def answer_drift(home: Path, poll_seconds: int) -> Answered:
    """Let drift be found in a shop's log, and wait for the version that the daemon's training makes.

    The events of the day are in the lake by then, but the last training is too recent for another, except for
    drift.

    Args:
        home: An empty folder.
        poll_seconds: Between two evaluations of the conditions.
    """
    home.mkdir(parents=True)
    with chdir(home):  # the daemon's processes read the settings there
        run(_settings(poll_seconds, LEARNED_DAYS))
        settings = _settings(poll_seconds, LEARNED_DAYS + 1)
        run(settings, select='+key:"events"')
        workspace = Workspace(settings)
        served = workspace.registry.newest(MODEL, problem=workspace.problem.name)
        with daemon(settings):
            time.sleep(3 * poll_seconds)
            _serve(workspace, served)
            run(settings, select='key:"served_requests" or key:"drift_report"')
            found = time.time()
            version = _newer(workspace, served)
            requested, started = _run_times(settings)
    return Answered(requested - found, started - requested, version.created_at.timestamp() - started)


def _run_times(settings: Settings) -> tuple[float, float]:
    """Return when the newest run of trainings was requested and started, once it has ended."""
    mine = dg.RunsFilter(tags={"dagster/sensor_name": "trainings"})
    with open_instance(settings) as instance:
        while not (record := instance.get_run_records(mine, limit=1)[0]).dagster_run.is_finished:
            time.sleep(0.2)
    return record.create_timestamp.timestamp(), record.start_time or 0.0


def _settings(poll_seconds: int, days: int) -> Settings:
    """Write the settings of a shop with so many days into the current folder, its home, and return them."""
    options = {"n_days": days, **SIZE}
    written = ", ".join(f"{name} = {value}" for name, value in options.items())
    Path("problem.yaml").write_text(PROBLEM, "utf-8")
    Path("tastemaker.toml").write_text(
        f'home = "."\nproblem = "problem.yaml"\n'
        f'[source]\nname = "simulated"\n'
        f'options = {{ {written}, shifts = [{{ kind = "audience", day = {LEARNED_DAYS}, size = 0.3 }}] }}\n'
        f'[models]\nenabled = ["popularity", "{MODEL}"]\n'
        f"[automation]\npoll_seconds = {poll_seconds}\n",
        "utf-8",
    )
    return load_settings()


def _serve(workspace: Workspace, version: Version) -> None:
    """Log the answers of the shop's last day."""
    shop = Shop(ShopConfig(**workspace.settings.source.options))
    day = shop.config.n_days - 1
    events = shop.draw_day(day)
    visits = np.flatnonzero(events.types == 0)[::4]  # a visit has four looks and one request
    date = shop.config.first_date + timedelta(days=day)
    midnight = datetime.combine(date, time_of_day(), UTC).timestamp()
    asks = [
        InferenceRequest(Request(user, K), f"{day:016x}{number:016x}", midnight)
        for number, user in enumerate(user_ids(events.users[visits]).to_pylist())
    ]
    answers = Predictor(workspace.registry.open(version)).recommend(asks)
    records = [
        Record(
            ask.request_id, midnight + at / 1e6, ask.request.user_id, K, version.model, version.id,
            result.answer.items, 1.0, features=result.features,
        )
        for ask, at, result in zip(asks, events.microseconds[visits].tolist(), answers, strict=True)
    ]  # fmt: skip
    workspace.lake.write_day("requests", date, request_rows(records))


@contextmanager
def daemon(settings: Settings) -> Iterator[None]:
    """Run Dagster's daemon on the home folder within the block."""
    environment = os.environ | {"DAGSTER_HOME": str(dagster_home(settings))}
    command: list[str] = [
        str(Path(sys.executable).parent / "dagster-daemon"),
        "run",
        "-m",
        "tastemaker_pipelines.definitions",
    ]
    with (settings.home / "daemon.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _newer(workspace: Workspace, served: Version) -> Version:
    """Wait for a newer version of the model."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        newest = workspace.registry.newest(MODEL, problem=workspace.problem.name)
        if newest.id != served.id:
            return newest
        time.sleep(0.2)
    log = (workspace.settings.home / "daemon.log").read_text("utf-8")[-3_000:]
    raise RuntimeError(f"there is no new version of {MODEL} after {WAIT_SECONDS:g} s:\n{log}")
