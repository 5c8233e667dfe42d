"""Dagster's own commands see the runs of `tastemaker run`, and report nothing to other hosts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._cli.utils import get_possibly_temporary_instance_for_cli

from support import small_shop
from support.repository import ROOT
from tastemaker.errors import TastemakerError
from tastemaker.orchestrator_settings import OrchestratorSettings
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker_pipelines.instance import dagster_home, open_instance
from tastemaker_pipelines.run import run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries
VARIABLE = "TASTE_RUNS_URL"
RACE = """
import multiprocessing as mp, sys
from dagster import DagsterInstance
from tastemaker_pipelines import postgres_runs, sqlite_runs

def start(barrier, results):
    barrier.wait()
    try:
        with DagsterInstance.get() as instance:
            results.put(str(len(instance.get_runs())))
    except BaseException as error:
        results.put(repr(error))

mp.set_start_method("fork")
barrier, results = mp.Barrier(6), mp.Queue()
processes = [mp.Process(target=start, args=(barrier, results)) for _ in range(6)]
for process in processes:
    process.start()
print(*[results.get() for _ in processes], sep=chr(10))
for process in processes:
    process.join()
"""


@pytest.mark.parametrize("home", [".tastemaker", "elsewhere"])
def test_dagster_dev_shows_the_runs(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    outcome = run(small_shop.settings(Path(home)), select="landed_events")
    if home == "elsewhere":  # as README says
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / home / "dagster"))
    with get_possibly_temporary_instance_for_cli("dagster dev") as instance:
        assert [(each.run_id, each.status) for each in instance.get_runs()] == [
            (outcome.run_id, dg.DagsterRunStatus.SUCCESS)
        ]
        event = instance.get_latest_materialization_event(dg.AssetKey("landed_events"))
        assert event is not None
        assert event.run_id == outcome.run_id
        assert not instance.telemetry_enabled


def in_postgres(home: Path) -> Settings:
    return Settings(home=home, orchestrator=OrchestratorSettings(postgres_variable=VARIABLE))


def results_of_a_race(settings: Settings, **environment: str) -> list[str]:
    """What six processes of Dagster find that start together where there are no tables yet."""
    environment = {**os.environ, "DAGSTER_HOME": str(dagster_home(settings)), **environment}
    found = subprocess.run(
        [sys.executable, "-c", RACE], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return found.stdout.split("\n")[:-1]


def test_processes_that_start_together_create_one_instance(tmp_path: Path) -> None:
    assert results_of_a_race(Settings(home=tmp_path)) == ["0"] * 6


@pytest.mark.servers
def test_processes_that_start_together_create_one_instance_in_postgres(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_url.replace("+psycopg2", "")
    assert results_of_a_race(in_postgres(tmp_path), **{VARIABLE: url}) == ["0"] * 6
    monkeypatch.setenv(VARIABLE, url)
    settings = small_shop.settings(tmp_path, orchestrator=in_postgres(tmp_path).orchestrator)
    outcome = run(settings, select="landed_events")
    with open_instance(in_postgres(tmp_path)) as instance:
        assert [(each.run_id, each.is_success) for each in instance.get_runs()] == [(outcome.run_id, True)]
    assert not list((tmp_path / "dagster").rglob("*.db"))


@pytest.mark.servers
def test_the_metadata_database_is_refused_for_runs(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(postgres_url).dispose()
    monkeypatch.setenv(VARIABLE, postgres_url.replace("+psycopg2", ""))
    with pytest.raises(TastemakerError, match="metadata database") as raised:
        open_instance(in_postgres(tmp_path))
    assert "for the orchestrator alone" in str(raised.value.fix)
