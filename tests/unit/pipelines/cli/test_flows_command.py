"""`tastemaker flows`: what is pending, and what keeps the flows from being served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support import rollout_homes
from tastemaker.errors import TastemakerError
from tastemaker.rollouts import store
from tastemaker.workflows.rollouts import steps
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.cli.flows import flows
from tastemaker_pipelines.flows.serve import only_server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> rollout_homes.RolloutHome:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline")
    monkeypatch.setattr(Workspace, "open", lambda: home.workspace)
    return home


def run(*words: str) -> Result:
    return CliRunner().invoke(flows, words)


@pytest.mark.slow
def test_what_is_pending_is_listed_and_done_once(home: rollout_homes.RolloutHome) -> None:
    assert run("list").output.count("nothing is pending") == 2
    number = steps.begin(home.workspace, home.second.id, "ada", "a better version").id
    listed = {one["flow"]: one for one in json.loads(run("list", "--json").output)}
    [work] = listed["rollout"]["pending"]
    assert (work["number"], work["waits_for"]) == (number, "its start (a better version)")
    assert f"  {number}  version {home.second.id}: approval" in run("list").output
    done = run("serve", "--local", "--once")
    assert (done.exit_code, "is promoted, by schedule" in done.output) == (0, True)
    assert store.open_rollouts(home.workspace.engine, "shop") == []


def test_a_flow_that_fails_is_the_exit_status_of_once(
    home: rollout_homes.RolloutHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.begin(home.workspace, home.second.id, "ada", "a better version")

    def fails(*_: object) -> None:
        raise TastemakerError("a file is damaged", fix="train again")

    monkeypatch.setattr(steps, "advance", fails)
    failed = run("serve", "--local", "--once")
    assert (failed.exit_code, failed.output) == (
        1,
        "rollout 1 failed: a file is damaged\n  fix: train again\n",
    )


def test_one_process_serves_a_home(home: rollout_homes.RolloutHome) -> None:
    with only_server(home.workspace.settings):
        refused = run("serve", "--local", "--once").exception
    assert isinstance(refused, TastemakerError)
    assert "another process serves the flows of" in refused.problem
    assert run("serve", "--local", "--once").exit_code == 0


def test_once_needs_local(home: rollout_homes.RolloutHome) -> None:
    refused = run("serve", "--once").exception
    assert isinstance(refused, TastemakerError)
    assert refused.fix == "pass --local --once"
