"""The sensors: what they request, what the runs are tagged with, and what is stored of each decision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import select

from support import small_shop
from support.automation_worlds import BACKTEST, MODEL, AutomatedModel, hours
from tastemaker.data.ingest import land
from tastemaker.settings import SourceSettings
from tastemaker.storage.tables import retraining_decisions
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.automation.decisions import decisions_sensor
from tastemaker_pipelines.automation.new_days import new_days_sensor
from tastemaker_pipelines.automation.sensors import TrainingSensor
from tastemaker_pipelines.definitions import build_defs
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.resources import LazyWorkspace
from tastemaker_pipelines.training.runs import REASONS

pytestmark = pytest.mark.slow
RUNNING = dg.DefaultSensorStatus.RUNNING
DAYS = [f"u{user},i1,purchase,2026-01-0{day}T10:00:00" for day in (1, 2) for user in (1, 2)]


@pytest.fixture
def model(tmp_path: Path) -> AutomatedModel:
    return AutomatedModel(tmp_path / "home")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on disk, since one in memory stores no evaluations."""
    with open_instance(small_shop.settings(tmp_path / "home")) as instance:
        yield instance


def tick(model: AutomatedModel) -> Any:
    """The tick of a sensor over the model's assets, as a code server evaluates it."""
    sensor = TrainingSensor("trainings", model.workspace, target="*")
    defs = dg.Definitions(assets=model.assets, sensors=[sensor])
    context = dg.build_sensor_context(model.instance, repository_def=defs.get_repository_def())
    return sensor.evaluate_tick(context)


def decide(model: AutomatedModel) -> Any:
    """What is stored after a tick as the daemon stores it."""
    storage = model.instance.schedule_storage
    assert storage is not None
    made = [one.with_run_ids(set()) for one in tick(model).automation_condition_evaluations]
    storage.add_auto_materialize_asset_evaluations(1, made)
    context = dg.build_sensor_context(model.instance, resources={"workspace": model.workspace})
    decisions_sensor(30)(context)
    with model.workspace.open().engine.connect() as connection:
        [row] = connection.execute(
            select(retraining_decisions).where(retraining_decisions.c.model == MODEL)
        ).all()
    return row


def test_everything_runs_by_default_and_nothing_if_it_is_switched_off(tmp_path: Path) -> None:
    on, off = (
        build_defs(
            LazyWorkspace(small_shop.settings(tmp_path / f"{enabled}", automation={"enabled": enabled}))
        )
        for enabled in (True, False)
    )
    names = {sensor.name for sensor in on.sensors or () if sensor.default_status == RUNNING}
    asked = {"ended_runs", "training_requests"}
    assert names == {*asked, "new_days", "trainings", "reports", "recorded_decisions"}
    assert {sensor.name for sensor in off.sensors or ()} == asked
    automated = {
        bool(off.resolve_asset_graph().get(key).automation_condition)
        for key in off.resolve_asset_graph().get_all_asset_keys()
    }
    assert automated == {False}, "Dagster would make a sensor of its own for them"
    statuses = [next(iter(one.schedules or ())).default_status for one in (on, off)]
    assert statuses == [dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED]


def test_each_model_and_what_follows_is_automated(tmp_path: Path) -> None:
    graph = build_defs(LazyWorkspace(small_shop.settings(tmp_path / "home"))).resolve_asset_graph()
    by_hand = {
        key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).automation_condition
    }
    landed = {key.to_user_string() for key in landing(tmp_path).asset_layer.selected_asset_keys}
    others = {"ablations/ranker", "learned_states", "experiment_looks", "installed_packages"}
    nightly = {"attributed_impressions", "product_metrics", "reward_figures", "data_quality_report"}
    assert by_hand == landed | others | nightly


def landing(tmp_path: Path) -> dg.JobDefinition:
    return build_defs(LazyWorkspace(small_shop.settings(tmp_path / "home"))).resolve_job_def("landing")


def test_a_run_is_tagged_with_the_reasons_of_its_models(model: AutomatedModel) -> None:
    model.land(hours(0), "one")
    [request] = tick(model).run_requests
    assert BACKTEST in request.asset_selection
    reason = {"model": MODEL, "reason": "first", "detail": "never trained"}
    assert json.loads(request.tags[REASONS]) == [reason]


def test_a_run_that_trains_nothing_has_no_reasons(model: AutomatedModel) -> None:
    model.land(hours(0), "one")
    model.train(hours(1), "one")
    [request] = tick(model).run_requests
    assert request.asset_selection == [dg.AssetKey("leaderboard")]
    assert REASONS not in request.tags


def test_nothing_to_do_is_not_a_run(model: AutomatedModel) -> None:
    model.land(hours(0), "one")
    model.train(hours(1), "one")
    model.compare(hours(1), "one")
    assert not tick(model).run_requests


def test_the_decision_that_dagster_made_is_stored(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    model = AutomatedModel(tmp_path / "home", instance)
    model.land(hours(0), "one")
    row = decide(model)
    assert row.decision == "trains"
    assert [one["name"] for one in row.conditions if one["is_met"]] == [
        *("first", "min_gap", "no_failure", "not_running", "inputs_ready", "inputs_sound")
    ]
    details = {one["name"]: one["detail"] for one in row.conditions}
    assert details["not_running"] == "no run trains it"
    assert all(details.values())
    assert row.next_at is None


def test_a_model_that_waits_says_until_when(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    model = AutomatedModel(tmp_path / "home", instance, automation={"min_gap_hours": 8_760})
    model.land(hours(0), "one")
    model.train(hours(1), "one")
    model.land(hours(2), "two")
    row = decide(model)
    assert row.decision == "waits"
    assert row.next_at.astimezone(UTC) == hours(1 + 8_760)
    gap = next(one for one in row.conditions if one["name"] == "min_gap")
    assert gap == {
        "name": "min_gap",
        "is_met": False,
        "detail": "trained at 2026-03-02 01:00 UTC; not again before 2027-03-02 01:00 UTC",
    }


def test_an_up_to_date_model_says_when_it_is_stale(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    model = AutomatedModel(tmp_path / "home", instance)
    model.measure_loss(per_week=0.000_1)
    model.land(hours(0), "one")
    model.train(hours(1), "one")
    row = decide(model)
    assert row.decision == "up_to_date"
    assert row.next_at.astimezone(UTC) == hours(1 + 168 * 0.05 * 0.2 / 0.000_1)


class Source:
    """The file of a shop's events, and the sensor that looks at it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "events.csv"
        source = SourceSettings(name="table", path=self.path)
        self.workspace = LazyWorkspace(small_shop.settings(home, source=source))
        self.cursor: str | None = None
        self.instance = dg.DagsterInstance.ephemeral(str(home))

    def write(self, *rows: str) -> None:
        self.path.write_text("\n".join(["user_id,item_id,event_type,occurred_at", *rows]), "utf-8")

    def look(self) -> str | None:
        """The key of the run that the sensor requests; None if it requests none."""
        context = dg.build_sensor_context(
            self.instance, cursor=self.cursor, resources={"workspace": self.workspace}
        )
        found = new_days_sensor(30)(context)
        self.cursor = context.cursor
        return found.run_key if isinstance(found, dg.RunRequest) else None

    def land(self) -> None:
        opened = Workspace(self.workspace.open().settings)
        land(opened.source, opened.lake)


def test_new_and_changed_days_are_landed_once(tmp_path: Path) -> None:
    source = Source(tmp_path / "home")
    source.write(*DAYS[:2])
    keys = [source.look(), source.look()]
    source.land()
    source.write(*DAYS)
    keys += [source.look(), source.look()]
    source.land()
    source.write(*DAYS[:-1])
    keys += [source.look()]
    source.land()
    source.write(*DAYS)
    keys += [source.look()]
    requested = [key for key in keys if key is not None]
    assert [key is not None for key in keys] == [True, False, True, False, True, True]
    assert len(set(requested)) == len(requested), "Dagster starts one run per key, also for rows of before"


def test_what_is_in_the_lake_already_is_not_landed(tmp_path: Path) -> None:
    source = Source(tmp_path / "home")
    source.write(*DAYS)
    source.land()
    assert source.look() is None
    source.write(*reversed(DAYS))
    assert source.look() is None, "the same rows in another order"


def test_a_day_that_the_source_no_longer_has_is_landed(tmp_path: Path) -> None:
    source = Source(tmp_path / "home")
    source.write(*DAYS, "u1,i1,purchase,2026-01-03T10:00:00")
    source.land()
    assert source.look() is None
    source.write(*DAYS[:2], "u1,i1,purchase,2026-01-03T10:00:00")
    assert source.look() is not None


def test_a_home_without_a_problem_file_is_left_alone(tmp_path: Path) -> None:
    source = Source(tmp_path / "home")
    source.write(*DAYS)
    source.workspace.open().settings.problem.unlink()
    assert source.look() is None
    assert source.cursor is None


def test_the_measured_age_of_a_model_is_its_freshness_policy(model: AutomatedModel) -> None:
    model.measure_loss(fresh=0.2, per_week=0.02)
    graph = build_defs(model.workspace).resolve_asset_graph()
    policy = graph.get(dg.AssetKey(["models", MODEL])).freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(hours(84) - hours(0))
    assert graph.get(dg.AssetKey(["models", "ease"])).freshness_policy is None
