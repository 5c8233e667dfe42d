"""E-mail by a real SMTP server: encryption, login, threads, refusals, and headers that can't be injected."""

from __future__ import annotations

import socket
from collections import deque
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.certificates import CERTIFICATE, certify
from support.notifications import REQUESTS, notification
from support.servers import free_port
from support.smtp_server import PASSWORD, USER, SmtpServer
from tastemaker.channel_settings import EmailChannelSettings
from tastemaker.errors import TastemakerError
from tastemaker.notifications.channels import open_channel
from tastemaker.notifications.email_channel import EmailChannel, email_message
from tastemaker.notifications.notification import Delivery, Event, Link

ANNA, BEN = "anna@shop.example", "ben@shop.example"
SENDER = "tastemaker@shop.example"


def settings_of(port: int, **other: Any) -> EmailChannelSettings:
    fields = {
        "type": "email",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": SENDER,
        "recipients": [ANNA, BEN],
        "timeout_seconds": 5,
    }
    return EmailChannelSettings.model_validate(fields | other)


def channel(port: int, **other: Any) -> EmailChannel:
    return EmailChannel("mail", settings_of(port, **other))


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a certificate that this process trusts, and a login in the environment."""
    certify(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / CERTIFICATE))
    monkeypatch.setenv("MAIL_USER", USER)
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    return tmp_path


LOGIN = {"user_variable": "MAIL_USER", "password_variable": "MAIL_PASSWORD"}


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_login_goes_through_an_encrypted_connection(security: str, certificates: Path) -> None:
    with SmtpServer(security, certificates, wants_login=True) as server:
        delivery = channel(server.port, security=security, **LOGIN).send(notification())
    assert delivery == Delivery("sent", "accepted")
    [mail] = server.mails
    assert (mail.sender, mail.recipients) == (SENDER, (ANNA, BEN))
    assert (mail.user, mail.is_encrypted) == (USER, True)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_is_verified(
    security: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with SmtpServer(security, certificates) as server:
        delivery = channel(server.port, security=security).send(notification())
    assert delivery.outcome == "retry"
    assert "certificate is not valid" in delivery.detail
    assert server.mails == []


def test_a_server_without_starttls_gets_neither_password_nor_message(certificates: Path) -> None:
    with SmtpServer() as server:
        delivery = channel(server.port, security="starttls", **LOGIN).send(notification())
    assert delivery.outcome == "rejected"
    assert "STARTTLS" in delivery.detail
    assert server.mails == []


def test_a_wrong_password_is_rejected_and_not_repeated(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "hunter2-wrong")
    with SmtpServer("tls", certificates, wants_login=True) as server:
        mail = channel(server.port, security="tls", **LOGIN)
        delivery = mail.send(notification())
    assert delivery.outcome == "rejected"
    assert delivery.detail.startswith("535")
    assert "hunter2" not in delivery.detail + repr(mail)


def test_a_missing_password_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_USER", USER)
    monkeypatch.delenv("MAIL_PASSWORD", raising=False)
    with pytest.raises(TastemakerError, match="MAIL_PASSWORD, which is not set"):
        open_channel("mail", settings_of(25, security="tls", **LOGIN))


def test_an_incident_is_one_thread() -> None:
    """A mail program joins messages by References, and some only where the subject is the same, too."""
    events: tuple[Event, ...] = ("trigger", "reminder", "acknowledge", "resolve")
    with SmtpServer() as server:
        mail = channel(server.port)
        for place, event in enumerate(events):
            text = f"ease: {12 + place}% of lists are not the model's"
            assert mail.send(notification(event, after_seconds=60 * place, summary=text)).outcome == "sent"
    messages = [mail.message for mail in server.mails]
    first, *later = messages
    assert (
        {one["References"] for one in later} == {one["In-Reply-To"] for one in later} == {first["Message-ID"]}
    )
    assert {one["Subject"].removeprefix("Re: ") for one in messages} == {first["Subject"]}
    assert len({one["Message-ID"] for one in messages}) == len(events)
    other = email_message(notification(incident=13), settings_of(25))
    assert other["Message-ID"] != first["Message-ID"]


def test_a_message_is_the_same_in_every_attempt() -> None:
    with SmtpServer() as server:
        for _ in range(2):
            channel(server.port).send(notification("resolve", after_seconds=90))
    first, second = (mail.message for mail in server.mails)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"] == "Sun, 29 Nov 2026 14:03:40 +0000"


def test_a_message_has_everything_as_text_and_as_html() -> None:
    with SmtpServer() as server:
        channel(server.port).send(notification(after_seconds=95, details=("a <b>bold</b> & wrong label",)))
    [mail] = server.mails
    plain, html = mail.message.get_body(("plain",)), mail.message.get_body(("html",))
    assert plain is not None
    assert html is not None
    for text in (plain.get_content(), html.get_content().replace("&#39;", "'").replace("&#34;", '"')):
        for part in (
            "Firing: ease: 12.5% of lists are not the model's",
            "More than 5 % of the lists",
            "Since 2026-11-29 14:02:10 UTC, for 1 min 35 s",
            REQUESTS[1],
            "tastemaker models rollback --reason 'fallback_share, incident 12'",
            "https://docs.shop.example/runbooks/fallback_share.md",
        ):
            assert part in text
    assert "a <b>bold</b> & wrong label" in plain.get_content()
    assert "a &lt;b&gt;bold&lt;/b&gt; &amp; wrong label" in html.get_content()
    assert mail.message["Auto-Submitted"] == "auto-generated"


ANY = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\t\x00:"), max_size=60)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    summary=ANY,
    rule=ANY,
    severity=ANY,
    key=ANY,
    delivery_id=ANY,
    labels=st.dictionaries(ANY, ANY, max_size=2),
    details=st.lists(ANY, max_size=2).map(tuple),
    links=st.lists(st.builds(Link, ANY, ANY.map("https://a.example/{}".format)), max_size=2).map(tuple),
)
def test_no_text_can_add_a_header(**fields: Any) -> None:
    """What is read back has the headers that were set, and two parts."""
    fields["labels"]["model"] = "ease\r\nBcc: evil@elsewhere.example\r\n\r\nbody"
    sent = email_message(notification("resolve", **fields), settings_of(25))
    read = message_from_bytes(sent.as_bytes(policy=policy.SMTP), policy=policy.default)
    names = [name.lower() for name in read.keys()]  # noqa: SIM118
    expected = (
        "from to date subject message-id in-reply-to references auto-submitted mime-version content-type"
    )
    assert sorted(names) == sorted(expected.split())
    assert read["To"] == f"{ANNA}, {BEN}"
    assert [part.get_content_type() for part in read.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_a_recipient_who_has_it_does_not_get_it_again() -> None:
    """Greylisting: one server accepts the message for one recipient and asks to come back for the other."""
    with SmtpServer() as server:
        mail = channel(server.port)
        server.refusals[BEN] = deque(["450 4.2.0 come back later"])
        first, second, third = (mail.send(notification()) for _ in range(3))
    assert (first.outcome, first.detail) == ("retry", f"{BEN}: 450 4.2.0 come back later")
    assert second == Delivery("sent", "accepted")
    assert third == Delivery("sent", "all recipients have it")
    assert [one.recipients for one in server.mails] == [(ANNA,), (BEN,)]


@pytest.mark.parametrize(
    ("refused", "outcome"), [([BEN], "sent"), ([ANNA, BEN], "rejected")], ids=["one", "all"]
)
def test_recipients_who_do_not_exist_are_named(refused: list[str], outcome: str) -> None:
    with SmtpServer() as server:
        mail = channel(server.port)
        for who in refused:
            server.refusals[who] = deque(["550 5.1.1 no such mailbox"])
        delivery = mail.send(notification())
    assert delivery.outcome == outcome
    for who in refused:
        assert f"{who}: 550 5.1.1 no such mailbox" in delivery.detail


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("451 4.3.0 try again", "retry"),
        ("452 4.3.1 disk full", "retry"),
        ("554 5.7.1 looks like spam", "rejected"),
    ],
)
def test_the_servers_reply_decides(reply: str, outcome: str) -> None:
    with SmtpServer() as server:
        server.data_replies.append(reply)
        delivery = channel(server.port).send(notification())
    assert delivery.outcome == outcome
    assert reply.replace(" ", ": ", 1) in delivery.detail


def test_no_listener_and_a_server_that_hangs_are_retried() -> None:
    delivery = channel(free_port()).send(notification())
    assert delivery == Delivery("retry", "127.0.0.1 can't be reached: Connection refused")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        delivery = channel(port, timeout_seconds=0.2).send(notification())
    assert delivery == Delivery("retry", "127.0.0.1 did not answer within 0.2 s")
