"""Slack's incoming webhook on the loopback: validates messages by Block Kit's limits, and keeps them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from support.scripted_http import Answer, Received, ScriptedServer

PATH = "/services/T0SECRET0/B0SECRET0/webhooksecret"
CONTROL = re.compile(r"<(?!https?://[^<>|]+\|[^<>|]+>)")
"""A < that begins no link: a mention such as <!channel>, or text that was not escaped."""


class SlackServer(ScriptedServer):
    """A workspace with one webhook. `messages` has what is shown in its channel."""

    def __init__(self, certificates: Path | None = None, port: int = 0) -> None:
        super().__init__(certificates, port)
        self.messages: list[dict[str, Any]] = []

    @property
    def webhook_url(self) -> str:
        return self.url + PATH

    def answer(self, request: Received) -> Answer:
        if request.path != PATH:
            return Answer(404, body=b"no_service")
        try:
            message = json.loads(request.body)
        except ValueError:
            return Answer(400, body=b"invalid_payload")
        if not message.get("text"):
            return Answer(400, body=b"missing_text_or_fallback_or_attachments")
        if invalid_blocks(message):
            return Answer(400, body=b"invalid_blocks")
        self.messages.append(message)
        return Answer(200, body=b"ok")


def invalid_blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks that are over a limit or have text that Slack reads as a mention."""
    blocks = message["blocks"]
    return [block for place, block in enumerate(blocks) if place >= 50 or _is_invalid(block)]


def shown(message: dict[str, Any]) -> str:
    """Return all texts of a message, as Slack's markup."""
    return "\n".join(_text(block) for block in message["blocks"])


def _text(block: dict[str, Any]) -> str:
    parts = [block["text"]] if "text" in block else block["elements"]
    return "\n".join(part["text"] for part in parts)


def _is_invalid(block: dict[str, Any]) -> bool:
    text = _text(block)
    if block["type"] == "header":
        return not (block["text"]["type"] == "plain_text" and 0 < len(text) <= 150)
    is_known = block["type"] in ("section", "context")
    return not (is_known and 0 < len(text) <= 3_000 and not CONTROL.search(text))
