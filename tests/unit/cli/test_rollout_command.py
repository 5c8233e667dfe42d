"""`tastemaker rollout`: each action is recorded with its person and its reason, and printed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support import rollout_homes
from support.rollout_homes import PERSON, RolloutHome
from tastemaker.cli.rollout import rollout
from tastemaker.errors import TastemakerError
from tastemaker.rollouts import store
from tastemaker.workflows.rollouts import steps
from tastemaker.workflows.workspace import Workspace

BY = ("--by", PERSON)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    """A home with a rollout that a person must approve."""
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline", approval=True)
    steps.advance(home.workspace, steps.begin(home.workspace, home.second.id, "schedule", "the newest").id)
    monkeypatch.setattr(Workspace, "open", lambda: home.workspace)
    return home


def run(*words: str) -> Result:
    return CliRunner().invoke(rollout, words)


@pytest.mark.slow
def test_a_rollout_is_held_resumed_and_approved(home: RolloutHome) -> None:
    assert run("list").output.startswith(f"1  approval  offline  toy {home.second.id}  ")
    held = run("hold", "1", "--reason", "the sale begins", *BY).output
    assert held.startswith(
        f"rollout 1 of version {home.second.id} is held\n  waits for a person, who resumes or ends it\n"
    )
    assert f"held, by {PERSON}: the sale begins\n" in held
    resumed = json.loads(run("resume", "1", "--reason", "the sale is over", *BY, "--json").output)
    assert (resumed["state"], resumed["changes"][-2]["reason"]) == ("approval", "the sale is over")
    approved = run("approve", "1", "--reason", "figures read", *BY).output
    assert f"approval, by {PERSON}: figures read\n    approved: True\n" in approved
    assert "promoted, by schedule: " in approved
    assert run("list").output == "no rollout is open\n"
    [listed] = json.loads(run("list", "--all", "--json").output)
    assert json.loads(run("show", "1", "--json").output)["waits_for"] is None
    assert (listed["id"], listed["state"], listed["champion_id"]) == (1, "promoted", home.first.id)
    assert listed["ended_at"] is not None


def test_figures_of_guardrails_have_a_line_each(home: RolloutHome) -> None:
    checks = [{"guardrail": name, "verdict": "safe"} for name in ("active_share", "empty_share")]
    move = store.Move("canary", "1 % of the users have it", evidence={"users": 900, "checks": checks})
    store.record(home.workspace.engine, store.read_rollout(home.workspace.engine, 1), move, datetime.now(UTC))
    assert run("show", "1").output.endswith(
        "    users: 900\n"
        "    checks: guardrail active share, verdict safe\n"
        "    checks: guardrail empty share, verdict safe\n"
    )


def test_a_declined_rollout_takes_no_more_actions(home: RolloutHome) -> None:
    assert run("decline", "1", "--reason", "not before the sale", *BY).exit_code == 0
    for action in ("approve", "hold", "resume", "roll-back", "decline"):
        refused = run(action, "1", "--reason", "after all", *BY).exception
        assert isinstance(refused, TastemakerError)
        assert "tastemaker rollout show 1" in str(refused)
    assert "is declined" in run("show", "1").output
    assert isinstance(run("show", "2").exception, TastemakerError)
