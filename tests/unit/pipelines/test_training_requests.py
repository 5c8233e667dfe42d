"""The sensor starts one run per request, and records what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from support.tuning_worlds import world
from tastemaker.trainings.records import FAILED as TRAINING_FAILED
from tastemaker.trainings.records import Cost, Need
from tastemaker.trainings.requests import DONE, FAILED, RUNNING, TrainingRequests
from tastemaker_pipelines.resources import LazyWorkspace
from tastemaker_pipelines.training.requests import REQUEST_TAG, training_requests_sensor
from tastemaker_pipelines.training.runs import REASONS


@dg.op
def nothing() -> None:
    """Nothing."""


@dg.job
def trains() -> None:
    nothing()


@pytest.fixture
def workspace(tmp_path: Path) -> LazyWorkspace:
    return LazyWorkspace(world(tmp_path / "home").settings)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def requests(workspace: LazyWorkspace) -> TrainingRequests:
    return workspace.open().training_requests


def look(instance: dg.DagsterInstance, workspace: LazyWorkspace) -> list[dg.RunRequest]:
    context = dg.build_sensor_context(instance, resources={"workspace": workspace})
    made = training_requests_sensor()(context)
    return [one for one in made if isinstance(one, dg.RunRequest)]  # type: ignore[union-attr]


def test_each_request_is_one_run_with_its_reason(
    instance: dg.DagsterInstance, workspace: LazyWorkspace, requests: TrainingRequests
) -> None:
    assert look(instance, workspace) == []
    assert requests.looked_at() is not None
    one = requests.add(["popularity"], "catalogue-job", "a new catalogue", key="1")
    everything = requests.add([], "ada", "why not", key="2")
    first, second = look(instance, workspace)
    assert (first.run_key, second.run_key) == (one.id, everything.id)
    assert [key.to_user_string() for key in first.asset_selection or ()] == [
        "backtests/popularity", "models/popularity", "leaderboard", "champion"
    ]  # fmt: skip
    assert json.loads(first.tags[REASONS]) == [
        {"reason": "requested", "detail": "a new catalogue (catalogue-job)"}
    ]
    trained = {key.path[1] for key in second.asset_selection or () if key.path[0] == "models"}
    assert trained == set(workspace.open().plugins().names)


def test_a_request_follows_its_run(
    instance: dg.DagsterInstance, workspace: LazyWorkspace, requests: TrainingRequests
) -> None:
    made = [requests.add(["popularity"], "ada", "why", key=str(number)) for number in range(4)]
    done, broken = (
        trains.execute_in_process(instance=instance, tags={REQUEST_TAG: one.id}).run_id for one in made[:2]
    )
    instance.create_run_for_job(trains, tags={REQUEST_TAG: made[2].id}, status=dg.DagsterRunStatus.STARTED)
    records = workspace.open().training_records
    with records.training(broken, "popularity", (), Need(1, None, None, 1)):
        records.finish(broken, "popularity", TRAINING_FAILED, Cost(), problem_text="no memory")
    [started] = look(instance, workspace)
    assert started.run_key == made[3].id
    found = [requests.get(one.id) for one in made]
    assert [one.state for one in found if one] == [DONE, FAILED, RUNNING, "waiting"]
    assert found[0] is not None
    assert found[1] is not None
    assert (found[0].run_id, found[1].problem_text) == (done, "no memory")


def test_a_model_that_is_gone_fails_its_request(
    instance: dg.DagsterInstance, workspace: LazyWorkspace, requests: TrainingRequests
) -> None:
    made = requests.add(["uninstalled"], "ada", "why", key="1")
    assert look(instance, workspace) == []
    found = requests.get(made.id)
    assert found is not None
    assert (found.state, found.problem_text) == (FAILED, "uninstalled is not an enabled model any more")
