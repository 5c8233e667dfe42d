"""The asset that takes looks: all that can be taken, and then a failure for those that can't."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from support.planned_experiments import plant_experiment, plant_namespace
from support.stored_looks import read_looks
from tastemaker.settings import Settings
from tastemaker_pipelines.experiments.assets import experiment_looks
from tastemaker_pipelines.resources import LazyWorkspace

PROBLEM = """
name: shop
objectives: [{name: sales, events: {purchase: {}}}]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> LazyWorkspace:
    (tmp_path / "problem.yaml").write_text(PROBLEM, encoding="utf-8")
    found = LazyWorkspace(Settings(home=tmp_path, problem=tmp_path / "problem.yaml"))
    now = datetime.now(UTC)
    plant_namespace(found.open().engine, now)
    plant_experiment(found.open().engine, now, "first")
    return found


def materialize(workspace: LazyWorkspace) -> dg.ExecuteInProcessResult:
    return dg.materialize([experiment_looks], resources={"workspace": workspace}, raise_on_error=False)


@pytest.mark.slow
def test_looks_are_stored_and_their_sentences_shown(workspace: LazyWorkspace) -> None:
    done = materialize(workspace)
    assert done.success
    (shown,) = done.asset_materializations_for_node("experiment_looks")
    assert shown.metadata["looks"].value == 1
    assert shown.metadata["first"].value == "undecided: No unit was exposed yet."
    assert len(read_looks(workspace.open().engine, "first", 0)) == 1


@pytest.mark.slow
def test_a_look_that_fails_does_not_keep_others_from_being_taken(workspace: LazyWorkspace) -> None:
    plant_experiment(workspace.open().engine, datetime.now(UTC), "a-wrong-one", primary="reward_per_visit")
    done = materialize(workspace)
    assert not done.success
    (failure,) = done.get_step_failure_events()
    assert "a-wrong-one: there is no metric 'reward_per_visit'" in str(failure.step_failure_data)
    assert len(read_looks(workspace.open().engine, "first", 0)) == 1
