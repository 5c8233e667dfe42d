"""Settings of the watch: what they mean, and that mistakes name the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.errors import TastemakerError
from tastemaker.settings import load_settings

CHANNELS = """
[watch.channels.pager]
type = "pagerduty"
[watch.channels.team]
type = "slack"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_names_every_channel_gets_pages_and_tickets(folder: Path) -> None:
    (folder / "tastemaker.toml").write_text(CHANNELS)
    watch = load_settings().watch
    assert watch.channels_of("page") == watch.channels_of("ticket") == ("pager", "team")
    assert watch.channels_of("none") == ()


def test_channels_of_a_severity_can_be_chosen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tastemaker.toml").write_text('[watch]\nticket = ["team"]\n' + CHANNELS)
    monkeypatch.setenv("TASTEMAKER_WATCH__PAGE", "pager")
    watch = load_settings().watch
    assert (watch.channels_of("page"), watch.channels_of("ticket")) == (("pager",), ("team",))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[watch]\npage = ["nowhere"]', ["page has 'nowhere'", "pager, team"]),
        ("[[watch.escalation]]\nafter_seconds = 900\nchannels = ['boss']", ["escalation has 'boss'"]),
        ('[watch]\ntargets = ["shop:3000"]', ["watch.targets", "http://shop:3000"]),
        ("[watch]\ninterval_seconds = 0.1", ["watch.interval_seconds", "greater than or equal to 1"]),
    ],
)
def test_mistakes_are_named_and_no_channel_is_quoted(folder: Path, text: str, parts: list[str]) -> None:
    (folder / "tastemaker.toml").write_text(text + CHANNELS)
    with pytest.raises(TastemakerError) as caught:
        load_settings()
    assert all(part in str(caught.value) for part in parts)
    assert "pagerduty" not in str(caught.value), "a wrong value among the channels may be a secret"


def test_targets_are_addresses_of_services_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_WATCH__TARGETS", "http://a:3000/metrics, http://a:3000/,http://b:3000")
    assert load_settings().watch.targets == ("http://a:3000", "http://b:3000")
