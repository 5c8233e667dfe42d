"""What the guard does after a check: two harms in a row, holds, steps, and persons who have the last word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from support.experiment_homes import design
from tastemaker.experiments.guardrails.checks import SAMPLE_RATIO, GuardrailCheck
from tastemaker.experiments.guardrails.decisions import (
    Situation,
    began_at,
    crashed,
    decide,
    is_step_due,
)
from tastemaker.experiments.guardrails.verdicts import GuardVerdict, Verdict
from tastemaker.experiments.lifecycle.records import Experiment

START = datetime(2026, 3, 1, tzinfo=UTC)


class Made(NamedTuple):
    action: str
    actor: str = "ada"
    hours: float = 0.0
    epoch: int = 0
    to_state: str = "running"

    @property
    def at(self) -> datetime:
        return START + timedelta(hours=self.hours)


STARTED = Made("start")


def check(verdict: Verdict, guardrail: str = "fallback_share", variant: str = "b") -> GuardrailCheck:
    return GuardrailCheck(variant, guardrail, 0.01, GuardVerdict(verdict, 900, 910, 0.2, 0.01, 0.1, 0.28))


def situation(*history: Made, harmful: tuple[GuardrailCheck, ...] = (), state: str = "running") -> Situation:
    keys = frozenset((one.variant, one.guardrail) for one in harmful)
    return Situation(state, 0, history or (STARTED,), keys)


def experiment(**changed: object) -> Experiment:
    fields: dict[str, object] = {
        "name": "x", "problem": "toys", "namespace": "home", "kind": "ab", "salt": "s", "owner": "ada",
        "created_at": START, "state": "running", "epoch": 0, "enrolment": 10_000, "revision": 1, "changes": 3,
        "design": design("x", "v1", "v2"),
    }  # fmt: skip
    return Experiment(**fields | changed)  # type: ignore[arg-type]


def test_harm_in_two_checks_in_a_row_rolls_back_with_its_figures() -> None:
    harm = check("harm")
    assert decide(situation(), [harm]) is None
    decision = decide(situation(harmful=(harm,)), [check("safe", "empty_share"), harm])
    assert decision is not None
    assert (decision.action, decision.actor, decision.variant) == (
        "roll_back", "guardrail:fallback_share", "b",
    )  # fmt: skip
    assert decision.evidence["units"] == 900
    assert decision.evidence["margin"] == 0.01
    assert "0.2, control 0.01" in decision.reason


@pytest.mark.parametrize("other", [check("harm", "slow_share"), check("harm", variant="c")])
def test_harm_by_another_guardrail_or_of_another_variant_is_not_the_second_one(other: GuardrailCheck) -> None:
    assert decide(situation(harmful=(check("harm"),)), [other]) is None


@pytest.mark.parametrize("verdict", ["safe", "unknown", "stale"])
def test_only_harm_rolls_back(verdict: Verdict) -> None:
    assert decide(situation(harmful=(check("harm"),)), [check(verdict)]) is None


def test_an_experiment_that_is_held_is_rolled_back_too() -> None:
    held = situation(STARTED, Made("hold", to_state="holding"), harmful=(check("harm"),), state="holding")
    decision = decide(held, [check("harm")])
    assert decision is not None
    assert decision.action == "roll_back"


def test_a_sample_ratio_mismatch_holds_at_once_and_never_rolls_back() -> None:
    mismatch = check("harm", SAMPLE_RATIO)
    for harmful in ((), (mismatch,)):
        decision = decide(situation(harmful=harmful), [mismatch])
        assert decision is not None
        assert (decision.action, decision.actor) == ("hold", "guardrail:sample_ratio")
    held = situation(Made("hold", to_state="holding"), state="holding")
    assert decide(held, [mismatch]) is None


def test_faults_in_all_variants_hold_and_nothing_is_rolled_back() -> None:
    harm = check("harm")
    decision = decide(situation(harmful=(harm,)), [harm], incident="fallback_share")
    assert decision is not None
    assert (decision.action, decision.actor) == ("hold", "guardrail:incident")
    held = situation(harmful=(harm,), state="holding")
    assert decide(held, [harm], incident="fallback_share") is None


def test_what_a_person_resumed_is_not_held_again_by_the_same_guardrail() -> None:
    mismatch = check("harm", SAMPLE_RATIO)
    resumed = (
        STARTED,
        Made("hold", "guardrail:sample_ratio", 1, to_state="holding"),
        Made("resume", "ada", 2),
    )
    assert decide(situation(*resumed), [mismatch]) is None
    other = decide(situation(*resumed), [mismatch], incident="slow_share")
    assert other is not None
    assert other.actor == "guardrail:incident"
    in_a_new_epoch = situation(*resumed, Made("new_epoch", hours=3, epoch=1))._replace(epoch=1)
    assert decide(in_a_new_epoch, [mismatch]) is not None


def test_a_variant_that_crashed_is_named_with_the_controllers_reason() -> None:
    decision = crashed("b", "its service could not be reached for 10 s", {"tripped_at": 5.0})
    assert (decision.action, decision.actor, decision.guardrail) == ("roll_back", "guardrail:crash", "crash")
    assert decision.reason == "b: its service could not be reached for 10 s"


def later(hours: float) -> float:
    return (START + timedelta(hours=hours)).timestamp()


def test_a_step_is_due_when_all_are_safe_and_its_time_is_over() -> None:
    checks = [check("safe"), check("safe", "reward_per_user")]
    assert is_step_due(experiment(), [STARTED], checks, later(24))
    assert not is_step_due(experiment(), [STARTED], checks, later(23.9))
    stepped = [STARTED, Made("step", "schedule", 20)]
    assert not is_step_due(experiment(), stepped, checks, later(40))
    assert is_step_due(experiment(), stepped, checks, later(44))


@pytest.mark.parametrize("verdict", ["unknown", "stale", "harm"])
def test_no_step_is_due_while_a_guardrail_is_not_safe(verdict: Verdict) -> None:
    checks = [check("safe"), check(verdict, "reward_per_user")]
    assert not is_step_due(experiment(), [STARTED], checks, later(100))


@pytest.mark.parametrize("changed", [{"state": "holding"}, {"enrolment": 1_000_000}], ids=str)
def test_no_step_is_due_where_none_is_possible(changed: dict[str, object]) -> None:
    assert not is_step_due(experiment(**changed), [STARTED], [check("safe")], later(100))


def test_no_step_is_due_without_a_guardrail() -> None:
    assert not is_step_due(experiment(), [STARTED], [], later(100))


def test_an_epoch_begins_with_the_change_that_opened_it() -> None:
    history = [
        Made("create", to_state="draft"), Made("ready", hours=1, to_state="ready"), Made("start", hours=2),
        Made("step", hours=3), Made("new_epoch", hours=5, epoch=1),
        Made("hold", hours=6, epoch=1, to_state="holding"),
    ]  # fmt: skip
    assert began_at(experiment(), history) == later(2)
    assert began_at(experiment(epoch=1), history) == later(5)


@pytest.mark.parametrize(
    ("kind", "verdict", "is_due"),
    [
        ("rollout", "unknown", True),
        ("rollout", "stale", False),
        ("rollout", "harm", False),
        ("ab", "unknown", False),
    ],
)
def test_a_rollout_steps_while_what_users_do_is_not_known(kind: str, verdict: Verdict, is_due: bool) -> None:
    checks = [check("safe"), check(verdict, "reward_per_user")]
    later = START.timestamp() + 25 * 3_600
    assert is_step_due(experiment(kind=kind), [STARTED], checks, later) is is_due
