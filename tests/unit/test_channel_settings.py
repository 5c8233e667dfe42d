"""Settings of channels: what is refused, and that no message repeats a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tastemaker.channel_settings import ChannelSettings, EmailChannelSettings, PagerDutyChannelSettings
from tastemaker.errors import TastemakerError
from tastemaker.settings import described, load_settings

MAIL = {"type": "email", "host": "mail", "sender": "a@shop.example", "recipients": ["b@shop.example"]}


class Watch(BaseModel):
    channels: dict[str, ChannelSettings]


class Whole(BaseModel):
    watch: Watch


def refused(given: Any) -> str:
    """Return the message for one channel's wrong settings."""
    with pytest.raises(ValidationError) as error:
        Whole.model_validate({"watch": {"channels": {"one": given}}})
    return described(error.value, Whole)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "sms"}, "'pagerduty', 'slack', 'email', 'webhook', 'apprise'"),
        ({"key_variable": "KEY"}, "Unable to extract tag"),
        ({"type": "pagerduty", "url": "http://pager.example/v2"}, "must begin with https://"),
        ({"type": "pagerduty", "url": "https://me:secret@pager.example"}, "must not contain a user"),
        ({"type": "pagerduty", "timeout_seconds": 61}, "less than or equal to 60"),
        ({"type": "slack", "url_variable": "https://hooks.example/T0/secret"}, "should match pattern"),
        ({"type": "webhook"}, "either url or url_variable"),
        ({"type": "webhook", "url": "https://a.example", "url_variable": "B"}, "either url or url_variable"),
        ({"type": "webhook", "url": "ftp://a.example"}, "must be a URL such as"),
        ({"type": "webhook", "url": "https://a.example/\r\nX: y"}, "must be a URL such as"),
        (MAIL | {"user_variable": "MAIL_USER"}, "go together"),
        (
            MAIL | {"security": "none", "user_variable": "MAIL_USER", "password_variable": "MAIL_PASSWORD"},
            "not sent in clear text",
        ),
        (MAIL | {"recipients": []}, "at least 1"),
        (MAIL | {"recipients": ["b@shop.example\r\nBcc: c@shop.example"]}, "should match pattern"),
    ],
)
def test_wrong_settings_are_refused_in_words(given: dict[str, Any], message: str) -> None:
    assert message in refused(given)


@pytest.mark.parametrize(
    "given",
    [
        {"type": "pagerduty", "routing_key": "hunter2"},
        {"type": "pagerduty", "key_variable": "hunter2"},
        {"type": "slack", "url_variable": "https://hooks.example/hunter2"},
        {"type": "email", "password": "hunter2"},
        {"routing_key": "hunter2"},
        "hunter2",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(given: Any) -> None:
    assert "hunter2" not in refused(given)


def test_a_channel_needs_its_type_and_what_has_no_default() -> None:
    channels = Whole.model_validate(
        {"watch": {"channels": {"pager": {"type": "pagerduty"}, "mail": MAIL}}}
    ).watch.channels
    assert isinstance(channels["pager"], PagerDutyChannelSettings)
    assert channels["pager"].url == "https://events.pagerduty.com/v2/enqueue"
    assert isinstance(channels["mail"], EmailChannelSettings)
    assert channels["mail"].recipients == ("b@shop.example",)


@pytest.mark.parametrize("name", ["heartbeat_url", "heartbeat_fail_url"])
def test_the_address_of_a_dead_mans_switch_is_not_repeated(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"TASTEMAKER_WATCH__{name.upper()}", "hc.example/hunter2")
    with pytest.raises(TastemakerError, match=rf"watch\.{name}: must be a URL") as error:
        load_settings()
    assert "hunter2" not in str(error.value)
