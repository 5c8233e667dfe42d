"""The path offline: the challenger test decides, once, whatever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import rollout_homes
from support.rollout_homes import BASE, PERSON, Killed, RolloutHome, killed_after
from tastemaker.errors import TastemakerError
from tastemaker.registry import champion, deployment
from tastemaker.rollouts import store
from tastemaker.workflows.rollouts import actions, steps


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    return rollout_homes.make(tmp_path, monkeypatch, path="offline")


def begun(home: RolloutHome) -> int:
    return steps.begin(home.workspace, home.second.id, "schedule", "the newest version").id


def test_a_version_that_passes_the_test_becomes_champion(home: RolloutHome) -> None:
    rollout = steps.advance(home.workspace, begun(home))
    assert (rollout.path, rollout.state, rollout.champion_id) == ("offline", "promoted", home.first.id)
    current = home.workspace.registry.champion("shop")
    assert current is not None
    assert current.id == home.second.id
    changes = store.read_changes(home.workspace.engine, rollout.id)
    assert [(one.state, one.actor) for one in changes] == [("approval", "schedule"), ("promoted", "schedule")]
    assert "(the champion) in ndcg: +" in changes[-1].reason
    assert store.open_rollouts(home.workspace.engine, "shop") == []


def test_a_version_that_does_not_pass_is_declined_and_not_tried_again(home: RolloutHome) -> None:
    worse = rollout_homes.add(home.workspace, 3.0, BASE)
    rollout = steps.begin(home.workspace, worse.id, "schedule", "the newest version")
    assert steps.advance(home.workspace, rollout.id).state == "declined"
    refusal = store.refusal(home.workspace.engine, worse.id)
    assert refusal is not None
    assert "it is not better than the baseline: toy - popularity in ndcg" in refusal
    assert store.refusal(home.workspace.engine, home.second.id) is None


@pytest.mark.slow
def test_a_promotion_killed_after_any_commit_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commits in range(1, 20):
        folder = tmp_path / str(commits)
        folder.mkdir()
        home = rollout_homes.make(folder, monkeypatch, path="offline")
        rollout_id = begun(home)
        with killed_after(home.workspace.engine, commits) as is_killed:
            try:
                steps.advance(home.workspace, rollout_id)
            except Killed:
                assert steps.advance(home.workspace, rollout_id).state == "promoted"
        log = champion.log(home.workspace.engine, "shop")
        assert [one.version_id for one in log] == [home.first.id, home.second.id]
        path = deployment.champion_path(home.workspace.settings.artifacts, "shop")
        served = deployment.read_champion(path)
        assert served is not None
        assert served.version == home.second.id
        if not is_killed():
            break
    else:
        pytest.fail("it was killed each time")
    assert commits == 3, "the promotion and the rollout's end are written one after the other"


def test_a_person_approves_or_declines_where_the_setting_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline", approval=True)
    rollout_id = begun(home)
    for _ in range(3):
        assert steps.advance(home.workspace, rollout_id).state == "approval"
    waits = store.read_changes(home.workspace.engine, rollout_id)
    assert [one.reason for one in waits[1:]] == ["a person has to approve it: promotion.approval is set"]
    with pytest.raises(TastemakerError, match="needs a reason"):
        actions.approve(home.workspace, rollout_id, PERSON, " ")
    with pytest.raises(TastemakerError, match="has 0 characters"):
        actions.approve(home.workspace, rollout_id, "", "it looks good")
    assert actions.approve(home.workspace, rollout_id, PERSON, "it looks good").state == "promoted"
    said = store.read_changes(home.workspace.engine, rollout_id)[-2]
    assert (said.actor, said.reason) == (PERSON, "it looks good")
    with pytest.raises(TastemakerError, match="is promoted, so decline is not possible"):
        actions.decline(home.workspace, rollout_id, PERSON, "too late")


def test_a_declined_version_never_becomes_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline", approval=True)
    rollout_id = begun(home)
    assert actions.decline(home.workspace, rollout_id, PERSON, "not before the sale").state == "declined"
    assert steps.advance(home.workspace, rollout_id).state == "declined"
    current = home.workspace.registry.champion("shop")
    assert current is not None
    assert current.id == home.first.id
    assert "by ada: not before the sale" in str(store.refusal(home.workspace.engine, home.second.id))


def test_a_held_rollout_takes_no_step_until_it_is_resumed(home: RolloutHome) -> None:
    rollout_id = begun(home)
    actions.hold(home.workspace, rollout_id, PERSON, "the sale begins")
    assert steps.advance(home.workspace, rollout_id).state == "held"
    assert actions.resume(home.workspace, rollout_id, PERSON, "the sale is over").state == "promoted"


def test_one_rollout_at_a_time(home: RolloutHome) -> None:
    rollout_id = begun(home)
    third = rollout_homes.add(home.workspace, 3.0, rollout_homes.BEST)
    with pytest.raises(TastemakerError, match=f"has to wait: rollout {rollout_id} of version"):
        steps.begin(home.workspace, third.id, PERSON, "it is newer")
    steps.advance(home.workspace, rollout_id)
    with pytest.raises(TastemakerError, match="is the champion already"):
        steps.begin(home.workspace, home.second.id, PERSON, "again")
    with pytest.raises(TastemakerError, match="there is no rollout 99"):
        steps.advance(home.workspace, 99)


def test_a_champion_that_was_changed_in_the_meantime_ends_a_rollout(home: RolloutHome) -> None:
    rollout_id = begun(home)
    third = rollout_homes.add(home.workspace, 3.0, rollout_homes.BEST)
    home.workspace.registry.make_champion(third, "a person wants it", forced=True)
    assert steps.advance(home.workspace, rollout_id).state == "failed"
    assert store.refusal(home.workspace.engine, home.second.id) is None
