"""States, actions, and the fold of changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.experiment_homes import design
from tastemaker.experiments.lifecycle.audit import Change
from tastemaker.experiments.lifecycle.states import (
    AUTOMATIC_ACTIONS,
    CREATED,
    TRANSITIONS,
    Action,
    ActionRefused,
    Standing,
    after,
    fold,
    possible_actions,
    require_allowed,
)

DESIGN = design("x", "v1", "v2")
AT = datetime(2026, 11, 1, tzinfo=UTC)


def change(standing: Standing, action: str, before: str | None) -> Change:
    return Change(
        "x", standing.changes, AT, "ada", action, before, standing.state, standing.epoch,
        standing.enrolment, standing.revision, "why", {}, "",
    )  # fmt: skip


@given(st.lists(st.sampled_from(get_args(Action)), max_size=40))
def test_the_standing_is_the_fold_of_the_changes(actions: list[str]) -> None:
    standing, changes = CREATED, [change(CREATED, "create", None)]
    for action in actions:
        try:
            allowed = require_allowed("x", standing, action, "ada", DESIGN)
        except ActionRefused:
            continue
        before, standing = standing, after(standing, allowed, DESIGN)
        changes.append(change(standing, allowed, before.state))
        assert standing.changes == before.changes + 1
        assert standing.epoch == before.epoch + (allowed == "new_epoch")
        assert standing.enrolment >= before.enrolment or allowed == "new_epoch"
    assert fold(changes) == standing


@given(st.data())
def test_a_sequence_that_lacks_a_change_is_refused(data: st.DataObject) -> None:
    standing, changes = CREATED, [change(CREATED, "create", None)]
    for action in ("ready", "start", "step", "step", "hold", "resume", "stop", "drop", "archive"):
        before, standing = standing, after(standing, action, DESIGN)
        changes.append(change(standing, action, before.state))
    missing = data.draw(st.integers(0, len(changes) - 2))
    with pytest.raises(ValueError, match=f"change {missing + 1} is missing"):
        fold(changes[:missing] + changes[missing + 1 :])


def test_a_change_that_does_not_follow_is_refused() -> None:
    first = change(CREATED, "create", None)
    started = Standing("running", 0, 10_000, 1, 2)
    with pytest.raises(ValueError, match="does not follow"):
        fold([first, change(started, "start", "draft")])
    with pytest.raises(ValueError, match="does not create"):
        fold([change(CREATED, "ready", None)])
    with pytest.raises(ValueError, match="no change"):
        fold([])


@pytest.mark.parametrize("actor", ["guardrail:reward", "schedule"])
@pytest.mark.parametrize("action", sorted(set(TRANSITIONS) - AUTOMATIC_ACTIONS))
def test_an_automatic_actor_only_steps_holds_and_rolls_back(action: str, actor: str) -> None:
    state = TRANSITIONS[action].before[0]  # type: ignore[index]
    standing = Standing(state, 0, 10_000, 1, 5)
    with pytest.raises(ActionRefused, match="automatic actor may only step, hold and roll back"):
        require_allowed("x", standing, action, actor, DESIGN)
    require_allowed("x", standing, action, "ada", DESIGN)


@pytest.mark.parametrize("state", ["rolled_back", "stopped", "decided", "archived", "holding"])
def test_no_automatic_action_leads_from_what_a_person_closed_to_running(state: str) -> None:
    for action in possible_actions(state):
        if action in AUTOMATIC_ACTIONS:
            assert TRANSITIONS[action].after != "running"


def test_a_step_takes_the_next_enrolment_and_none_follows_the_last() -> None:
    standing = Standing("running", 0, 10_000, 1, 3)
    seen = [standing.enrolment]
    for _ in range(3):
        standing = after(standing, "step", DESIGN)
        seen.append(standing.enrolment)
    assert seen == [10_000, 50_000, 200_000, 1_000_000]
    with pytest.raises(ActionRefused, match="last step"):
        require_allowed("x", standing, "step", "ada", DESIGN)


def test_a_refusal_says_what_is_possible() -> None:
    with pytest.raises(ActionRefused, match="x is draft, so step is not possible; possible: revise, ready"):
        require_allowed("x", CREATED, "step", "ada", DESIGN)
    with pytest.raises(ActionRefused, match="there is no action 'launch'"):
        require_allowed("x", CREATED, "launch", "ada", DESIGN)


@pytest.mark.parametrize("action", ["ready", "start", "stop", "ship", "drop", "archive"])
def test_a_rollout_may_change_the_experiments_that_it_owns_alone(action: str) -> None:
    before = {"ready": "draft", "start": "ready", "archive": "decided"}.get(action, "running")
    standing = Standing(before, 0, 0, 1, 1)  # type: ignore[arg-type]
    owned = design("x", "v1", "v2", owner="rollout:7")
    assert require_allowed("x", standing, action, "rollout:7", owned) == action
    for actor, its in (("rollout:7", DESIGN), ("rollout:8", owned), ("schedule", owned)):
        with pytest.raises(ActionRefused, match=f"{actor} may not {action} x"):
            require_allowed("x", standing, action, actor, its)
    in_its_name = design("x", "v1", "v2", owner="schedule")
    with pytest.raises(ActionRefused, match="an automatic actor may only"):
        require_allowed("x", standing, action, "schedule", in_its_name)
