"""PagerDuty: one alert per key, and events within the documented limits whatever a notification has in it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.notifications import BEGAN, REQUESTS, notification
from support.pagerduty_server import PATH, ROUTING_KEY, PagerDutyServer, event_errors
from support.scripted_http import Answer, Received
from tastemaker.channel_settings import PagerDutyChannelSettings
from tastemaker.notifications.http_call import json_body
from tastemaker.notifications.notification import Link, Notification
from tastemaker.notifications.pagerduty import PagerDutyChannel, pagerduty_event


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", ROUTING_KEY + "\n")


def channel(server: PagerDutyServer, seconds: float = 5.0) -> PagerDutyChannel:
    settings = PagerDutyChannelSettings(type="pagerduty", url=server.events_url, timeout_seconds=seconds)
    return PagerDutyChannel("pager", settings)


def errors(event: dict[str, Any]) -> list[str]:
    """Return what PagerDuty would find wrong."""
    return event_errors(Received("POST", PATH, {}, json_body(event), 0.0))


@pytest.mark.usefixtures("key")
def test_one_alert_from_its_trigger_to_its_resolve() -> None:
    with PagerDutyServer() as server:
        pager = channel(server)
        for event in ("trigger", "reminder", "acknowledge", "resolve"):
            assert pager.send(notification(event)).outcome == "sent"
        pager.send(notification("resolve"))
        pager.send(notification(after_seconds=600))
    first, second = server.alerts
    actions = ["trigger", "trigger", "acknowledge", "resolve"]
    assert [one["event_action"] for one in first.events] == actions
    assert (first.state, second.state) == ("resolved", "triggered")
    assert [one["event_action"] for one in server.dropped] == ["resolve"]
    assert server.invalid == []


@pytest.mark.usefixtures("key")
def test_a_lost_answer_and_a_second_attempt_make_one_alert() -> None:
    """A timeout does not say whether PagerDuty has the event; the key makes the repeat harmless."""
    with PagerDutyServer() as server:
        server.script(
            Answer(hangs=True, applied=True), Answer(500, applied=True), Answer(drops=True, applied=True)
        )
        impatient = channel(server, 0.2)
        assert [impatient.send(notification()).outcome for _ in range(4)] == ["retry"] * 3 + ["sent"]
    assert [(alert.key, alert.state) for alert in server.alerts] == [(notification().key, "triggered")]


@pytest.mark.usefixtures("key")
def test_an_event_says_what_where_since_when_and_how_to_act() -> None:
    event = pagerduty_event(notification(after_seconds=95), ROUTING_KEY)
    assert errors(event) == []
    payload = event["payload"]
    assert payload["summary"] == "ease: 12.5% of lists are not the model's"
    assert (payload["severity"], payload["source"]) == ("critical", "tastemaker")
    assert (payload["component"], payload["class"]) == ("ease", "fallback_share")
    assert payload["timestamp"] == "2026-11-29T14:03:45+00:00"
    details = payload["custom_details"]
    assert details["since"] == BEGAN.astimezone(UTC).isoformat()
    assert details["requests"] == list(REQUESTS)
    assert details["commands"][1].startswith("tastemaker models rollback")
    assert event["client_url"] == "http://127.0.0.1:3080/alerts/12"
    assert [link["text"] for link in event["links"]] == ["Incident 12", "Runbook"]


ANY = st.text(st.characters(), max_size=50)
"""Text with every character that Python has, lone surrogates among them."""
LONG = st.builds(lambda text, times: text * times, ANY, st.sampled_from([1, 1, 100, 6_000]))


@settings(max_examples=60, deadline=None)
@given(
    summary=LONG,
    condition=LONG,
    severity=ANY,
    value=st.none() | st.floats(),
    labels=st.dictionaries(st.sampled_from(["instance", "model", "job", "x"]), LONG),
    details=st.lists(LONG, max_size=3).map(tuple),
    commands=st.lists(LONG, max_size=2).map(tuple),
    links=st.lists(
        st.builds(Link, ANY, st.sampled_from(["docs/a.md", "https://a.example/b"])), max_size=3
    ).map(tuple),
    event=st.sampled_from(["trigger", "reminder", "acknowledge", "resolve"]),
)
def test_every_event_is_within_pagerdutys_limits(event: Any, **fields: Any) -> None:
    assert errors(pagerduty_event(notification(event, **fields), ROUTING_KEY)) == []


def test_an_event_that_is_too_large_keeps_the_commands_longest() -> None:
    large = replace(notification(), details=("x" * 600_000,))
    kept = pagerduty_event(large, ROUTING_KEY)["payload"]["custom_details"]
    assert "details" not in kept
    assert kept["commands"] == list(notification().commands)
    assert "512000 bytes" in kept["removed"]


@pytest.mark.usefixtures("key")
def test_the_errors_that_pagerduty_lists_are_named() -> None:
    body = json.dumps(
        {"status": "invalid event", "message": "Event object is invalid", "errors": ["one", "two"]}
    )
    with PagerDutyServer() as server:
        server.script(Answer(400, body=body.encode()))
        delivery = channel(server).send(notification())
    assert (delivery.outcome, delivery.detail) == ("rejected", "400: Event object is invalid: one; two")


def test_the_stub_refuses_what_the_documentation_does() -> None:
    """Each change breaks a valid event."""
    good = pagerduty_event(notification(), ROUTING_KEY)
    changes: list[dict[str, Any]] = [
        {"routing_key": "short"},
        {"event_action": "reminder"},
        {"dedup_key": "k" * 256},
        {"payload": None},
        {"payload": good["payload"] | {"severity": "page"}},
        {"payload": good["payload"] | {"summary": "s" * 1_025}},
        {"payload": good["payload"] | {"source": ""}},
        {"payload": good["payload"] | {"timestamp": "today"}},
        {"payload": good["payload"] | {"custom_details": "text"}},
        {"links": [{"text": "no href"}]},
        {"links": [{"href": "docs/runbook.md"}]},
        {"unknown": 1},
    ]
    assert errors(good) == []
    assert [change for change in changes if not errors(good | change)] == []
    assert errors({"routing_key": ROUTING_KEY, "event_action": "resolve"}) == ["dedup_key is required"]


def test_a_notification_of_minimal_content_is_a_valid_event() -> None:
    bare = Notification("k", "d", "trigger", 1, "watchdog", "none", {}, "", "", None, BEGAN, BEGAN)
    assert errors(pagerduty_event(bare, ROUTING_KEY)) == []


def test_a_huge_label_does_not_make_the_event_too_large() -> None:
    large = notification(labels={"model": "m" * 600_000, "instance": "i" * 600_000}, rule="r" * 600_000)
    assert errors(pagerduty_event(large, ROUTING_KEY)) == []
