"""A run of a backfill in its own process: its days are partitions, and the gate finds them validated."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from support import small_shop
from tastemaker.data.ingest import land
from tastemaker.data.validation.publishing import pending_days
from tastemaker.workflows.workspace import Workspace
from tastemaker_expectations.gate import GreatExpectationsGate
from tastemaker_pipelines.backfill.day_ranges import day_ranges
from tastemaker_pipelines.backfill.definitions import VALIDATED_DAYS
from tastemaker_pipelines.backfill.parallel import run_ranges
from tastemaker_pipelines.instance import open_instance

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries


def test_a_run_validates_its_days_as_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    workspace = Workspace(small_shop.settings(tmp_path))
    for name, value in small_shop.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)  # tastemaker.toml
    land(workspace.source, workspace.lake)

    def pending() -> dict[date, int]:
        gate = GreatExpectationsGate("simulated")
        return pending_days("simulated", workspace.lake, gate, workspace.engine)

    landed = workspace.lake.days("landed_events", part="simulated")
    before = pending()
    assert list(before) == landed
    first, *others = day_ranges(landed, before, sum(before.values()) // 2)
    assert others
    assert run_ranges([first], 1, lambda one, problem: None) == []
    validated = [day for day in landed if first.first <= day <= first.last]
    assert list(pending()) == [day for day in landed if day not in validated]
    with open_instance(workspace.settings) as instance:
        made = instance.get_materialized_partitions(dg.AssetKey(VALIDATED_DAYS))
        assert made == {day.isoformat() for day in validated}


def test_a_worker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    waits = "import os, tastemaker_pipelines.backfill.worker as w; w._end_with_parent()"
    with subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 1
