"""Apprise, with its JSON service against a real server."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from support.notifications import notification
from support.scripted_http import Answer, ScriptedServer
from tastemaker.channel_settings import AppriseChannelSettings
from tastemaker.errors import TastemakerError
from tastemaker.notifications.channels import open_channel
from tastemaker.notifications.notification import Channel, Delivery

# Apprise looks for what Python 3.13 removed.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def opened(url: str, monkeypatch: pytest.MonkeyPatch, seconds: float = 10.0) -> Channel:
    monkeypatch.setenv("APPRISE_URL", url)
    return open_channel("chat", AppriseChannelSettings(type="apprise", timeout_seconds=seconds))


def test_a_message_is_sent_and_an_error_is_retried(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedServer() as server:
        channel = opened(f"json://user:hunter2@127.0.0.1:{server.port}/hook", monkeypatch)
        server.script(Answer(500))
        outcomes = [channel.send(notification("resolve")) for _ in range(2)]
    assert outcomes == [Delivery("retry", "Apprise could not send it"), Delivery("sent", "sent")]
    document = server.received[1].json()
    assert document["title"] == "Resolved: [page] fallback_share (tastemaker, ease), incident 12"
    assert document["type"] == "success"
    assert "12.5% of lists are not the model's" in document["message"]
    assert "hunter2" not in caplog.text + repr(channel)


def test_a_service_that_hangs_is_given_up_and_not_called_twice_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ScriptedServer() as server:
        channel = opened(f"json://127.0.0.1:{server.port}", monkeypatch, seconds=0.3)
        server.script(Answer(hangs=True))
        before = threading.active_count()
        first, *later = (channel.send(notification()) for _ in range(3))
    assert first == Delivery("retry", "there was no answer within 0.3 s")
    assert set(later) == {Delivery("retry", "the attempt before has not ended yet")}
    assert len(server.received) == 1
    assert threading.active_count() <= before + 2


def test_an_unknown_service_and_a_missing_library_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TastemakerError, match="APPRISE_URL of the channel chat is not a URL") as error:
        opened("carrier-pigeon://hunter2", monkeypatch)
    assert "hunter2" not in str(error.value)
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(TastemakerError, match=r"tastemaker\[apprise\]"):
        opened("json://127.0.0.1", monkeypatch)
