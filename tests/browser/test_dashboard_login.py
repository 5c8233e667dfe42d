"""Logging in and out with a real browser and the keyboard alone, at a dashboard in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from support import commands
from support.accessibility import axe_findings
from support.browsers import WIDTHS, Browser, browsing, overhang
from support.dashboard_process import dashboard_process
from support.dashboard_users import NAME, PASSWORD

SECRET = {"TASTEMAKER_DASHBOARD_PASSWORD": PASSWORD}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser without a past."""
    with browsing(tmp_path / "browser") as found:
        yield found


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A dashboard with one user, an editor."""
    home = tmp_path / "home"
    home.mkdir()
    commands.done(home, "tastemaker", "users", "add", NAME, "--role", "editor", more=SECRET)
    with dashboard_process(home) as found:
        yield found


def enter(tab: Page, *texts: str) -> None:
    """Type texts, each into the next field, and press Enter."""
    for place, text in enumerate(texts):
        if place:
            tab.keyboard.press("Tab")
        tab.keyboard.type(text)
    tab.keyboard.press("Enter")


def press_until(tab: Page, text: str) -> None:
    """Move the focus forward until it is on an element of that text."""
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.innerText") == text:
            return
    raise AssertionError(f"{text} can't be reached by the keyboard")


def faults(tab: Page) -> list[str]:
    """What axe finds, and what hangs over at the width of a phone and of a screen."""
    found = []
    for width in WIDTHS:
        over = overhang(tab, width)
        found += [f"hangs over by {over} px at {width} px"] if over > 0 else []
        found += [f"{one} at {width} px" for one in axe_findings(tab)]
    return found


def test_a_user_logs_in_and_out_by_the_keyboard(url: str, browser: Browser, tmp_path: Path) -> None:
    said: list[str] = []
    tab = browser.open(f"{url}/models?period=7")
    tab.on("console", lambda message: said.append(message.text))
    assert tab.url == f"{url}/login?next=%2Fmodels%3Fperiod%3D7"
    assert faults(tab) == []
    enter(tab, NAME, "not the password")
    tab.wait_for_selector("[role=alert]")
    assert tab.inner_text("[role=alert]") == "The name or the password is wrong."
    assert faults(tab) == []
    assert tab.evaluate("document.activeElement.name") == "password", "the name is still there"
    enter(tab, PASSWORD)
    tab.wait_for_url(f"{url}/models?period=7")
    assert tab.inner_text(".account span") == NAME
    assert faults(tab) == []
    assert tab.evaluate("document.cookie") == "", "scripts see no cookie"
    press_until(tab, "Log out")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{url}/login")
    tab.goto(f"{url}/models")
    assert tab.url == f"{url}/login?next=%2Fmodels"
    assert browser.foreign == set()
    assert [one for one in said if "status of 403" not in one] == []


def test_a_removed_user_is_out_at_the_next_page(url: str, browser: Browser, tmp_path: Path) -> None:
    tab = browser.open(f"{url}/models")
    enter(tab, NAME, PASSWORD)
    tab.wait_for_url(f"{url}/models")
    commands.done(tmp_path / "home", "tastemaker", "users", "remove", NAME)
    answer = tab.goto(f"{url}/models")
    assert answer is not None
    assert tab.url.startswith(f"{url}/login")
    assert faults(tab) == []
