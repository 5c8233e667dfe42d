"""A digest arrives once at receivers of mail, Slack and webhooks, and again only where they were away."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from support.digest_weeks import NOW, WEEK, usual_shop, write
from support.scripted_http import ScriptedServer
from support.slack_server import SlackServer
from support.smtp_server import SmtpServer
from tastemaker.digest.delivery import DigestDelivery, bulletin, deliver, unsent
from tastemaker.digest.document import Digest
from tastemaker.digest.scheduling import channel_names, digest_channels, why_not_now
from tastemaker.digest.writing import write_digest
from tastemaker.errors import TastemakerError
from tastemaker.notifications.bulletin import Bulletin, BulletinChannel
from tastemaker.notifications.notification import Delivery
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import digest_deliveries

SECRET = "a-shared-secret"
PAGERDUTY = {"type": "pagerduty", "key_variable": "PAGER_KEY"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'meta.db'}")
    write(opened, *usual_shop())
    yield opened
    opened.dispose()


def digest_of(engine: Engine) -> Digest:
    return write_digest(engine, "shop", WEEK, NOW)


def settings(**channels: Mapping[str, object]) -> Settings:
    return Settings.model_validate({"watch": {"channels": channels}, "source": {"timezone": "Europe/Berlin"}})


def mail(server: SmtpServer) -> dict[str, object]:
    return {
        "type": "email",
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "sender": "shop@example.com",
        "recipients": ["one@example.com", "two@example.com"],
    }


def send(engine: Engine, found: Settings) -> list[DigestDelivery]:
    return deliver(engine, digest_of(engine), digest_channels(found), environment="production")


def outcomes(sent: list[DigestDelivery]) -> dict[str, str]:
    return {one.channel: one.outcome for one in sent}


class ScriptedChannel:
    """A channel of a test that answers as it is given to."""

    name = "team"

    def __init__(self, *answers: Delivery) -> None:
        self.answers, self.got = list(answers), list[Bulletin]()

    def send_bulletin(self, bulletin: Bulletin) -> Delivery:
        self.got.append(bulletin)
        return self.answers.pop(0)


def test_mail_has_text_and_html_and_arrives_once(engine: Engine) -> None:
    with SmtpServer() as server:
        found = settings(mail=mail(server))
        assert outcomes(send(engine, found)) == {"mail": "sent"}
        assert outcomes(send(engine, found)) == {"mail": "sent before"}
    (one,) = server.mails
    assert one.recipients == ("one@example.com", "two@example.com")
    assert one.message["Subject"] == "Weekly digest, shop: week 47, 16 to 22 Nov 2026"
    assert one.message["In-Reply-To"] is None
    text, html = (one.message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    answer = "2 of 5 compared figures changed since last week, 2 for the worse."
    assert answer in text.get_content()
    assert answer in html.get_content()
    assert not list(one.message.iter_attachments())


def test_slack_gets_blocks_within_its_limits(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with SlackServer() as server:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", server.webhook_url)
        assert outcomes(send(engine, settings(team={"type": "slack"}))) == {"team": "sent"}
    (message,) = server.messages
    assert "What to look at" in str(message["blocks"])


def test_a_webhook_gets_signed_json(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with ScriptedServer() as server:
        hook = {"type": "webhook", "url": f"{server.url}/hook", "secret_variable": "HOOK_SECRET"}
        assert outcomes(send(engine, settings(hook=hook))) == {"hook": "sent"}
    (call,) = server.received
    signed = f"{call.headers['x-tastemaker-timestamp']}.".encode() + call.body
    expected = hmac.new(SECRET.encode(), signed, sha256).hexdigest()
    assert call.headers["x-tastemaker-signature"] == f"v1={expected}"
    document = call.json()
    assert (document["version"], document["kind"]) == ("tastemaker.bulletin.v1", "digest")
    assert document["text"] == bulletin(digest_of(engine), "production").text
    assert call.headers["idempotency-key"] == "tastemaker/production/digest/shop/2026-W47"


def test_a_channel_that_was_away_gets_it_later_and_the_others_not_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SmtpServer() as server, SlackServer() as slack:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", slack.webhook_url)
        found = settings(mail=mail(server), team={"type": "slack"})
        server.data_replies.append("451 4.3.0 try again later")
        assert outcomes(send(engine, found)) == {"mail": "retry", "team": "sent"}
        assert unsent(engine, "shop", "2026-W47", ("mail", "team")) == ("mail",)
        assert outcomes(send(engine, found)) == {"mail": "sent", "team": "sent before"}
        assert unsent(engine, "shop", "2026-W47", ("mail", "team")) == ()
    assert len(server.mails) == len(slack.messages) == 1


def test_a_receiver_that_refuses_may_be_tried_again_once_it_is_corrected(engine: Engine) -> None:
    channel = ScriptedChannel(Delivery("rejected", "no such channel"), Delivery("sent", "ok"))
    digest, channels = digest_of(engine), {"team": channel}
    for expected in ("rejected", "sent", "sent before"):
        assert outcomes(deliver(engine, digest, channels, environment="production")) == {"team": expected}
    assert len(channel.got) == 2
    with engine.connect() as connection:
        row = connection.execute(select(digest_deliveries)).one()
    assert (row.tries, row.outcome, row.detail) == (2, "sent", "ok")


def test_an_attempt_that_was_killed_is_not_repeated(engine: Engine) -> None:
    class Killed(ScriptedChannel):
        def send_bulletin(self, bulletin: Bulletin) -> Delivery:
            raise KeyboardInterrupt

    digest = digest_of(engine)
    with pytest.raises(KeyboardInterrupt):
        deliver(engine, digest, {"team": Killed()}, environment="production")
    (found,) = deliver(engine, digest, {"team": ScriptedChannel()}, environment="production")
    assert (found.outcome, found.is_done) == ("unknown", False)
    assert found.detail == "the attempt of 2026-11-23 06:00 UTC has no result, so that it may have arrived"


def test_two_processes_send_it_once(engine: Engine) -> None:
    channel = ScriptedChannel(Delivery("sent", "ok"))
    digest, barrier = digest_of(engine), threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        deliver(engine, digest, {"team": channel}, environment="production")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(channel.got) == 1


def test_another_week_is_sent_again(engine: Engine) -> None:
    channel = ScriptedChannel(Delivery("sent", "ok"), Delivery("sent", "ok"))
    for week in (WEEK, WEEK.earlier(1)):
        digest = write_digest(engine, "shop", week, NOW)
        deliver(engine, digest, {"team": channel}, environment="production")
    assert len({one.delivery_id for one in channel.got}) == 2


def test_pagerduty_is_never_sent_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGER_KEY", raising=False)  # its secret is not even read
    hook = {"type": "webhook", "url": "http://127.0.0.1:1/"}
    for named in ({}, {"digest": ["pager", "hook"]}):
        found = Settings.model_validate({"watch": {"channels": {"pager": PAGERDUTY, "hook": hook}, **named}})
        assert list(digest_channels(found)) == ["hook"]
    assert channel_names(settings(pager=PAGERDUTY)) == ()


def test_every_other_kind_of_channel_is_a_bulletin_channel() -> None:
    from tastemaker.notifications.apprise_channel import AppriseChannel
    from tastemaker.notifications.email_channel import EmailChannel
    from tastemaker.notifications.pagerduty import PagerDutyChannel
    from tastemaker.notifications.slack import SlackChannel
    from tastemaker.notifications.webhook import WebhookChannel

    kinds = (AppriseChannel, EmailChannel, SlackChannel, WebhookChannel)
    assert all(hasattr(kind, "send_bulletin") for kind in kinds)
    assert not hasattr(PagerDutyChannel, "send_bulletin")
    assert isinstance(ScriptedChannel(), BulletinChannel)


def test_a_named_channel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="digest has 'nowhere', which is not a channel"):
        Settings.model_validate({"watch": {"digest": ["nowhere"]}})


def test_the_schedule_waits_for_figures_and_says_why(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'new.db'}")
    found = settings(team={"type": "webhook", "url": "http://127.0.0.1:1/"})
    assert why_not_now(engine, found, "shop", NOW) == "the figures of 2026-W47 are not computed yet"
    assert why_not_now(engine, found, "shop", NOW.replace(hour=17)) is None  # 18:00 in Berlin
    write(engine, *usual_shop())
    assert why_not_now(engine, found, "shop", NOW) is None
    deliver(engine, digest_of(engine), {"team": ScriptedChannel(Delivery("sent", ""))}, environment="x")
    assert why_not_now(engine, found, "shop", NOW) == "the digest 2026-W47 was sent to team"
    assert why_not_now(engine, settings(), "shop", NOW) == "there is no channel that gets a digest"
    engine.dispose()


def test_a_secret_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_WEBHOOK_URL", raising=False)
    with pytest.raises(TastemakerError, match="SLACK_WEBHOOK_URL"):
        digest_channels(settings(team={"type": "slack"}))


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_gets_title_and_text(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer() as server:
        monkeypatch.setenv("APPRISE_URL", server.url.replace("http://", "json://") + "/")
        assert outcomes(send(engine, settings(chat={"type": "apprise"}))) == {"chat": "sent"}
    (call,) = server.received
    assert call.json()["title"] == "Weekly digest, shop: week 47, 16 to 22 Nov 2026"
    assert "What to look at" in call.json()["message"]
