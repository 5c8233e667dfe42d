"""Limits of logins: passwords can't be guessed, and no attacker locks a user out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.dashboard_users import (
    AWAY,
    NAME,
    PASSWORD,
    PUBLIC,
    DashboardWithUsers,
    dashboard_with_users,
    log_in,
    token_of,
)
from support.dashboard_users import quick_hashes as quick_hashes
from tastemaker.dashboard.access.cookies import BROWSER
from tastemaker.dashboard.access.login import WRONG, own_path
from tastemaker.dashboard.access.login_limits import BROWSER_SECONDS, PER_PAIR, PER_USER, LoginLimits

KEY = b"k" * 64
HOUR = 3_600.0


class Clock:
    """The clock of the meters."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("tastemaker.util.rate_limit.time.monotonic", found)
    return found


@pytest.fixture
def limits(tmp_path: Path, clock: Clock) -> LoginLimits:
    return LoginLimits(tmp_path, KEY)


def test_one_address_has_a_few_attempts_at_a_user_and_then_one_a_minute(
    limits: LoginLimits, clock: Clock
) -> None:
    waits = [limits.wait(AWAY, "ada", None) for _ in range(PER_PAIR.burst + 2)]
    assert waits == [0] * PER_PAIR.burst + [pytest.approx(60), pytest.approx(60)]
    clock.now += 61
    assert [limits.wait(AWAY, "ada", None) > 0 for _ in range(2)] == [False, True]


def test_an_attacker_at_one_address_does_not_delay_the_user_elsewhere(
    limits: LoginLimits, clock: Clock
) -> None:
    for _ in range(1_000):
        limits.wait(AWAY, "ada", None)
        clock.now += 1
        if clock.now % 100 == 0:
            assert limits.wait(f"198.51.100.{int(clock.now) % 250}", "ada", None) == 0


def test_attackers_at_many_addresses_do_not_delay_a_known_browser(limits: LoginLimits, clock: Clock) -> None:
    known = limits.browser_cookie("ada")
    for number in range(2_000):
        limits.wait(f"10.{number % 200}.{number // 200}.1", "ada", None)
        clock.now += 0.47
    waits = [limits.wait(f"198.51.100.{number}", "ada", None) for number in range(2)]
    assert waits[-1] > 0, "browsers that are not known wait"
    assert limits.wait(AWAY, "ada", known) == 0


@pytest.mark.slow
def test_guesses_at_one_user_from_everywhere_are_limited(limits: LoginLimits, clock: Clock) -> None:
    allowed = 0
    for number in range(50_000):
        allowed += limits.wait(f"10.{number % 250}.{number // 250}.1", "ada", None) == 0
        clock.now += HOUR / 50_000
    assert allowed <= HOUR * PER_USER.per_second + PER_USER.burst + 1


def test_many_names_from_one_address_are_limited(limits: LoginLimits) -> None:
    assert sum(limits.wait(AWAY, f"user {number}", None) == 0 for number in range(500)) == 30


def test_a_known_browser_is_known_for_its_user_alone_and_has_its_own_limit(
    limits: LoginLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = limits.browser_cookie("ada")
    for _ in range(PER_PAIR.burst):
        limits.wait(AWAY, "grace", None)
        limits.wait(AWAY, "ada", None)
    for forged in (known, "x", "", known[:-1], LoginLimits(tmp_path, b"x" * 64).browser_cookie("grace")):
        assert limits.wait(AWAY, "grace", forged) > 0, forged
    assert [limits.wait(AWAY, "ada", known) > 0 for _ in range(11)] == [False] * 10 + [True]
    now = 10_000_000_000.0
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + BROWSER_SECONDS)
    assert limits.wait(AWAY, "ada", limits.browser_cookie("ada")) == 0
    assert limits.wait(AWAY, "ada", known) > 0, "it has expired"


@pytest.fixture
def site(tmp_path: Path, quick_hashes: None, clock: Clock) -> Iterator[DashboardWithUsers]:
    """A dashboard with one user."""
    with dashboard_with_users(tmp_path) as found:
        found.add()
        yield found


def test_wrong_names_and_wrong_passwords_have_the_same_answer(site: DashboardWithUsers) -> None:
    pages = set()
    for name in (NAME, "eve", "\u202eeve", "x" * 5_000):
        answer = log_in(site.browser(f"198.51.100.{len(name) % 200}"), name, "wrong" * 4)
        assert (answer.status_code, WRONG in answer.text) == (403, True)
        text = answer.text.replace(name[:100], "NAME")
        pages.add(text.replace(token_of(text), "TOKEN"))
    assert len(pages) == 1, "the same page, but for the name that was entered"


def test_too_many_attempts_are_answered_the_same_for_any_name(site: DashboardWithUsers) -> None:
    for name in (NAME, "eve"):
        browser = site.browser()
        for _ in range(PER_PAIR.burst):
            assert log_in(browser, name, "wrong" * 4).status_code == 403
        answer = log_in(browser, name, PASSWORD)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        assert "Try again in 60 seconds." in answer.text


@pytest.mark.slow
def test_a_user_under_attack_logs_in_with_a_browser_that_is_known(site: DashboardWithUsers) -> None:
    browser = site.logged_in()
    for number in range(300):
        attacker = site.browser(f"10.0.{number % 100}.1")
        page = attacker.get("/login")
        fields = {"name": NAME, "password": "wrong" * 4, "csrf_token": token_of(page.text)}
        attacker.post("/login", data=fields)
    assert log_in(site.browser("198.51.100.77")).status_code == 429
    known = site.browser("198.51.100.78")
    known.cookies.set(BROWSER, browser.cookies[BROWSER], domain="dashboard.shop.example", path="/")
    assert log_in(known).status_code == 303


@pytest.mark.parametrize(
    "password", ["", "x", PASSWORD + " ", PASSWORD.upper(), "p" * 60_000, PASSWORD + "\0"]
)
def test_another_password_is_wrong(site: DashboardWithUsers, password: str) -> None:
    assert log_in(site.browser(), NAME, password).status_code == 403


def test_a_user_without_a_password_does_not_log_in_here(site: DashboardWithUsers) -> None:
    site.add("alan", password=None)
    for password in ("", "None", PASSWORD):
        assert log_in(site.browser(), "alan", password).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
     "/\t/evil.example", "\t//evil.example", " //evil.example", "javascript:alert(1)", "evil.example", "",
     "/a\r\nSet-Cookie: x=1", "http:/evil.example", "//[::1", "/" + "a" * 3_000, "/login", "/logout",
     "/login?next=/login", "https:evil.example", "/a\\..\\b"],
)  # fmt: skip
def test_a_login_never_leads_elsewhere(site: DashboardWithUsers, path: str) -> None:
    assert own_path(path) == "/"
    answer = log_in(site.browser(), after=path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert site.logged_in().get("/login", params={"next": path}).headers["location"] == "/"


@pytest.mark.parametrize(
    "path", ["/models?period=7", "/alerts/12", "/models?model=%C3%A4&x=https://a.example"]
)
def test_a_login_leads_to_the_page_that_was_asked_for(path: str) -> None:
    assert own_path(path) == path


def test_the_form_keeps_the_name_and_escapes_it(site: DashboardWithUsers) -> None:
    answer = log_in(site.browser(), '"><script>alert(1)</script>', "wrong" * 4)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert PUBLIC not in answer.text
