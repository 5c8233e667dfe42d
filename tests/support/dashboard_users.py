"""A dashboard with users, and browsers that log in to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from tastemaker.dashboard.access import passwords
from tastemaker.dashboard.access.users import add_user
from tastemaker.dashboard.app import application
from tastemaker.dashboard.viewer import Role
from tastemaker.settings import load_settings
from tastemaker.storage.engine import open_engine

NAME, PASSWORD = "Ada Løve", "correct horse battery"
PUBLIC = "http://dashboard.shop.example"
AWAY = "203.0.113.9"
"""Address of a caller on another machine."""


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scrypt be as cheap as it can be."""
    monkeypatch.setattr(passwords, "_N", 2)
    monkeypatch.setattr(passwords, "_P", 1)


class DashboardWithUsers:
    """A dashboard in this process, and its database."""

    def __init__(self, home: Path, database_url: str | None = None, **settings: Any) -> None:
        chosen = {"public_url": PUBLIC} | settings
        self.settings = load_settings(home=home, database_url=database_url, dashboard=chosen)
        self.engine: Engine = open_engine(self.settings.metadata_url)
        self.app = application(self.settings, self.engine)

    def add(self, name: str = NAME, role: Role = Role.VIEWER, **more: Any) -> None:
        """Add a user."""
        add_user(self.engine, name, role, **{"password": PASSWORD} | more)

    def browser(self, address: str = AWAY, base_url: str = PUBLIC) -> TestClient:
        """A browser without cookies, at an address."""
        return TestClient(self.app, base_url=base_url, client=(address, 50_000), follow_redirects=False)

    def logged_in(self, name: str = NAME, address: str = AWAY, base_url: str = PUBLIC) -> TestClient:
        """A browser whose user has logged in."""
        browser = self.browser(address, base_url)
        answer = log_in(browser, name)
        assert answer.status_code == 303, answer.text
        return browser


@contextmanager
def dashboard_with_users(
    home: Path, database_url: str | None = None, **settings: Any
) -> Iterator[DashboardWithUsers]:
    """A dashboard, whose database is closed at the end."""
    found = DashboardWithUsers(home, database_url, **settings)
    try:
        yield found
    finally:
        found.engine.dispose()


def token_of(text: str) -> str:
    """The token in a page's form."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', text)
    assert found is not None, text
    return found[1]


def log_in(
    browser: TestClient, name: str = NAME, password: str = PASSWORD, after: str = "/", **headers: str
) -> Any:
    """Open the form, fill it in and send it."""
    page = browser.get("/login", params={"next": after}, headers=headers)
    fields = {"name": name, "password": password, "next": after, "csrf_token": token_of(page.text)}
    return browser.post("/login", data=fields, headers=headers)
