"""The call of a dead man's switch, and the call that says that the watch does not work."""

from __future__ import annotations

import logging

import pytest

from support.scripted_http import Answer, ScriptedServer
from tastemaker.watch.heartbeat import Heartbeat


def test_the_switch_is_called_while_the_watch_works_and_its_failure_while_not() -> None:
    state: dict[str, str | None] = {"trouble": None, "failure": None}
    with ScriptedServer() as switch:
        heartbeat = Heartbeat(
            f"{switch.url}/ping",
            lambda: state["trouble"],
            fail_url=f"{switch.url}/ping/fail",
            failure=lambda: state["failure"],
        )
        heartbeat.beat()
        state["trouble"] = "another watcher evaluates the rules"
        heartbeat.beat()
        state |= {"trouble": "the database can't be used", "failure": "the database can't be used"}
        heartbeat.beat()
        state |= {"trouble": None, "failure": None}
        heartbeat.beat()
    assert [(one.method, one.path) for one in switch.received] == [
        ("POST", "/ping"),
        ("POST", "/ping/fail"),
        ("POST", "/ping"),
    ]
    assert switch.received[1].json() == {"failure": "the database can't be used"}


def test_a_switch_that_refuses_is_logged_once_and_its_key_never(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ScriptedServer() as switch:
        heartbeat = Heartbeat(f"{switch.url}/hunter2-key", lambda: None)
        switch.script(Answer(404, body=b"no check hunter2-key"), Answer(500), Answer(200))
        for _ in range(3):
            heartbeat.beat()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["the heartbeat can't be sent: 404: no check ***", "the heartbeat is sent again"]


def test_without_an_address_nothing_is_called() -> None:
    heartbeat = Heartbeat(None, lambda: None, fail_url=None)
    heartbeat.start()
    heartbeat.beat()
    heartbeat.close()
