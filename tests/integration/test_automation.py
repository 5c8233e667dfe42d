"""The automation by Dagster's own daemon and code server, with nothing but a home folder."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import SensorInstigatorData
from sqlalchemy import delete, insert, select

from support import commands
from support.automation_worlds import MODEL, losses
from support.repository import ROOT
from tastemaker.settings import Settings, SourceSettings
from tastemaker.storage.tables import retraining_decisions, stalenesses
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.dagster_yaml import WRITTEN
from tastemaker_pipelines.instance import dagster_home, open_instance
from tastemaker_pipelines.monitoring.drift_check import drift_result
from tastemaker_pipelines.training.runs import REASONS

pytestmark = pytest.mark.servers
LIMIT_SECONDS = 120.0
LOCATION = ROOT / "tests" / "support" / "automation_location.py"
PROBLEM = """
name: a shop of one model
objectives:
  - name: sales
    events: {purchase: {weight: 1}}
split: {test_days: 3}
"""
TOML = f"""
[source]
path = "events.csv"
[models]
enabled = ["{MODEL}"]
[automation]
min_gap_hours = 0
"""

LAUNCHER = """
run_launcher:  # a process per run would spend the test's time on imports
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
"""


class Shop:
    """A home folder whose models Dagster trains."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "problem.yaml").write_text(PROBLEM, "utf-8")
        (home / "tastemaker.toml").write_text(TOML, "utf-8")
        self.settings = Settings(
            home=home,
            problem=home / "problem.yaml",
            source=SourceSettings(name="table", path=home / "events.csv"),
        )
        self.workspace = Workspace(self.settings)
        config = dagster_home(self.settings) / "dagster.yaml"
        config.write_text(config.read_text("utf-8").removeprefix(WRITTEN) + LAUNCHER, "utf-8")

    def sell(self, days: int) -> None:
        """Write the events of so many days."""
        rows = [
            f"u{user},i{(user * 7 + day) % 9},purchase,2026-01-{day:02}T{user % 24:02}:00:00"
            for day in range(1, days + 1)
            for user in range(30)
        ]
        partial = self.home / "events.new"
        partial.write_text("\n".join(["user_id,item_id,event_type,occurred_at", *rows]), "utf-8")
        partial.rename(self.home / "events.csv")

    def runs(self) -> list[dg.DagsterRun]:
        """All runs, oldest first."""
        with open_instance(self.settings) as instance:
            return [*reversed(instance.get_runs())]

    def trainings(self) -> list[set[str]]:
        """The reasons of each training that ended well, oldest first."""
        ended = [run for run in self.runs() if run.status == dg.DagsterRunStatus.SUCCESS]
        tags = [run.tags[REASONS] for run in ended if REASONS in run.tags]
        return [{one["reason"] for one in json.loads(tag)} for tag in tags]

    def report_drift(self) -> None:
        """Store the check of a drift report that found drift."""
        result = drift_result(MODEL, datetime.now(UTC), "What users choose has changed.")
        with open_instance(self.settings) as instance:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey("drift_report"),
                    check_name=str(result.check_name),
                    passed=result.passed,
                    metadata=dict(result.metadata),
                    severity=result.severity,
                )
            )

    def measure_loss(self, per_week: float) -> None:
        """Store what the model loses in a week, instead of what was measured before."""
        row = losses(self.workspace.problem.name, MODEL, per_week=per_week)
        with self.workspace.engine.begin() as connection:
            connection.execute(delete(stalenesses))
            connection.execute(insert(stalenesses), [row])

    def decision(self) -> str:
        """What is stored of the newest decision."""
        with self.workspace.engine.connect() as connection:
            return str(connection.execute(select(retraining_decisions.c.decision)).scalar_one())

    @contextmanager
    def automated(self) -> Iterator[None]:
        """Dagster's daemon, which starts a code server."""
        words = [sys.executable, "-m", "support.eager_daemon", "run", "-f", str(LOCATION)]
        environment = {
            "DAGSTER_HOME": str(self.home / "dagster"),
            "PYTHONPATH": str(ROOT / "tests"),
            "PYTHONWARNINGS": "ignore",
        }
        with (self.home / "daemon.log").open("w") as log:
            process = subprocess.Popen(
                words,
                cwd=self.home,
                env=commands.environment_as_it_is(self.home, environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield
            finally:
                process.terminate()
                process.wait(60)

    def wait(self, until: Callable[[list[set[str]]], bool]) -> None:
        """Wait until the reasons of the trainings are as they should be."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not until(self.trainings()):
            assert time.monotonic() < deadline, (
                f"{self.trainings()}\n{(self.home / 'daemon.log').read_text()}"
            )
            time.sleep(0.5)

    def settle(self) -> int:
        """Wait until all runs have ended and the sensors request none; return the number of runs."""
        runs, since = self.runs(), time.time()
        while not self.have_looked(since):
            time.sleep(0.2)
            if (now := self.runs()) != runs:
                runs, since = now, time.time()
        return len(runs)

    def have_looked(self, since: float) -> bool:
        """Whether each sensor has ended a look that began after this time, and no run is at work."""
        with open_instance(self.settings) as instance:
            sensors = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
            looks = [
                one.instigator_data.last_tick_timestamp or 0.0
                for one in sensors
                if isinstance(one.instigator_data, SensorInstigatorData)
            ]
            return min(looks, default=0.0) > since and all(run.is_finished for run in instance.get_runs())


def test_a_model_is_trained_when_there_is_a_reason_and_only_then(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.sell(days=20)
    with open_instance(shop.settings), shop.automated():
        shop.wait(lambda trainings: trainings == [{"first"}])
        runs = shop.settle()
        shop.sell(days=20)
        assert shop.settle() == runs, "the file was written again, with the same rows"
        assert shop.decision() == "up_to_date"

        shop.sell(days=21)
        shop.wait(lambda trainings: trainings[1:] == [{"new_data"}])
        shop.measure_loss(per_week=1e9)
        shop.wait(lambda trainings: trainings[2:3] == [{"stale"}])
        shop.measure_loss(per_week=1e-9)
        shop.settle()
        before = shop.trainings()
        assert all(reasons == {"stale"} for reasons in before[2:]), "until the loss is small again"
        shop.report_drift()
        shop.settle()
        assert shop.trainings() == before, "there is no data that the model has not learned from"
        shop.sell(days=22)
        shop.wait(lambda trainings: trainings == [*before, {"new_data", "drift"}])
        shop.sell(days=23)
        shop.wait(lambda trainings: trainings == [*before, {"new_data", "drift"}, {"new_data"}])
