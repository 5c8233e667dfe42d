"""The picture of what starts runs is drawn from the definitions, and the committed file is the drawn one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from support.repository import ROOT
from tastemaker.plugins.discovery import find
from tastemaker_pipelines.definitions import assemble
from tastemaker_pipelines.resources import LazyWorkspace


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return runpy.run_path(str(ROOT / "docs" / "draw_automation.py"))


@pytest.mark.slow
def test_the_committed_picture_is_the_drawn_one(script: dict[str, Any]) -> None:
    path: Path = script["PICTURE"]
    drawn = script["render"](assemble(find(), LazyWorkspace()))
    assert path.read_text("utf-8") == drawn, "draw it again: python docs/draw_automation.py"


def test_what_starts_runs_is_drawn_with_its_groups_and_conditions(script: dict[str, Any]) -> None:
    @dg.asset(group_name="learned", automation_condition=dg.AutomationCondition.missing())
    def model() -> None: ...

    @dg.asset(group_name="read")
    def events() -> None: ...

    sensor = dg.AutomationConditionSensorDefinition("looks", target="*", minimum_interval_seconds=7)
    job = dg.define_asset_job("both", selection="*")
    schedule = dg.ScheduleDefinition(
        name="daily", job=job, cron_schedule="0 3 * * *", execution_timezone="UTC"
    )
    definitions = dg.Definitions(assets=[model, events], jobs=[job], schedules=[schedule], sensors=[sensor])
    found = {one.name: (one.when, one.groups) for one in script["starters"](definitions)}
    assert found == {
        "daily": ("cron 0 3 * * *, UTC", {"learned", "read"}),
        "looks": ("every 7 s", {"learned"}),
    }


def test_labels_and_the_platform_s_own_conditions_are_named(script: dict[str, Any]) -> None:
    condition = (~dg.AutomationCondition.in_progress()).with_label("not_running") & (
        dg.AutomationCondition.missing().with_label("first") | dg.AutomationCondition.code_version_changed()
    )
    specs = [dg.AssetSpec("a", group_name="learned", automation_condition=condition), dg.AssetSpec("b")]
    graph = dg.Definitions(assets=specs).resolve_asset_graph()
    assert script["conditions"](graph) == {"learned": ["not_running", "first"]}
