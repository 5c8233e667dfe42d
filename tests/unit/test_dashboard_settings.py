"""Settings of the dashboard: mistakes that would open it are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastemaker.errors import TastemakerError
from tastemaker.settings import load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_DASHBOARD__TRUSTED_PROXIES", "10.0.0.7, 10.1.0.0/16, 2001:db8::/64")
    monkeypatch.setenv("TASTEMAKER_DASHBOARD__USER_HEADER", "X-Forwarded-User")
    monkeypatch.setenv("TASTEMAKER_DASHBOARD__PUBLIC_URL", "https://dashboard.shop.example/")
    found = load_settings().dashboard
    assert found.trusted_proxies == ("10.0.0.7", "10.1.0.0/16", "2001:db8::/64")
    assert (found.user_header, found.default_role) == ("X-Forwarded-User", None)
    assert found.public_url == "https://dashboard.shop.example"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('user_header = "X-User"', "user_header needs trusted_proxies"),
        ('default_role = "viewer"', "default_role needs user_header"),
        ('trusted_proxies = ["proxy.example"]', "'proxy.example' is not an address or a network"),
        ('trusted_proxies = ["0.0.0.0/0"]', "'0.0.0.0/0' has every address"),
        ('trusted_proxies = ["::/0"]', "'::/0' has every address"),
        ('user_header = "X User"', "dashboard.user_header"),
        ('user_header = "X-User"\ntrusted_proxies = ["10.0.0.1"]\ndefault_role = "admin"', "default_role"),
        ('public_url = "dashboard.shop.example"', "must be a URL"),
    ],
)
def test_a_mistake_is_named(folder: Path, text: str, part: str) -> None:
    (folder / "tastemaker.toml").write_text(f"[dashboard]\n{text}")
    with pytest.raises(TastemakerError) as caught:
        load_settings()
    assert part in str(caught.value)
