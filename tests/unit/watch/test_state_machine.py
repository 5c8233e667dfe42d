"""The state machine: durations, no data, inhibition, causes, silences, reminders, escalation, flapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.watch_rules import ROUTING, A, B, machine, reading, small_rule
from tastemaker.alerting.series import Labels
from tastemaker.watch.incident import Changes, ConditionReading, Message, Silence
from tastemaker.watch.state_machine import (
    FLAPPING_SECONDS,
    GRACE_SECONDS,
    NO_DATA_SECONDS,
    SAME_CAUSE_SECONDS,
    StateMachine,
)
from tastemaker.watch_settings import EscalationStep

NO_DATA = reading()
QUIET = reading(quiet=[A])
FIRES = reading([A])
HOLDS = reading(holds=[A])


def events(changes: Changes) -> list[tuple[str, str]]:
    """Return event and channel of each message."""
    return [(message.event, channel) for message in changes.messages for channel in message.channels]


def run(one: StateMachine, readings: dict[str, ConditionReading], start: float, end: float) -> list[Message]:
    """Step every 5 seconds from `start` to before `end` with the same readings, and return the messages."""
    steps = range(int(start), int(end), 5)
    return [message for now in steps for message in one.step(readings, now).messages]


def test_an_alert_fires_after_for_and_resolves_after_keep() -> None:
    one = machine(small_rule("slow", for_seconds=10, keep=20))
    assert events(one.step({"slow": FIRES}, 0)) == events(one.step({"slow": FIRES}, 9)) == []
    assert events(one.step({"slow": FIRES}, 10)) == [("trigger", "pager")]
    assert events(one.step({"slow": HOLDS}, 15)) == [], "the lower threshold holds it"
    assert events(one.step({"slow": QUIET}, 100)) == events(one.step({"slow": QUIET}, 119)) == []
    assert events(one.step({"slow": QUIET}, 120)) == [("resolve", "pager")]
    assert one.alerts == {}


def test_a_short_interruption_starts_both_clocks_again() -> None:
    one = machine(small_rule("slow", for_seconds=10, keep=20))
    one.step({"slow": FIRES}, 0)
    one.step({"slow": QUIET}, 5)
    assert events(one.step({"slow": FIRES}, 10)) == []
    assert events(one.step({"slow": FIRES}, 20)) == [("trigger", "pager")]
    one.step({"slow": QUIET}, 30)
    one.step({"slow": HOLDS}, 45)
    assert events(one.step({"slow": QUIET}, 55)) == []
    assert events(one.step({"slow": QUIET}, 75)) == [("resolve", "pager")]


def test_without_data_nothing_fires_and_nothing_resolves() -> None:
    one = machine(small_rule("slow", for_seconds=10, keep=20))
    one.step({"slow": FIRES}, 0)
    one.step({"slow": NO_DATA}, 1_000)
    assert events(one.step({"slow": FIRES}, 1_005)) == [], "5 s of 10 s had data"
    assert events(one.step({"slow": FIRES}, 1_010)) == [("trigger", "pager")]
    one.step({"slow": QUIET}, 1_020)
    one.step({"slow": NO_DATA}, 5_000)
    assert events(one.step({"slow": QUIET}, 5_015)) == [], "15 s of 20 s had data"
    assert events(one.step({"slow": QUIET}, 5_020)) == [("resolve", "pager")]


def test_an_alert_without_data_for_a_day_ends_and_says_so() -> None:
    one = machine(small_rule("slow"))
    one.step({"slow": FIRES}, 0)
    assert events(one.step({"slow": NO_DATA}, NO_DATA_SECONDS)) == []
    changes = one.step({"slow": NO_DATA}, NO_DATA_SECONDS + 1)
    assert events(changes) == [("resolve", "pager")]
    assert [incident.ending for incident in changes.incidents.values()] == ["there was no data for a day"]


def test_an_alert_of_an_instance_that_is_no_longer_watched_ends() -> None:
    one = machine(small_rule("slow", labels=("instance",), keep=10))
    gone: Labels = frozenset({("instance", "shop:1")})
    one.step({"slow": reading([gone])}, 0, instances={"shop:1"})
    one.step({"slow": NO_DATA}, 10, instances=set())
    assert events(one.step({"slow": NO_DATA}, 20, instances=set())) == [("resolve", "pager")]


def test_alerts_of_one_rule_are_independent() -> None:
    one = machine(small_rule("slow"))
    assert len(one.step({"slow": reading([A, B])}, 0).messages) == 2
    changes = one.step({"slow": reading([A], quiet=[B])}, 5)
    assert [message.event for message in changes.messages] == ["resolve"]
    assert [incident.labels for incident in changes.incidents.values()] == [B]


def test_an_inhibited_alert_pages_neither_with_its_inhibitor_nor_right_after_it() -> None:
    one = machine(
        small_rule("no_model", keep=60),
        small_rule("slow", inhibited_by=("no_model",), cause="service"),
    )
    both = {"no_model": FIRES, "slow": FIRES}
    assert [message.incident_uid for message in run(one, both, 0, 300)] == ["0"]
    after = run(one, {"no_model": QUIET, "slow": FIRES}, 300, 600)
    assert [message.event for message in after] == ["resolve"]
    assert run(one, {"no_model": QUIET, "slow": QUIET}, 600, 2_000) == []


def test_an_inhibited_alert_that_outlives_its_inhibitor_for_long_pages() -> None:
    one = machine(small_rule("no_model"), small_rule("slow", inhibited_by=("no_model",), cause="service"))
    run(one, {"no_model": FIRES, "slow": FIRES}, 0, 300)
    messages = run(one, {"no_model": QUIET, "slow": FIRES}, 300, 1_200)
    assert [message.event for message in messages] == ["resolve", "trigger"]
    assert messages[1].at == pytest.approx(295 + GRACE_SECONDS, abs=5)


def test_an_alert_waits_while_its_inhibitor_is_pending() -> None:
    one = machine(
        small_rule("down", for_seconds=30, cause="service"), small_rule("slow", inhibited_by=("down",))
    )
    messages = run(one, {"down": FIRES, "slow": FIRES}, 0, 200)
    assert [(message.event, message.at) for message in messages] == [("trigger", 30)]
    other = machine(
        small_rule("down", for_seconds=30, cause="service"), small_rule("slow", inhibited_by=("down",))
    )
    run(other, {"down": FIRES, "slow": FIRES}, 0, 20)
    messages = run(other, {"down": QUIET, "slow": FIRES}, 20, 100)
    assert [(message.event, message.at) for message in messages] == [("trigger", 20)]


def test_an_inhibitor_with_other_labels_inhibits_nothing() -> None:
    one = machine(small_rule("no_model"), small_rule("slow", inhibited_by=("no_model",), cause="service"))
    messages = run(one, {"no_model": FIRES, "slow": reading([B])}, 0, 10)
    assert len(messages) == 2


def test_a_second_alert_of_a_cause_is_a_note() -> None:
    one = machine(small_rule("first"), small_rule("second"))
    one.step({"first": FIRES}, 0)
    changes = one.step({"first": FIRES, "second": FIRES}, 5)
    assert changes.messages == []
    assert [(note.incident_uid, note.text) for note in changes.notes] == [("0", "second: 1 of a")]
    assert one.step({"first": FIRES, "second": FIRES}, 10).notes == [], "once"
    assert [note.text for note in one.step({"first": FIRES, "second": QUIET}, 15).notes] == [
        "second is over: its condition is no longer true"
    ]


def test_an_alert_joins_an_incident_that_was_closed_lately_unless_it_lasts() -> None:
    one = machine(small_rule("first"), small_rule("second"))
    one.step({"first": FIRES}, 0)
    one.step({"first": QUIET}, 60)
    start = 60 + SAME_CAUSE_SECONDS - 10
    assert run(one, {"second": FIRES}, start, start + 300) == []
    one.step({"second": QUIET}, start + 300)
    late = 60 + SAME_CAUSE_SECONDS + 5
    messages = run(one, {"second": FIRES}, late, late + 5)
    assert [message.event for message in messages] == ["trigger"], "half an hour after the end"


def test_an_alert_that_joined_a_closed_incident_pages_if_it_lasts() -> None:
    one = machine(small_rule("first"), small_rule("second"))
    one.step({"first": FIRES}, 0)
    one.step({"first": QUIET}, 60)
    messages = run(one, {"second": FIRES}, 100, 100 + GRACE_SECONDS + 10)
    assert [(message.event, message.at) for message in messages] == [("trigger", 100 + GRACE_SECONDS)]


def test_an_alert_of_higher_severity_pages_though_its_cause_has_an_incident() -> None:
    one = machine(small_rule("low", severity="ticket"), small_rule("high"))
    assert events(one.step({"low": FIRES}, 0)) == [("trigger", "team")]
    assert events(one.step({"low": FIRES, "high": FIRES}, 5)) == [("trigger", "pager")]


def test_an_alert_of_another_model_is_an_incident_of_its_own() -> None:
    one = machine(small_rule("first"), small_rule("second"))
    one.step({"first": FIRES}, 0)
    assert events(one.step({"first": FIRES, "second": reading([B])}, 5)) == [("trigger", "pager")]


def test_a_rule_for_machines_is_never_an_incident() -> None:
    one = machine(small_rule("watchdog", severity="none"))
    assert run(one, {"watchdog": FIRES}, 0, 100) == []
    assert one.incidents == {}


def test_a_silenced_alert_pages_when_the_silence_ends_and_resolves_without_a_word_before() -> None:
    one, silence = machine(small_rule("slow")), Silence(1, {"rule": "slow", "model": "a"}, 0, 100)
    assert events(one.step({"slow": reading([A, B])}, 0, silences=[silence])) == [("trigger", "pager")]
    assert events(one.step({"slow": reading([A, B])}, 99, silences=[silence])) == []
    assert events(one.step({"slow": reading([A, B])}, 100, silences=[silence])) == [("trigger", "pager")]
    other = machine(small_rule("slow"))
    other.step({"slow": FIRES}, 0, silences=[silence])
    assert events(other.step({"slow": QUIET}, 50, silences=[silence])) == []


def test_a_resolve_is_sent_though_it_is_silenced() -> None:
    one = machine(small_rule("slow"))
    one.step({"slow": FIRES}, 0)
    silence = Silence(1, {"model": "a"}, 5, 100)
    assert events(one.step({"slow": QUIET}, 50, silences=[silence])) == [("resolve", "pager")]


def test_reminders_and_escalation_stop_when_a_person_acknowledges() -> None:
    routing = replace(
        ROUTING,
        remind_seconds=3_600,
        escalation=(
            EscalationStep(after_seconds=900, channels=("boss", "pager")),
            EscalationStep(after_seconds=1_800, channels=("all",)),
        ),
    )
    one = machine(small_rule("slow"), routing=routing)
    sent = run(one, {"slow": FIRES}, 0, 7_300)
    assert [(message.event, message.channels, message.at, message.n) for message in sent] == [
        ("trigger", ("pager",), 0, 0),
        ("trigger", ("boss",), 900, 0),
        ("trigger", ("all",), 1_800, 0),
        ("reminder", ("pager", "boss", "all"), 3_600, 1),
        ("reminder", ("pager", "boss", "all"), 7_200, 2),
    ]
    one.acknowledge(["0"])
    assert run(one, {"slow": FIRES}, 7_300, 20_000) == []
    assert [message.event for message in run(one, {"slow": QUIET}, 20_000, 20_005)] == ["resolve"]


def test_a_flapping_alert_sends_few_messages_an_hour() -> None:
    one = machine(small_rule("slow"))
    sent = [
        message
        for now in range(0, 7_200, 5)
        for message in one.step({"slow": FIRES if now % 60 < 30 else QUIET}, now).messages
    ]
    triggers = [message for message in sent if message.event == "trigger"]
    assert len(triggers) == ROUTING.flapping_per_hour
    assert run(one, {"slow": QUIET}, 7_200, 7_200 + int(FLAPPING_SECONDS) + 60)[-1].event == "resolve"


def test_the_number_of_alerts_of_a_rule_is_bounded() -> None:
    one = machine(small_rule("slow"))
    many = [frozenset({("model", str(number))}) for number in range(500)]
    one.step({"slow": reading(many)}, 0)
    assert len(one.alerts) == 200


def test_clocks_stand_still_while_no_watch_runs() -> None:
    first = machine(small_rule("slow", for_seconds=60, keep=60))
    first.step({"slow": FIRES}, 0)
    first.step({"slow": FIRES}, 30)
    second = machine(small_rule("slow", for_seconds=60, keep=60))
    second.restore(first.alerts.values(), first.incidents.values(), 1_000)
    assert events(second.step({"slow": FIRES}, 1_025)) == []
    assert events(second.step({"slow": FIRES}, 1_030)) == [("trigger", "pager")]


def test_an_incident_of_a_rule_that_is_no_longer_evaluated_is_closed() -> None:
    first = machine(small_rule("slow"))
    first.step({"slow": FIRES}, 0)
    second = machine(small_rule("other"))
    second.restore(first.alerts.values(), first.incidents.values(), 100)
    changes = second.step({}, 100)
    assert events(changes) == [("resolve", "pager")]


Step = Literal["fires", "holds", "quiet", "none"]
SAID = {"fires": FIRES, "holds": HOLDS, "quiet": QUIET, "none": NO_DATA}


def incidents_by_a_simple_model(steps: Sequence[Step], for_steps: int, keep_steps: int) -> list[str]:
    """Count steps with data: the states are the counts, and there are no clocks."""
    found, true, false, is_firing = [], -1, -1, False
    for step in steps:
        if step == "none":
            continue
        if not is_firing:
            true = true + 1 if step == "fires" else -1
            if true >= for_steps and step == "fires":
                is_firing, false = True, -1
                found.append("trigger")
        else:
            false = false + 1 if step == "quiet" else -1
            if false >= keep_steps and step == "quiet":
                is_firing, true = False, -1
                found.append("resolve")
    return found


@given(
    st.lists(st.sampled_from(["fires", "holds", "quiet", "none"]), max_size=60),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_states_are_those_of_a_simple_model(steps: list[Step], for_steps: int, keep_steps: int) -> None:
    rule = small_rule("slow", for_seconds=5 * for_steps, keep=5 * keep_steps)
    one = machine(rule, routing=replace(ROUTING, flapping_per_hour=1_000))
    sent = [
        message.event
        for number, step in enumerate(steps)
        for message in one.step({"slow": SAID[step]}, 5.0 * number).messages
    ]
    assert sent == incidents_by_a_simple_model(steps, for_steps, keep_steps)


@given(
    st.lists(
        st.tuples(*[st.sampled_from(["fires", "quiet", "none"])] * 4, st.booleans()), min_size=1, max_size=80
    )
)
def test_every_incident_has_at_most_one_trigger_and_one_resolve_and_each_trigger_gets_one(
    steps: list[tuple[Step, Step, Step, Step, bool]],
) -> None:
    """Whatever four related rules do, silenced or not."""
    rules = (
        small_rule("a", keep=10),
        small_rule("b", for_seconds=10, inhibited_by=("a",)),
        small_rule("c", severity="ticket", inhibited_by=("b",)),
        small_rule("d", cause="service", keep=20),
    )
    one = machine(*rules)
    sent: list[Message] = []
    silence = Silence(1, {"model": "a"}, 0, 1e9)
    now = 0.0
    for *said, is_silenced in [*steps, *[("quiet",) * 4 + (False,)] * 200]:
        readings = {rule.name: SAID[step] for rule, step in zip(rules, said, strict=True)}
        changes = one.step(readings, now, silences=[silence] if is_silenced else [])
        sent += changes.messages
        now += 5
    triggers = [message.incident_uid for message in sent if message.event == "trigger"]
    resolves = [message.incident_uid for message in sent if message.event == "resolve"]
    assert sorted(triggers) == sorted(resolves)
    assert len(set(triggers)) == len(triggers)
    assert one.alerts == {}
