"""Runs that ended and runs that wait are in the metadata database: by the sensor and by `tastemaker run`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from sqlalchemy import select

from tastemaker.monitoring.job_runs import RUNS
from tastemaker.settings import Settings
from tastemaker.storage.tables import alert_incidents, job_runs, queue_lengths
from tastemaker_pipelines import failures
from tastemaker_pipelines import run as run_module
from tastemaker_pipelines.failures import ATTENDED_TAG
from tastemaker_pipelines.monitoring import ended_runs as ended_runs_module
from tastemaker_pipelines.monitoring.ended_runs import ended_runs
from tastemaker_pipelines.resources import LazyWorkspace


@dg.asset
def broken() -> None:
    raise dg.Failure("broken", allow_retries=False)


@dg.asset
def sound() -> None:
    """Nothing."""


DEFINITIONS = dg.Definitions(
    assets=[broken, sound],
    jobs=[dg.define_asset_job(name, [name]) for name in ("broken", "sound")],
    executor=dg.in_process_executor,
)


@pytest.fixture
def workspace(tmp_path: Path) -> LazyWorkspace:
    return LazyWorkspace(Settings(home=tmp_path / "home"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def rows(workspace: LazyWorkspace, table: Any) -> list[Any]:
    with workspace.open().engine.connect() as connection:
        return list(connection.execute(select(table)).all())


def evaluate(instance: dg.DagsterInstance, workspace: LazyWorkspace, cursor: str | None) -> str | None:
    context = dg.build_sensor_context(instance, cursor=cursor, resources={"workspace": workspace})
    ended_runs(context)
    return context.cursor


@pytest.mark.slow
def test_the_sensor_stores_how_jobs_ended_and_how_many_runs_wait(
    instance: dg.DagsterInstance, workspace: LazyWorkspace
) -> None:
    for name in ("broken", "sound"):
        DEFINITIONS.resolve_job_def(name).execute_in_process(instance=instance, raise_on_error=False)
    DEFINITIONS.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("sound")]
    )
    sound_job = DEFINITIONS.resolve_job_def("sound")
    location = RegisteredCodeLocationOrigin("here")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "shop"), "sound")
    instance.create_run_for_job(
        sound_job,
        status=dg.DagsterRunStatus.QUEUED,
        remote_job_origin=origin,
    )
    cursor = evaluate(instance, workspace, None)
    assert cursor is not None
    stored = {row.job_name: row for row in rows(workspace, job_runs)}
    assert {name: row.succeeded for name, row in stored.items()} == {"broken": False, "sound": True}
    ended = {run.dagster_run.run_id: run.end_time for run in instance.get_run_records()}
    for row in stored.values():
        assert row.ended_at.timestamp() == pytest.approx(ended[row.run_id])
    [queue] = rows(workspace, queue_lengths)
    assert (queue.queue, queue.length) == (RUNS, 1)

    sound_job.execute_in_process(instance=instance)
    later = evaluate(instance, workspace, cursor)
    assert datetime.fromisoformat(str(later)) > datetime.fromisoformat(cursor)
    assert len(rows(workspace, job_runs)) == 3, "each run is stored once"


def test_each_failed_run_is_reported_once_with_its_asset_and_reason(
    instance: dg.DagsterInstance, workspace: LazyWorkspace
) -> None:
    job, whole = DEFINITIONS.resolve_job_def("broken"), DEFINITIONS.resolve_implicit_global_asset_job_def()
    first = job.execute_in_process(instance=instance, raise_on_error=False).run_id
    second = whole.execute_in_process(instance=instance, raise_on_error=False, tags={WILL_RETRY_TAG: "false"})
    for tags in ({WILL_RETRY_TAG: "true"}, {ATTENDED_TAG: "true"}):
        job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
    instance.add_run_tags(first, {WILL_RETRY_TAG: "false"})
    cursor = evaluate(instance, workspace, None)
    found = {row.labels["run_id"]: row for row in rows(workspace, alert_incidents)}
    assert set(found) == {first, second.run_id}
    assert found[first].summary == "broken: broken failed: broken"
    assert "job_name" not in found[second.run_id].labels
    evaluate(instance, workspace, cursor)
    assert len(rows(workspace, alert_incidents)) == 2


def test_what_became_of_a_run_is_awaited(instance: dg.DagsterInstance, workspace: LazyWorkspace) -> None:
    job = DEFINITIONS.resolve_job_def("broken")
    run_id = job.execute_in_process(instance=instance, raise_on_error=False).run_id
    cursor = evaluate(instance, workspace, None)
    assert rows(workspace, alert_incidents) == [], "whether it is started again is not known yet"
    instance.add_run_tags(run_id, {WILL_RETRY_TAG: "true"})
    cursor = evaluate(instance, workspace, cursor)
    assert rows(workspace, alert_incidents) == []
    instance.add_run_tags(run_id, {WILL_RETRY_TAG: "false"})  # as Dagster does where it can't
    evaluate(instance, workspace, cursor)
    assert len(rows(workspace, alert_incidents)) == 1


def test_a_run_that_can_not_be_started_again_is_reported(
    instance: dg.DagsterInstance, workspace: LazyWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = DEFINITIONS.resolve_job_def("broken")
    given_up, retried = (
        job.execute_in_process(instance=instance, raise_on_error=False, tags={WILL_RETRY_TAG: "true"}).run_id
        for _ in range(2)
    )
    instance.add_run_tags(retried, {AUTO_RETRY_RUN_ID_TAG: "the next run"})
    cursor = evaluate(instance, workspace, None)
    assert rows(workspace, alert_incidents) == [], "Dagster may still start it"
    later = datetime.fromisoformat(str(cursor)) + timedelta(hours=1)
    monkeypatch.setattr(failures, "GIVEN_UP", timedelta(0))
    evaluate(instance, workspace, later.isoformat())
    [incident] = rows(workspace, alert_incidents)
    assert incident.labels["run_id"] == given_up


def test_old_failures_are_not_news_when_the_sensor_is_new(
    instance: dg.DagsterInstance, workspace: LazyWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_runs_module, "FIRST_REPORTED", timedelta(0))
    job = DEFINITIONS.resolve_job_def("broken")
    job.execute_in_process(instance=instance, raise_on_error=False, tags={WILL_RETRY_TAG: "false"})
    evaluate(instance, workspace, None)
    assert len(rows(workspace, job_runs)) == 1
    assert rows(workspace, alert_incidents) == []


def test_a_refused_batch_is_for_the_gates_own_alert(
    instance: dg.DagsterInstance, workspace: LazyWorkspace
) -> None:
    @dg.asset(name="gate", check_specs=[dg.AssetCheckSpec("batch_is_sound", asset="gate")])
    def refusing() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(check_name="batch_is_sound", passed=False)
        raise dg.Failure("refused", allow_retries=False)

    dg.materialize([refusing], instance=instance, raise_on_error=False, tags={WILL_RETRY_TAG: "false"})
    evaluate(instance, workspace, None)
    assert rows(workspace, alert_incidents) == []


@pytest.mark.processes
def test_a_run_of_all_assets_counts_as_the_job_everything(
    workspace: LazyWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "build_defs", lambda workspace: DEFINITIONS)
    settings = workspace.open().settings
    run_module.run(settings, select="sound")
    assert rows(workspace, job_runs) == [], "a person selected it, and sees how it ends"
    outcome = run_module.run(settings)
    [row] = rows(workspace, job_runs)
    assert (row.run_id, row.job_name, row.succeeded) == (outcome.run_id, "everything", False)
    [incident] = rows(workspace, alert_incidents)
    assert incident.summary == "everything: broken failed: broken"
