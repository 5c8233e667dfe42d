"""`tastemaker runs` lists the instance's runs and says why one failed."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from tastemaker.settings import Settings
from tastemaker_pipelines.cli.runs import runs
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.training.requests import REQUEST_TAG

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries


@dg.asset(key=["models", "ials"])
def sound() -> None:
    """Nothing."""


@dg.asset(key=["models", "ranker"])
def broken() -> None:
    raise dg.Failure("no space left\non the disk", allow_retries=False)


@pytest.mark.processes
def test_runs_are_listed_and_a_failure_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    runner = CliRunner()
    assert runner.invoke(runs, ["list"]).output == "no run\n"
    with open_instance(Settings(home=tmp_path)) as instance:
        dg.materialize([sound], instance=instance)
        failed = dg.materialize(
            [sound, broken], instance=instance, raise_on_error=False, tags={REQUEST_TAG: "4711"}
        ).run_id
    listed = json.loads(runner.invoke(runs, ["list", "--json"]).output)
    assert [row["status"] for row in listed] == ["FAILURE", "SUCCESS"]
    [row] = runner.invoke(runs, ["list", "--failed"]).output.splitlines()
    assert row.startswith(f"{failed}  FAILURE  ")
    shown = runner.invoke(runs, ["show", failed[:13]]).output
    assert shown.endswith("\nmodels/ranker\n  no space left\n  on the disk\n")
    found = json.loads(runner.invoke(runs, ["show", failed, "--json"]).output)
    assert found["failures"] == [{"asset": "models/ranker", "reason": "no space left\non the disk"}]
    requested = json.loads(runner.invoke(runs, ["show", "4711", "--json"]).output)
    assert requested["run_id"] == failed, "by the id that POST /train answered"
    unknown = runner.invoke(runs, ["show", "nothing"])
    assert "there is no run nothing" in str(unknown.exception)
