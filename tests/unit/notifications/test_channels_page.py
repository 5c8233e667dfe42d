"""The documentation's page about channels: messages as they are sent, code and settings that work."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib

import pytest

from support.notifications import notification
from support.repository import ROOT
from support.slack_server import shown
from tastemaker.channel_settings import PAGERDUTY_URL
from tastemaker.notifications.channels import open_channels
from tastemaker.notifications.message_text import plain_text
from tastemaker.notifications.pagerduty import pagerduty_event
from tastemaker.notifications.slack import slack_message
from tastemaker.notifications.webhook import signature
from tastemaker.settings import Settings

PAGE = ROOT / "docs" / "how-to" / "channels.md"
SENT = notification(after_seconds=38)
MESSAGES = {
    "text": plain_text(SENT),
    "slack": shown(slack_message(SENT)),
    "pagerduty": json.dumps(pagerduty_event(SENT, "PAGERDUTY_ROUTING_KEY"), indent=1),
}
BLOCK = r"(<!-- message: {} -->\n```\w+\n)(.*?)(```\n)"


def code(language: str) -> str:
    """Return the page's block in a language."""
    found = re.search(rf"```{language}\n(.*?)```\n", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("name", MESSAGES)
def test_the_page_shows_the_messages_as_they_are_sent(name: str) -> None:
    """To write them again: `UPDATE_DOCS=1 pytest` on this file."""
    page, wanted = PAGE.read_text("utf-8"), MESSAGES[name].rstrip() + "\n"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(
            re.sub(BLOCK.format(name), lambda found: found[1] + wanted + found[3], page, flags=re.DOTALL)
        )
    found = re.search(BLOCK.format(name), PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    assert found[2] == wanted


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_the_settings_are_valid_and_need_the_variables_that_the_page_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = {
        "PAGERDUTY_ROUTING_KEY": "a" * 32,
        "SLACK_WEBHOOK_URL": "https://hooks.slack.example/services/a/b/c",
        "MAIL_USER": "user",
        "MAIL_PASSWORD": "password",
        "ROBOT_SECRET": "secret",
        "APPRISE_URL": "json://127.0.0.1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings(**tomllib.loads(code("toml")))
    assert list(open_channels(settings)) == ["pager", "chat", "mail", "robot", "teams"]
    assert settings.watch.channels_of("page") == ("pager", "mail")
    assert PAGERDUTY_URL.endswith("/v2/enqueue")


def test_the_receivers_code_accepts_what_is_sent_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec(compile(code("python"), str(PAGE), "exec"), names)
    is_genuine = names["is_genuine"]
    assert callable(is_genuine)
    from pydantic import SecretStr

    now, body = int(time.time()), b'{"key": "k"}'

    def headers(at: int) -> dict[str, str]:
        signed = signature(SecretStr("secret"), at, body)
        return {"X-Tastemaker-Timestamp": str(at), "X-Tastemaker-Signature": f"v1={signed}"}

    assert is_genuine("secret", headers(now), body)
    assert not is_genuine("other", headers(now), body)
    assert not is_genuine("secret", headers(now), body + b" ")
    assert not is_genuine("secret", headers(now - 3_600), body)
