"""The path rollout through the store of experiments and the guard: promoted, rolled back, held, replaced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from support import registered_versions, rollout_homes
from support.rollout_homes import BEST, PERSON, Killed, RolloutHome, Traffic, killed_after
from tastemaker.errors import TastemakerError
from tastemaker.plugins import discovery
from tastemaker.registry import Version, champion
from tastemaker.rollouts import store
from tastemaker.rollouts.waiting import waits_for
from tastemaker.storage.tables import guardrail_checks
from tastemaker.workflows.rollouts import actions, steps, trials

pytestmark = pytest.mark.slow
SHARES = (20_000, 100_000, 400_000, 1_000_000)
NOW = datetime.now(UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    return rollout_homes.make(tmp_path, monkeypatch, path="rollout", shadow_hours=24, step_hours=1e-9)


@pytest.fixture
def traffic(home: RolloutHome) -> Iterator[Traffic]:
    with rollout_homes.traffic(home) as found:
        yield found


def begun(home: RolloutHome, version: Version | None = None, now: datetime = NOW) -> int:
    """Begin a rollout, whose version is in the shadow then."""
    rollout = steps.begin(home.workspace, (version or home.second).id, "schedule", "the newest", now)
    assert steps.advance(home.workspace, rollout.id, now).state == "shadow"
    return rollout.id


def state_after(home: RolloutHome, rollout_id: int, hours: float = 25) -> str:
    return steps.advance(home.workspace, rollout_id, NOW + timedelta(hours=hours)).state


def into_canary(home: RolloutHome, traffic: Traffic) -> int:
    rollout_id = begun(home)
    traffic.shadow(f"rollout-{rollout_id}-shadow")
    assert state_after(home, rollout_id) == "canary"
    return rollout_id


def last(home: RolloutHome, rollout_id: int) -> store.RolloutChange:
    return store.read_changes(home.workspace.engine, rollout_id)[-1]


def served(home: RolloutHome) -> str:
    found = home.workspace.registry.champion("shop")
    assert found is not None
    return found.id


def test_a_sound_version_takes_all_steps_and_leaves_its_units_free(
    home: RolloutHome, traffic: Traffic
) -> None:
    rollout_id = begun(home)
    assert state_after(home, rollout_id, 23) == "shadow"
    assert state_after(home, rollout_id) == "shadow", "no user was answered yet"
    assert last(home, rollout_id).reason == (
        "50 users must be answered in the shadow, and no tastemaker control runs that copies requests to it"
    )
    traffic.shadow(f"rollout-{rollout_id}-shadow")
    name, seen = f"rollout-{rollout_id}", []
    assert state_after(home, rollout_id) == "canary"
    while home.workspace.experiments.get(name).enrolment < SHARES[-1]:
        seen.append(home.workspace.experiments.get(name).enrolment)
        traffic.canary(name)
        state_after(home, rollout_id)
    assert tuple(seen) == SHARES[:-1]
    assert state_after(home, rollout_id) == "ramp"
    assert served(home) == home.first.id
    traffic.canary(name)
    assert state_after(home, rollout_id) == "promoted"
    assert served(home) == home.second.id
    states = [one.state for one in store.read_changes(home.workspace.engine, rollout_id)]
    assert list(dict.fromkeys(states)) == ["approval", "shadow", "canary", "ramp", "promoted"]
    assert [one.state for one in home.workspace.experiments.list()] == ["decided", "decided"]
    for one in home.workspace.experiments.list():
        assert home.workspace.experiments.verify(one.name) == []
    begun(home, rollout_homes.add(home.workspace, 3.0, BEST))


def test_newer_data_alone_wait_for_hours_and_take_two_steps(home: RolloutHome, traffic: Traffic) -> None:
    newer = rollout_homes.add(home.workspace, 1.0, BEST, seed=1)
    rollout_id = begun(home, newer)
    name, due = f"rollout-{rollout_id}", NOW + timedelta(hours=3)
    traffic.shadow(f"{name}-shadow")
    assert state_after(home, rollout_id, 2.9) == "shadow"
    changes = store.read_changes(home.workspace.engine, rollout_id)
    waits = waits_for(
        store.read_rollout(home.workspace.engine, rollout_id), changes, home.workspace.settings.promotion
    )
    assert waits == f"its next step, which tastemaker flows serve takes from {due:%Y-%m-%d %H:%M} UTC on"
    assert state_after(home, rollout_id, 3) == "canary"
    assert last(home, rollout_id).reason == "5 % of the users have it, and as many are compared with them"
    traffic.canary(name, units=500)
    assert state_after(home, rollout_id) == "canary", "500 users do not show that the service is safe"
    traffic.canary(name)
    assert state_after(home, rollout_id) == "ramp"
    assert last(home, rollout_id).reason == "50 % of the users have it, and as many are compared with them"
    assert served(home) == home.first.id
    traffic.canary(name)
    assert state_after(home, rollout_id) == "promoted"
    assert served(home) == newer.id


@pytest.mark.parametrize("hours", [3, 23])
def test_another_release_takes_days(
    home: RolloutHome, traffic: Traffic, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    release = registered_versions.plugin()._replace(version="2.0.0")
    monkeypatch.setattr(discovery, "get", lambda name: release)
    rollout_id = begun(home, rollout_homes.add(home.workspace, 1.0, BEST, seed=1))
    traffic.shadow(f"rollout-{rollout_id}-shadow")
    assert state_after(home, rollout_id, hours) == "shadow"
    assert state_after(home, rollout_id) == "canary"
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").design.steps == SHARES


def test_a_process_that_dies_after_each_write_ends_with_one_promotion(
    home: RolloutHome, traffic: Traffic
) -> None:
    """Each write is the last one of a process, but for that of the shadow's figures, which is repeated."""
    engine = home.workspace.engine
    rollout_id = steps.begin(home.workspace, home.second.id, "schedule", "the newest", NOW).id
    deaths = 0

    def advanced(hours: float, writes: int = 1) -> str:
        nonlocal deaths
        while True:
            with killed_after(engine, writes):
                try:
                    return state_after(home, rollout_id, hours)
                except Killed:
                    deaths += 1

    assert advanced(0) == "shadow"
    traffic.shadow(f"rollout-{rollout_id}-shadow")
    assert advanced(25, writes=2) == "canary"
    for _ in SHARES:
        traffic.canary(f"rollout-{rollout_id}")
        advanced(26)
    assert store.read_rollout(engine, rollout_id).state == "promoted"
    assert [one.version_id for one in champion.log(engine, "shop")] == [home.first.id, home.second.id]
    states = [one.state for one in store.read_changes(engine, rollout_id)]
    assert list(dict.fromkeys(states)) == ["approval", "shadow", "canary", "ramp", "promoted"]
    assert [one.state for one in home.workspace.experiments.list()] == ["decided", "decided"]
    assert deaths > 10


def test_a_version_that_falls_back_in_the_shadow_reaches_no_user(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = begun(home)
    traffic.shadow(f"rollout-{rollout_id}-shadow", faulty=0.05)
    assert state_after(home, rollout_id) == "rolled_back"
    change = last(home, rollout_id)
    assert change.actor == "guardrail:fallback_share"
    assert change.reason.startswith("5.0% of its answers in the shadow are fallbacks, 0.0%")
    assert change.evidence["users"] == 200
    assert "5.0% of its answers" in str(store.refusal(home.workspace.engine, home.second.id))
    assert [one.name for one in home.workspace.experiments.list()] == [f"rollout-{rollout_id}-shadow"]


@pytest.mark.parametrize("fault", ["lists", "rewards"])
def test_harm_to_users_rolls_a_canary_back(home: RolloutHome, traffic: Traffic, fault: str) -> None:
    rollout_id = into_canary(home, traffic)
    traffic.users.shares["new"] = 0.3 if fault == "lists" else 0.2
    traffic.canary(f"rollout-{rollout_id}", faulty=0.3 if fault == "lists" else 0.0, checks=2)
    assert state_after(home, rollout_id) == "rolled_back"
    guardrail = "fallback_share" if fault == "lists" else "reward_per_user"
    assert last(home, rollout_id).actor == f"guardrail:{guardrail}"
    assert served(home) == home.first.id
    begun(home, rollout_homes.add(home.workspace, 3.0, BEST))


def test_a_rollback_that_is_killed_keeps_its_reason(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    traffic.canary(f"rollout-{rollout_id}", faulty=0.3, checks=2)
    with killed_after(home.workspace.engine, 1), pytest.raises(Killed):
        state_after(home, rollout_id)
    assert state_after(home, rollout_id) == "rolled_back"
    assert last(home, rollout_id).actor == "guardrail:fallback_share"


def test_few_users_whose_rewards_are_not_known_to_be_safe_stop_no_step(
    home: RolloutHome, traffic: Traffic
) -> None:
    rollout_id = into_canary(home, traffic)
    traffic.users.shares["new"] = 0.295
    traffic.canary(f"rollout-{rollout_id}")
    state_after(home, rollout_id)
    checks = {one["guardrail"]: one["verdict"] for one in _checks_before(home, rollout_id)}
    assert checks["reward_per_user"] == "unknown"
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").enrolment == SHARES[1]


def _checks_before(home: RolloutHome, rollout_id: int) -> list[dict[str, str]]:
    with home.workspace.engine.connect() as connection:
        mine = guardrail_checks.c.experiment == f"rollout-{rollout_id}"
        return [dict(one) for one in connection.execute(select(guardrail_checks).where(mine)).mappings()]


def test_a_person_holds_and_resumes_a_canary(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    name = f"rollout-{rollout_id}"
    actions.hold(home.workspace, rollout_id, PERSON, "the sale begins")
    traffic.canary(name)
    assert state_after(home, rollout_id) == "held"
    assert home.workspace.experiments.get(name).state == "holding"
    assert actions.resume(home.workspace, rollout_id, PERSON, "the sale is over").state == "canary"
    assert home.workspace.experiments.get(name).state == "running"
    history = home.workspace.experiments.history(name)
    assert [(one.actor, one.action) for one in history[-2:]] == [(PERSON, "hold"), (PERSON, "resume")]


def test_harm_found_while_a_canary_is_held_rolls_it_back(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    actions.hold(home.workspace, rollout_id, PERSON, "the sale begins")
    traffic.canary(f"rollout-{rollout_id}", faulty=0.3, checks=2)
    assert state_after(home, rollout_id) == "rolled_back"


def test_what_a_person_does_with_the_experiment_holds_for_the_rollout(
    home: RolloutHome, traffic: Traffic
) -> None:
    rollout_id = into_canary(home, traffic)
    change = home.workspace.experiments.change
    change(f"rollout-{rollout_id}", "hold", actor=PERSON, reason="odd figures")
    assert state_after(home, rollout_id) == "held"
    change(f"rollout-{rollout_id}", "resume", actor=PERSON, reason="they are right")
    assert state_after(home, rollout_id) == "canary"
    change(f"rollout-{rollout_id}", "stop", actor=PERSON, reason="the campaign ends")
    assert state_after(home, rollout_id) == "declined"
    assert (last(home, rollout_id).actor, last(home, rollout_id).reason) == (PERSON, "the campaign ends")


def test_a_person_rolls_back(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    assert actions.roll_back(home.workspace, rollout_id, PERSON, "clicks fall").state == "rolled_back"
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").state == "decided"
    assert "by ada: clicks fall" in str(store.refusal(home.workspace.engine, home.second.id))


def test_a_newer_version_of_the_recipe_replaces_one_in_the_shadow_and_keeps_its_time(
    home: RolloutHome, traffic: Traffic
) -> None:
    first_id = begun(home)
    newer = rollout_homes.add(home.workspace, 2.0, BEST, seed=1)
    other = rollout_homes.add(home.workspace, 4.0, BEST)
    with pytest.raises(TastemakerError, match=r"has to wait: rollout 1 of version .* is shadow"):
        steps.begin(home.workspace, other.id, "schedule", "another recipe")
    second_id = begun(home, newer, NOW + timedelta(hours=23))
    assert store.read_rollout(home.workspace.engine, first_id).state == "failed"
    assert store.refusal(home.workspace.engine, home.second.id) is None
    traffic.shadow(f"rollout-{second_id}-shadow")
    assert state_after(home, second_id, 24.5) == "canary"
    newest = rollout_homes.add(home.workspace, 2.0, BEST, seed=2)
    with pytest.raises(TastemakerError, match=r"has to wait: rollout 2 of version .* is canary"):
        steps.begin(home.workspace, newest.id, "schedule", "the newest")


def test_a_canary_waits_for_an_experiment_that_chooses_the_service(
    home: RolloutHome, traffic: Traffic
) -> None:
    rollout_id = begun(home)
    traffic.shadow(f"rollout-{rollout_id}-shadow")
    home.run_experiment("ranker-2")
    assert state_after(home, rollout_id) == "shadow"
    reason = last(home, rollout_id).reason
    assert "2 namespaces: ranker-2 in home and rollout-1 in rollouts" in reason
    assert state_after(home, rollout_id, 30) == "shadow"
    rollout = store.read_rollout(home.workspace.engine, rollout_id)
    changes = store.read_changes(home.workspace.engine, rollout_id)
    due = NOW + timedelta(hours=24)
    assert waits_for(rollout, changes, home.workspace.settings.promotion) == (
        f"its next step, which was due at {due:%Y-%m-%d %H:%M} UTC ({reason})"
    )
    home.workspace.experiments.change("ranker-2", "drop", actor=PERSON, reason="it is over")
    assert state_after(home, rollout_id) == "canary"


def test_a_step_that_fails_is_recorded_once(home: RolloutHome, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = steps.begin(home.workspace, home.second.id, "schedule", "the newest", NOW)
    monkeypatch.setattr(trials, "versions_of", lambda *_: home.workspace.registry.get("gone"))
    for hours in (0, 1):
        with pytest.raises(TastemakerError, match="gone"):
            state_after(home, rollout.id, hours)
    _, change = store.read_changes(home.workspace.engine, rollout.id)
    assert change.state == "approval"
    assert change.reason.startswith("the next step failed: ")


def test_a_rollout_has_no_look_and_a_person_may_not_ship_it_early(
    home: RolloutHome, traffic: Traffic
) -> None:
    name = f"rollout-{into_canary(home, traffic)}"
    looks = home.workspace.experiment_looks.take_due()
    assert (looks.looks, looks.failures) == ([], [])
    with pytest.raises(TastemakerError, match="its guardrails decide"):
        home.workspace.experiment_looks.take(name)
    with pytest.raises(TastemakerError, match="has 20,000 enrolment buckets, the last step has 1,000,000"):
        home.workspace.experiments.require_possible(name, "ship", actor=PERSON, variant="new")


def test_another_champion_ends_a_canary(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    third = rollout_homes.add(home.workspace, 3.0, BEST)
    home.workspace.registry.make_champion(third, "a person wants it", forced=True)
    assert state_after(home, rollout_id) == "failed"
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").state == "decided"


def test_a_person_who_promotes_the_version_ends_its_canary(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    home.workspace.promotion_gate.promote(home.second.id, force_reason="the sale needs it")
    assert state_after(home, rollout_id) == "promoted"
    assert last(home, rollout_id).reason == "the sale needs it"
    assert home.workspace.experiments.get(f"rollout-{rollout_id}").state == "decided"


def test_a_rollout_that_comes_to_no_end_fails(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    assert state_after(home, rollout_id, 24 * 55) == "canary"
    assert state_after(home, rollout_id, 24 * 57) == "failed"
    assert last(home, rollout_id).reason == "it has not come to an end within 56 days"


def test_a_version_that_is_worse_offline_is_not_shown(home: RolloutHome) -> None:
    worse = rollout_homes.add(home.workspace, 5.0, np.asarray(rollout_homes.BASE))
    rollout = steps.begin(home.workspace, worse.id, "schedule", "the newest")
    assert steps.advance(home.workspace, rollout.id).state == "declined"
    assert home.workspace.experiments.list() == []


def test_a_restarted_controller_finds_one_service_per_version(home: RolloutHome, traffic: Traffic) -> None:
    rollout_id = into_canary(home, traffic)
    plan = home.workspace.experiments.publish()
    assert [one.version for one in plan.services] == sorted([home.first.id, home.second.id])
    (planned,) = plan.experiments
    assert (planned.name, planned.kind, planned.enrolment) == (f"rollout-{rollout_id}", "rollout", SHARES[0])
