"""Dagster's own commands see the runs of `tastemaker run`, and report nothing to anybody."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
from dagster._cli.utils import get_possibly_temporary_instance_for_cli

from support import small_shop
from support.repository import ROOT
from tastemaker_pipelines.run import run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries


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
