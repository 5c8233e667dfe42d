"""Slack's incoming webhooks, and chats that understand them, such as Mattermost."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from time import monotonic, sleep
from typing import Any

from tastemaker.channel_settings import SlackChannelSettings
from tastemaker.notifications.bulletin import Bulletin
from tastemaker.notifications.http_call import HttpTarget, ReceiverReply, json_body
from tastemaker.notifications.message_text import facts, headline, one_line, shortened, subject, web_links
from tastemaker.notifications.notification import Delivery, Link, Notification
from tastemaker.notifications.secret_values import read_secret_url, secrets_of_url

TEXT_CHARACTERS = 3_000
"""The most characters of a text in a section block."""
HEADER_CHARACTERS = 150
SECTION_CHARACTERS = TEXT_CHARACTERS - 100
"""The most characters of a section below its title."""
PART_CHARACTERS = TEXT_CHARACTERS // 2
BLOCKS = 50
"""The most blocks of a message."""
LINK_CHARACTERS = 500
"""The most characters of a link's address and of its title; with both, it is a part that is never cut."""
SECONDS_PER_MESSAGE = 1.0
"""Slack accepts about one message a second per webhook."""


class SlackChannel:
    """An incoming webhook. A message that is sent again after a timeout may appear twice."""

    def __init__(self, name: str, settings: SlackChannelSettings) -> None:
        """Read the webhook's URL.

        Args:
            name: The channel's name.
            settings: The variable with the URL, and the deadline of an attempt.

        Raises:
            TastemakerError: If the URL is missing or malformed.
        """
        self.name = name
        url = read_secret_url(name, settings.url_variable, is_key=True).get_secret_value()
        self._target = HttpTarget(url, settings.timeout_seconds, tuple(secrets_of_url(url)))
        self._lock, self._next_at = Lock(), 0.0

    def send(self, notification: Notification) -> Delivery:
        """Post one message, a second after the one before at the earliest."""
        return self._post(slack_message(notification))

    def send_bulletin(self, bulletin: Bulletin) -> Delivery:
        """Post a bulletin, a second after the message before at the earliest."""
        return self._post(slack_bulletin(bulletin))

    def _post(self, message: dict[str, Any]) -> Delivery:
        with self._lock:
            wait = self._next_at - monotonic()
            if wait > 0:
                sleep(wait)
            self._next_at = monotonic() + SECONDS_PER_MESSAGE
        return self._target.send(json_body(message), {}, _refusal)


def slack_message(notification: Notification) -> dict[str, Any]:
    """Return the message as blocks, with the headline as the text of push messages."""
    sections = [
        _joined(map(escaped, facts(notification)), "\n"),
        _joined((f"• {escaped(one_line(detail))}" for detail in notification.details), "\n"),
        _titled("Requests to look at:", _joined(map(_code, notification.examples), " ")),
        _titled("Commands:", _joined(map(_code, notification.commands), "\n")),
        _joined((_link(link) for link in web_links(notification)), " · "),
    ]
    top = headline(notification)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": shortened(top, HEADER_CHARACTERS)}}
    ]
    if len(top) > HEADER_CHARACTERS:
        sections.insert(0, _cut(escaped(top)))
    blocks += [
        {"type": "section", "text": {"type": "mrkdwn", "text": section}}
        for section in sections
        if section.strip()
    ]
    name = _cut(escaped(subject(notification)))
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": name}]})
    return {"text": _cut(escaped(top)), "blocks": blocks}


def slack_bulletin(bulletin: Bulletin) -> dict[str, Any]:
    """Return a bulletin as blocks, one per section; a long one loses its last lines."""
    top = one_line(bulletin.subject)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": shortened(top, HEADER_CHARACTERS)}}
    ]
    blocks += [
        {"type": "section", "text": {"type": "mrkdwn", "text": text}}
        for section in bulletin.sections[: BLOCKS - 1]
        if (text := _joined(map(escaped, section.split("\n")), "\n")).strip()
    ]
    return {"text": _cut(escaped(top)), "blocks": blocks}


def escaped(text: str) -> str:
    """Return text with Slack's three control characters as entities: no label can mention @channel.

    >>> escaped("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _titled(title: str, text: str) -> str:
    return f"{title} {text}" if text else ""


def _joined(parts: Iterable[str], separator: str) -> str:
    """Return as many whole parts as a block may have."""
    kept, length = [], 0
    for part in map(_cut, parts):
        length += len(part) + len(separator)
        if length > SECTION_CHARACTERS:
            break
        kept.append(part)
    return separator.join(kept)


def _cut(text: str) -> str:
    """Return text of at most half of what a block may have, cut between words and never inside an entity."""
    if len(text) <= PART_CHARACTERS:
        return text
    kept = text[: PART_CHARACTERS - 1]
    border = kept.rfind(" ")
    if border <= 0:
        border = kept.rfind("&", len(kept) - 5)
    return kept[: border if border > 0 else len(kept)] + "…"


def _code(text: str) -> str:
    return f"`{escaped(one_line(text)).replace('`', chr(39))}`"


def _link(link: Link) -> str:
    url = link.url.replace("&", "&amp;").replace("|", "%7C").replace("<", "%3C").replace(">", "%3E")
    title = escaped(shortened(one_line(link.title), LINK_CHARACTERS)).replace("|", "/") or "link"
    return f"<{url}|{title}>" if len(url) <= LINK_CHARACTERS else ""


def _refusal(reply: ReceiverReply) -> str | None:
    return None if reply.text.lower() == "ok" else "the answer is not Slack's"
