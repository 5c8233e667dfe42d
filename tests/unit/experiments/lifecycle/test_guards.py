"""Guards of a step, of the start and of shipping, by what they depend on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from support.experiment_homes import design
from tastemaker.experiments.lifecycle.guards import Facts, objections
from tastemaker.experiments.lifecycle.next_actions import next_actions
from tastemaker.experiments.lifecycle.records import Experiment

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY_AGO = NOW - timedelta(hours=24)


def running(**fields: Any) -> Experiment:
    given: dict[str, Any] = {
        "name": "x", "problem": "shop", "namespace": "home", "kind": "ab", "salt": "s", "owner": "ada",
        "created_at": DAY_AGO, "state": "running", "epoch": 0, "enrolment": 10_000, "revision": 1,
        "changes": 3, "design": design("x", "v1", "v2"),
    }  # fmt: skip
    return Experiment(**given | fields)


def check(verdict: str = "safe", **fields: Any) -> Any:
    usual = {"guardrail": "empty_share", "variant": "b", "units": 500, "control_units": 500, "at": NOW}
    return SimpleNamespace(verdict=verdict, **usual | fields)


def look(verdict: str, information: float = 0.5, number: int = 3) -> Any:
    sentence = f"b is {verdict}"
    return SimpleNamespace(number=number, verdict=verdict, information=information, sentence=sentence)


def facts(**fields: Any) -> Facts:
    given: dict[str, Any] = {
        "look": None, "newest_look": None, "verdicts": {}, "ratio_p": 0.4, "checks": [check()],
        "stepped_at": DAY_AGO, "has_passed_aa": True, "routed_elsewhere": [],
    }  # fmt: skip
    return Facts(**given | fields)


def guards_of(action: Any, found: Facts, experiment: Experiment | None = None) -> list[tuple[str, bool]]:
    mine = running() if experiment is None else experiment
    return [(one.guard, one.can_confirm) for one in objections(mine, action, found, NOW)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"stepped_at": DAY_AGO + timedelta(seconds=1)}, [("duration", True)]),
        ({"ratio_p": 0.0009}, [("ratio", False)]),
        ({"ratio_p": None}, []),
        ({"checks": []}, [("guardrails", True)]),
        ({"checks": [check("unknown")]}, [("guardrails", True)]),
        ({"checks": [check("stale")]}, [("guardrails", True)]),
        ({"checks": [check(units=49)]}, [("guardrails", True)]),
        ({"checks": [check(control_units=49)]}, [("guardrails", True)]),
        ({"checks": [check(variant="c")]}, [("guardrails", True)]),
        ({"checks": [check("harm")]}, [("harm", False)]),
    ],
)
def test_a_step_waits_until_all_is_safe(changed: dict[str, Any], expected: list[tuple[str, bool]]) -> None:
    assert guards_of("step", facts(**changed)) == expected


def test_a_clock_that_went_back_does_not_let_a_step_pass() -> None:
    assert guards_of("step", facts(stepped_at=NOW + timedelta(hours=5))) == [("duration", True)]


@pytest.mark.parametrize(
    ("kind", "changed", "expected"),
    [
        ("ab", {}, []),
        ("ab", {"has_passed_aa": False}, [("aa", True)]),
        ("aa", {"has_passed_aa": False}, []),
        ("shadow", {"has_passed_aa": False, "routed_elsewhere": ["y"]}, []),
        ("rollout", {"has_passed_aa": False}, []),
        ("rollout", {"routed_elsewhere": ["y"]}, [("namespace", False)]),
        ("ab", {"routed_elsewhere": ["y"]}, [("namespace", False)]),
    ],
)
def test_a_start_needs_an_aa_experiment_and_one_namespace(
    kind: str, changed: dict[str, Any], expected: list[tuple[str, bool]]
) -> None:
    assert guards_of("start", facts(**changed), running(kind=kind, state="ready")) == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, [("look", False)]),
        ({"look": look("better")}, []),
        ({"look": look("better"), "verdicts": {"b": "undecided"}}, [("verdict", False)]),
        ({"look": look("better"), "newest_look": look("invalid")}, [("verdict", False)]),
        ({"look": look("undecided", 1.0), "verdicts": {"b": "better"}}, []),
        ({"look": look("worse", 1.0)}, [("verdict", False)]),
        ({"look": look("equal", 1.0)}, [("verdict", True)]),
        ({"look": look("undecided")}, [("verdict", False)]),
    ],
)
def test_shipping_rests_on_the_variants_own_verdict(
    changed: dict[str, Any], expected: list[tuple[str, bool]]
) -> None:
    assert guards_of("ship", facts(**changed)) == expected


@pytest.mark.parametrize("kind", ["aa", "interleaving", "shadow"])
def test_some_kinds_never_ship(kind: str) -> None:
    assert guards_of("ship", facts(look=look("better")), running(kind=kind)) == [("kind", False)]


def test_control_can_not_be_shipped() -> None:
    found = objections(running(), "ship", facts(look=look("better")), NOW, "a")
    assert [one.guard for one in found] == ["variant"]


def test_what_is_next_depends_on_the_state() -> None:
    found = {one.action: one for one in next_actions(running(), facts(), NOW)}
    assert list(found)[:3] == ["step", "ship", "drop"]
    assert found["step"].is_allowed
    assert not found["ship"].is_allowed
    last = next_actions(running(enrolment=1_000_000), facts(), NOW)
    assert "step" not in {one.action for one in last}
    (only,) = next_actions(running(state="decided"), facts(), NOW)
    assert (only.action, only.command) == ("archive", "tastemaker experiment archive x")
    assert next_actions(running(state="archived"), facts(), NOW) == []


@pytest.mark.parametrize(
    ("guardrail", "verdict", "expected"),
    [
        ("reward_per_user", "unknown", []),
        ("reward_per_user", "stale", [("guardrails", True)]),
        ("reward_per_user", "harm", [("harm", False)]),
        ("fallback_share", "unknown", [("guardrails", True)]),
    ],
)
def test_a_rollouts_step_needs_a_safe_service_and_users_without_harm(
    guardrail: str, verdict: str, expected: list[tuple[str, bool]]
) -> None:
    checks = [check(), check(verdict, guardrail=guardrail)]
    assert guards_of("step", facts(checks=checks), running(kind="rollout")) == expected


@pytest.mark.parametrize(
    ("enrolment", "changed", "expected"),
    [
        (1_000_000, {}, []),
        (200_000, {}, [("step", False)]),
        (1_000_000, {"stepped_at": NOW - timedelta(hours=23)}, [("duration", True)]),
        (1_000_000, {"checks": [check(at=NOW - timedelta(minutes=16))]}, [("guardrails", True)]),
        (1_000_000, {"checks": []}, [("guardrails", True)]),
        (1_000_000, {"checks": [check("harm")]}, [("harm", False)]),
    ],
)
def test_a_rollout_promotes_after_its_last_step_by_fresh_checks(
    enrolment: int, changed: dict[str, Any], expected: list[tuple[str, bool]]
) -> None:
    mine = running(kind="rollout", enrolment=enrolment)
    assert guards_of("ship", facts(**changed), mine) == expected
