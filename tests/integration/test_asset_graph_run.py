"""The whole graph on a very small shop: what a run leaves behind, and what a second run does not do again."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from sqlalchemy import select

from support import small_shop
from support.html_pages import faults, faults_in_a_browser
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.plugins.discovery import find
from tastemaker.storage.tables import backtests, ingested_days, promotions, versions
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.definitions import EVERYTHING, build_defs
from tastemaker_pipelines.instance import open_instance
from tastemaker_pipelines.resources import LazyWorkspace
from tastemaker_pipelines.run import Outcome, run

# Feast and Evidently import deprecated modules.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def rows(workspace: Workspace, table: Any) -> list[Any]:
    """A table's rows, without the time at which a backtest was last listed."""
    with workspace.engine.connect() as connection:
        found = connection.execute(select(table)).mappings()
        return [{name: value for name, value in row.items() if name != "listed_at"} for row in found]


def data_versions(workspace: Workspace) -> dict[str, str]:
    """The data version of each asset that the run made."""
    graph = build_defs(LazyWorkspace(workspace.settings)).resolve_asset_graph()
    with open_instance(workspace.settings) as instance:
        keys = EVERYTHING.resolve(graph)
        events = {key: instance.get_latest_materialization_event(key) for key in keys}
    materialized = {key: event.asset_materialization for key, event in events.items() if event}
    return {
        key.to_user_string(): (made.tags or {})[DATA_VERSION_TAG]
        for key, made in materialized.items()
        if made
    }


def test_a_run_ends_well_and_every_step_says_what_it_did(finished: tuple[Workspace, Outcome]) -> None:
    _, outcome = finished
    assert {
        step.name: (step.state, step.problem) for step in outcome.steps.values() if step.state != "done"
    } == {}
    assert outcome.success
    assert outcome.trained == tuple(sorted(find().names))
    assert all(step.facts for step in outcome.steps.values())


def test_every_model_is_on_the_leaderboard_and_registered(finished: tuple[Workspace, Outcome]) -> None:
    workspace, _ = finished
    board = Leaderboard.load(workspace.engine, workspace.problem, workspace.settings.artifacts)
    names = set(find().names)
    assert {row.model for row in board.rows} == names
    assert {row["model"] for row in rows(workspace, versions)} == names
    for name in names:
        loaded = workspace.registry.open(workspace.registry.newest(name))
        assert len(loaded.snapshot.user_ids) == len(workspace.dataset().user_ids)


def test_what_came_in_is_accounted_for(finished: tuple[Workspace, Outcome]) -> None:
    workspace, outcome = finished
    with workspace.lake.connect() as connection:
        [(events, quarantined)] = connection.sql(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM quarantine)"
        ).fetchall()
    landed = sum(pq.read_metadata(path).num_rows for path in workspace.lake.files("landed_events"))
    assert landed == events + quarantined > 0
    assert outcome.steps["landed_events"].facts["rows"] == landed
    ingested = rows(workspace, ingested_days)
    assert sum(day["rows_read"] for day in ingested) == landed
    assert len(ingested) == small_shop.SHOP["n_days"]


def test_people_have_something_to_look_at(finished: tuple[Workspace, Outcome]) -> None:
    workspace, _ = finished
    reports = workspace.settings.reports
    pages = {path.relative_to(reports).as_posix(): path for path in reports.rglob("*.html")}
    assert {"index.html", "leaderboard.html", "data_docs/simulated-events.html"} <= set(pages)
    contents = pages["index.html"].read_text("utf-8")
    assert [name for name in pages if name != "index.html" and f'href="{quote(name)}"' not in contents] == []
    others = {name for name in pages if name.endswith(("-details.html", "-evidently.html"))}
    wrong = {name: faults(path, own=name not in others) for name, path in pages.items()}
    assert {name: found for name, found in wrong.items() if found} == {}
    assert faults_in_a_browser(list(pages.values())) == {}
    assert (reports / "leaderboard.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_does_nothing_again(finished: tuple[Workspace, Outcome]) -> None:
    workspace, _ = finished
    tables = (backtests, versions, promotions, ingested_days)
    before = [rows(workspace, table) for table in tables]
    made = data_versions(workspace)
    outcome = run(workspace.settings)
    assert outcome.success
    assert outcome.trained == ()
    assert data_versions(workspace) == made
    assert [rows(workspace, table) for table in tables] == before
    assert outcome.steps["landed_events"].facts["days_read"] == 0


def test_a_run_that_failed_continues_where_it_stopped(tmp_path: Path) -> None:
    settings = small_shop.settings(tmp_path / "home", models={"trending": {"half_life_days": -1}})
    select_ = "+key:backtests/popularity or +key:backtests/trending"
    failed = run(settings, select=select_)
    assert not failed.success
    assert failed.steps["backtests__trending"].state == "failed"
    assert "half_life_days = -1" in failed.steps["backtests__trending"].problem
    assert "tastemaker models show trending" in failed.steps["backtests__trending"].problem
    workspace = Workspace(small_shop.settings(tmp_path / "home"))
    first = rows(workspace, backtests)
    assert [row["model"] for row in first] == ["popularity"]
    assert run(workspace.settings, select=select_).success
    assert [row for row in rows(workspace, backtests) if row["model"] == "popularity"] == first


def test_a_batch_that_fails_blocks_what_is_downstream(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,occurred_at\n" + "u,i,no time at all\n" * 20)
    source = {"name": "table", "path": path}
    settings = small_shop.settings(tmp_path / "home", source=source)
    outcome = run(settings, select="+key:backtests/popularity")
    assert not outcome.success
    assert outcome.steps["gate"].state == "failed"
    assert outcome.steps["gate"].problem.startswith("every row of events (20 of 20) went to quarantine")
    assert "backtests__popularity" not in {
        name for name, step in outcome.steps.items() if step.state in {"running", "done"}
    }
    assert Workspace(settings).lake.files("events") == []


def test_days_can_be_chosen_and_read_again(tmp_path: Path) -> None:
    settings = small_shop.settings(tmp_path / "home")

    def land(**config: Any) -> dict[str, Any]:
        outcome = run(settings, select="landed_events", config={"ops": {"landed_events": {"config": config}}})
        return outcome.steps["landed_events"].facts | {"problem": outcome.steps["landed_events"].problem}

    assert land(start="2025-01-05", end="2025-01-07")["days_read"] == 3
    assert land(start="2025-01-05", end="2025-01-08")["days_read"] == 1
    assert land(start="2025-01-05", end="2025-01-07", force=True)["days_read"] == 3
    assert "start is 'yesterday', must be a day" in land(start="yesterday")["problem"]
    assert "after end" in land(start="2025-02-01", end="2025-01-01")["problem"]
