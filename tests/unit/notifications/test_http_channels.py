"""Channels over HTTP against real servers: what each answer means, deadlines, and secrets."""

from __future__ import annotations

import hmac
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from support.certificates import CERTIFICATE, certify
from support.notifications import notification
from support.pagerduty_server import ROUTING_KEY, PagerDutyServer
from support.scripted_http import Answer, ScriptedServer
from support.servers import free_port
from support.slack_server import SlackServer
from tastemaker.channel_settings import (
    ChannelSettings,
    PagerDutyChannelSettings,
    SlackChannelSettings,
    WebhookChannelSettings,
)
from tastemaker.errors import TastemakerError
from tastemaker.notifications import slack
from tastemaker.notifications.channels import open_channel
from tastemaker.notifications.http_call import retry_after
from tastemaker.notifications.notification import Channel, Delivery

SECRET = "webhook-secret-4711"
HOOK_PATH = "/hooks/hook-secret-0815"
SECRETS = (ROUTING_KEY, "webhooksecret", "B0SECRET0", SECRET, "hook-secret-0815")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's limit of a message a second has a test of its own."""
    monkeypatch.setattr(slack, "SECONDS_PER_MESSAGE", 0.0)


def opened(monkeypatch: pytest.MonkeyPatch, kind: str, url: str, seconds: float = 5.0) -> tuple[Channel, str]:
    """Return a channel to a server, and the name of its kind."""
    settings: ChannelSettings
    if kind == "pagerduty":
        monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", ROUTING_KEY)
        settings = PagerDutyChannelSettings(
            type="pagerduty", url=url + "/v2/enqueue", timeout_seconds=seconds
        )
    elif kind == "slack":
        monkeypatch.setenv("SLACK_WEBHOOK_URL", url + "/services/T0SECRET0/B0SECRET0/webhooksecret")
        settings = SlackChannelSettings(type="slack", timeout_seconds=seconds)
    else:
        monkeypatch.setenv("HOOK_URL", url + HOOK_PATH)
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        settings = WebhookChannelSettings(
            type="webhook", url_variable="HOOK_URL", secret_variable="HOOK_SECRET", timeout_seconds=seconds
        )
    return open_channel("one", settings), kind


SERVERS: dict[str, type[ScriptedServer]] = {
    "pagerduty": PagerDutyServer,
    "slack": SlackServer,
    "webhook": ScriptedServer,
}


@pytest.fixture(params=SERVERS)
def pair(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Channel, ScriptedServer]]:
    """A channel and the server that it sends to, for each kind."""
    with SERVERS[request.param]() as server:
        yield opened(monkeypatch, request.param, server.url)[0], server


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_the_receiver_accepts_is_sent(pair: tuple[Channel, ScriptedServer]) -> None:
    channel, server = pair
    for event in ("trigger", "reminder", "acknowledge", "resolve"):
        assert channel.send(notification(event)).outcome == "sent", event
    assert len(server.received) == 4


def in_ten_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(400, body=b"the receiver says no"), "rejected"),
        (Answer(401, body=b"the receiver says no"), "rejected"),
        (Answer(404, body=b"the receiver says no"), "rejected"),
        (Answer(410, body=b"the receiver says no"), "rejected"),
        (Answer(408, body=b"the receiver says no"), "retry"),
        (Answer(429, body=b"the receiver says no"), "retry"),
        (Answer(500, body=b"the receiver says no"), "retry"),
        (Answer(503, body=b"the receiver says no"), "retry"),
        (Answer(500, body=b"\xff\xfe the receiver says no"), "retry"),
    ],
    ids=lambda given: str(given.status) if isinstance(given, Answer) else given,
)
def test_a_status_decides_and_the_receivers_words_are_kept(
    pair: tuple[Channel, ScriptedServer], answer: Answer, outcome: str
) -> None:
    channel, server = pair
    server.script(answer)
    delivery = channel.send(notification())
    assert (delivery.outcome, delivery.retry_after_seconds) == (outcome, None)
    assert str(answer.status) in delivery.detail
    assert "the receiver says no" in delivery.detail


def test_a_receiver_may_ask_for_a_wait_in_seconds_or_as_a_date(pair: tuple[Channel, ScriptedServer]) -> None:
    channel, server = pair
    server.script(
        Answer(429, {"Retry-After": "7"}),
        Answer(503, {"Retry-After": in_ten_seconds()}),
        Answer(429, {"Retry-After": "soon"}),
    )
    assert channel.send(notification()).retry_after_seconds == 7
    assert 0 < (channel.send(notification()).retry_after_seconds or 0) <= 10
    assert channel.send(notification()) == Delivery("retry", "429")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("99999999", 3_600.0),
        ("Sun, 29 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 0.0),
        ("Sunday, 29-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 29 12:00:30 2026", 30.0),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_the_standard_has_it(header: str | None, seconds: float | None) -> None:
    """RFC 9110: a number of seconds, or one of three forms of a date."""
    assert retry_after(header, datetime(2026, 11, 29, 12, tzinfo=UTC)) == seconds


def test_another_servers_page_is_not_taken_for_the_receivers_answer(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that answers 200 with its own page has delivered nothing. A webhook's answers are free."""
    with ScriptedServer() as proxy:
        proxy.script(
            Answer(200, body=b"<html>Please log in</html>"), Answer(202, body=b'{"status": "success')
        )
        channel, _ = opened(monkeypatch, kind, proxy.url)
        outcomes = [channel.send(notification()).outcome for _ in range(2)]
    assert outcomes == (["sent"] * 2 if kind == "webhook" else ["retry"] * 2)


def test_a_redirect_is_refused_and_not_followed(pair: tuple[Channel, ScriptedServer]) -> None:
    channel, server = pair
    with ScriptedServer() as other:
        server.script(Answer(307, {"Location": other.url + "/elsewhere"}))
        delivery = channel.send(notification())
        assert delivery.outcome == "rejected"
        assert "redirects" in delivery.detail
        assert other.received == []


def test_a_receiver_that_hangs_is_given_up_at_the_deadline(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SERVERS[kind]() as server:
        channel, _ = opened(monkeypatch, kind, server.url, seconds=0.2)
        server.script(Answer(hangs=True))
        assert channel.send(notification()) == Delivery("retry", "127.0.0.1 did not answer within 0.2 s")
        assert channel.send(notification()).outcome == "sent"


def test_a_byte_now_and_then_does_not_extend_the_deadline(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes within the socket's own timeout."""
    with SERVERS[kind]() as server:
        channel, _ = opened(monkeypatch, kind, server.url, seconds=0.3)
        server.script(Answer(200, body=b"ok" * 500, byte_seconds=0.1))
        assert "did not answer within 0.3 s" in channel.send(notification()).detail
        with dripping_headers() as url:
            channel, _ = opened(monkeypatch, kind, url, seconds=0.3)
            assert "did not answer within 0.3 s" in channel.send(notification()).detail


@contextmanager
def dripping_headers() -> Iterator[str]:
    """A server that sends one letter of its headers every 0.1 s."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    for letter in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500:
                        connection.sendall(bytes([letter]))
                        time.sleep(0.1)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)
        assert not thread.is_alive(), "the channel closed its connection at the deadline"


def test_no_listener_a_dropped_connection_and_nonsense_are_retried(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, _ = opened(monkeypatch, kind, f"http://127.0.0.1:{free_port()}")
    assert channel.send(notification()) == Delivery("retry", "127.0.0.1 can't be reached: Connection refused")
    with SERVERS[kind]() as server:
        channel, _ = opened(monkeypatch, kind, server.url)
        server.script(Answer(drops=True), Answer(200, {"Content-Encoding": "gzip"}, b"not gzip"))
        first, second = channel.send(notification()), channel.send(notification())
    assert (first.outcome, second.outcome) == ("retry", "retry")


def test_a_certificate_is_verified(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certify(tmp_path)
    with SERVERS[kind](tmp_path) as server:
        channel, _ = opened(monkeypatch, kind, server.url)
        delivery = channel.send(notification())
        assert delivery.outcome == "retry"
        assert "certificate" in delivery.detail
        assert server.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / CERTIFICATE))
        assert channel.send(notification()).outcome == "sent"


def test_a_name_that_does_not_resolve_is_retried(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    channel, _ = opened(monkeypatch, kind, "https://receiver.example")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    delivery = channel.send(notification())
    assert delivery == Delivery("retry", "receiver.example can't be reached: Name or service not known")


def test_a_resolver_that_hangs_does_not_extend_the_deadline(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hanging(*_: object) -> None:
        release.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    channel, _ = opened(monkeypatch, kind, "https://receiver.example", seconds=0.2)
    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    assert channel.send(notification()).detail == "receiver.example did not answer within 0.2 s"
    release.set()


def test_no_secret_is_in_a_detail_a_repr_or_a_log(
    pair: tuple[Channel, ScriptedServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the receiver repeats what it got."""
    channel, server = pair
    caplog.set_level(logging.DEBUG)
    repeats = " ".join(SECRETS).encode()
    server.script(Answer(400, body=repeats), Answer(500, body=repeats), Answer(drops=True))
    seen = [repr(channel), str(channel), *(channel.send(notification()).detail for _ in range(3))]
    seen.append(caplog.text)
    own = [one for one in SECRETS if one in "".join(server.received[0].path + repr(server.received[0].body))]
    for text in seen:
        assert [one for one in own if one in text] == []


@pytest.mark.parametrize(
    ("settings", "variable", "value", "message"),
    [
        (PagerDutyChannelSettings(type="pagerduty"), "PAGERDUTY_ROUTING_KEY", "", "which is not set"),
        (PagerDutyChannelSettings(type="pagerduty"), "PAGERDUTY_ROUTING_KEY", "hunter2", "has 7 characters"),
        (SlackChannelSettings(type="slack"), "SLACK_WEBHOOK_URL", "", "which is not set"),
        (SlackChannelSettings(type="slack"), "SLACK_WEBHOOK_URL", "hunter2", "must be a URL"),
        (SlackChannelSettings(type="slack"), "SLACK_WEBHOOK_URL", "http://a.example/hunter2", "https://"),
        (WebhookChannelSettings(type="webhook", url_variable="HOOK"), "HOOK", "ftp://hunter2", "a URL"),
    ],
)
def test_a_missing_or_malformed_secret_is_named_by_its_variable_only(
    settings: ChannelSettings, variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(TastemakerError) as error:
        open_channel("pager", settings)
    assert message in str(error.value)
    assert variable in str(error.value)
    assert "pager" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_webhook_is_signed_and_names_its_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer() as server:
        channel, _ = opened(monkeypatch, "webhook", server.url)
        one = notification(delivery_id="12/trigger/0\r\nX-Evil: yes")
        channel.send(one)
        channel.send(one)
    first, second = server.received
    assert first.path == HOOK_PATH
    stamp = first.headers["x-tastemaker-timestamp"]
    assert abs(int(stamp) - first.at) < 5
    expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + first.body, "sha256").hexdigest()
    assert first.headers["x-tastemaker-signature"] == f"v1={expected}"
    assert "x-evil" not in first.headers
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    document = first.json()
    assert document["version"] == "tastemaker.notification.v1"
    assert {**one.to_json()}.items() <= document.items()
    assert re.search(r"^Firing: ease: 12\.5% of lists", document["text"])


def test_slack_gets_a_message_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [100.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    with SlackServer() as server:
        channel, _ = opened(monkeypatch, "slack", server.url)
        monkeypatch.setattr(slack, "SECONDS_PER_MESSAGE", 1.0)
        monkeypatch.setattr(slack, "monotonic", lambda: now[0])
        monkeypatch.setattr(slack, "sleep", sleep)
        channel.send(notification())
        now[0] += 0.25
        channel.send(notification())
        now[0] += 5.0
        channel.send(notification())
    assert pauses == [0.75]
