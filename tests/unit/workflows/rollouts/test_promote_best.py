"""What a run does while a rollout is open: take the steps that are due, replace its version, or wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import rollout_homes
from support.rollout_homes import BEST, PERSON, RolloutHome, Traffic
from tastemaker.registry import Version
from tastemaker.rollouts import store
from tastemaker.rollouts.store import Rollout
from tastemaker.workflows.promote import PromotionResult, promote_best
from tastemaker.workflows.rollouts import actions

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    return rollout_homes.make(tmp_path, monkeypatch, path="rollout", shadow_hours=0, step_hours=1e-9)


@pytest.fixture
def traffic(home: RolloutHome) -> Iterator[Traffic]:
    with rollout_homes.traffic(home) as found:
        yield found


def retrained(home: RolloutHome, seed: int = 1) -> Version:
    """The challenger's recipe, trained again."""
    return rollout_homes.add(home.workspace, 2.0, BEST, seed=seed)


def rollouts(home: RolloutHome) -> list[Rollout]:
    """All rollouts, the oldest first."""
    return store.list_rollouts(home.workspace.engine)[::-1]


def served(result: PromotionResult) -> str:
    assert result.version is not None
    return result.version.id


def test_a_run_begins_a_rollout_and_one_without_a_new_version_leaves_it_alone(home: RolloutHome) -> None:
    result = promote_best(home.workspace)
    assert served(result) == home.first.id
    (begun,) = rollouts(home)
    assert (begun.version_id, begun.state) == (home.second.id, "canary")
    assert result.why.startswith(store.named(begun))
    before = store.read_changes(home.workspace.engine, begun.id)
    assert promote_best(home.workspace) == result
    assert rollouts(home) == [begun]
    assert store.read_changes(home.workspace.engine, begun.id) == before


def test_a_newer_version_waits_for_a_canary_and_begins_after_its_end(
    home: RolloutHome, traffic: Traffic
) -> None:
    promote_best(home.workspace)
    newer = retrained(home)
    result = promote_best(home.workspace)
    assert served(result) == home.first.id
    assert result.why.endswith(f"; {newer.id} waits for its end")
    newest = retrained(home, seed=2)
    traffic.canary("rollout-1", faulty=0.3, checks=2)
    assert served(promote_best(home.workspace)) == home.first.id
    assert [(one.version_id, one.state) for one in rollouts(home)] == [
        (home.second.id, "rolled_back"),
        (newest.id, "canary"),
    ]


def test_a_run_takes_the_last_step_of_an_open_rollout(home: RolloutHome, traffic: Traffic) -> None:
    promote_best(home.workspace)
    newer = retrained(home)
    for _ in range(5):
        traffic.canary("rollout-1")
    result = promote_best(home.workspace)
    assert served(result) == home.second.id
    assert [one.state for one in rollouts(home)] == ["promoted"], "the newer one waits for the next run"
    promote_best(home.workspace)
    assert rollouts(home)[-1].version_id == newer.id


def test_a_newer_version_replaces_one_that_waits_for_an_approval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="rollout", shadow_hours=0, approval=True)
    promote_best(home.workspace)
    newer = retrained(home)
    result = promote_best(home.workspace)
    assert served(result) == home.first.id
    assert "a person has to approve it" in result.why
    assert [(one.version_id, one.state) for one in rollouts(home)] == [
        (home.second.id, "failed"),
        (newer.id, "approval"),
    ]
    actions.decline(home.workspace, 2, PERSON, "not before the sale")
    assert "is not tried again: " in promote_best(home.workspace).why
    assert len(rollouts(home)) == 2
