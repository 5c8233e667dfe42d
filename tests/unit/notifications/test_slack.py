"""Slack: blocks within its limits, and no text that Slack would read as a mention or a link."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.notifications import REQUESTS, notification
from support.slack_server import SlackServer, invalid_blocks, shown
from tastemaker.channel_settings import SlackChannelSettings
from tastemaker.notifications.notification import Link
from tastemaker.notifications.slack import SlackChannel, slack_message


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with SlackServer() as running:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", running.webhook_url)
        yield running


def test_a_message_has_everything_and_links_are_links(server: SlackServer) -> None:
    sent = SlackChannel("chat", SlackChannelSettings(type="slack")).send(notification(after_seconds=95))
    assert sent.outcome == "sent"
    [message] = server.messages
    assert message["text"] == "Firing: ease: 12.5% of lists are not the model's"
    text = shown(message)
    for part in (
        "Firing: ease: 12.5% of lists are not the model's",
        "More than 5 % of the lists",
        "Since 2026-11-29 14:02:10 UTC, for 1 min 35 s",
        "• It began 9 min 10 s after ease 20261129-135300-e828 was promoted.",
        f"`{REQUESTS[0]}`",
        "`tastemaker models rollback --reason 'fallback_share, incident 12'`",
        "<https://docs.shop.example/runbooks/fallback_share.md|Runbook>",
        "[page] fallback_share (tastemaker, ease), incident 12",
    ):
        assert part in text


def test_a_label_cannot_mention_the_whole_channel() -> None:
    message = slack_message(
        notification(
            summary="<!channel> & <@U123>",
            details=("<https://evil.example|click>",),
            links=(Link("a|b>c", "https://a.example/?q=<x>|y"),),
            commands=("echo `id` <!here>",),
        )
    )
    text = shown(message)
    assert "&lt;!channel&gt; &amp; &lt;@U123&gt;" in message["text"]
    assert "<!" not in text.replace("Firing: <!channel>", "")  # the header is plain text
    assert "<https://evil.example" not in text
    assert "<https://a.example/?q=%3Cx%3E%7Cy|a/b&gt;c>" in text
    assert "`echo 'id' &lt;!here&gt;`" in text


ANY = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&|` \n"), max_size=60)
LONG = st.builds(lambda text, times: text * times, ANY, st.sampled_from([1, 1, 1, 300]))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    summary=LONG,
    condition=LONG,
    labels=st.dictionaries(ANY, LONG, max_size=3),
    details=st.lists(LONG, max_size=20).map(tuple),
    commands=st.lists(LONG, max_size=3).map(tuple),
    examples=st.lists(LONG, max_size=3).map(tuple),
    links=st.lists(st.builds(Link, ANY, st.just("https://a.example/x")), max_size=200).map(tuple),
)
def test_every_message_is_accepted(**fields: Any) -> None:
    """Each block is within its limit, and every < begins a link."""
    message = slack_message(notification(**fields))
    assert 0 < len(message["text"]) <= 3_000
    assert invalid_blocks(message) == []
