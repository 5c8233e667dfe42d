"""While the database is away, users who were there shortly before stay, and no page is opened."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import anyio
import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from support.dashboard_users import AWAY, NAME, DashboardWithUsers, dashboard_with_users, log_in, token_of
from support.dashboard_users import quick_hashes as quick_hashes
from tastemaker.dashboard.access import last_answers
from tastemaker.dashboard.access.last_answers import ANSWER_SECONDS, RETRY_SECONDS, DatabaseAway, LastAnswers

pytestmark = pytest.mark.usefixtures("quick_hashes")
PAGE = "/models"


class Clock:
    """The clock by which answers grow old."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("tastemaker.dashboard.access.last_answers.time.monotonic", found)
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DashboardWithUsers]:
    with dashboard_with_users(tmp_path) as found:
        yield found


def take_away(site: DashboardWithUsers, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> NoReturn:
        raise OperationalError("SELECT 1", {}, Exception("connection refused: postgresql://u:secret@db"))

    monkeypatch.setattr(site.engine, "connect", away)
    monkeypatch.setattr(site.engine, "begin", away)


def test_sessions_that_were_checked_lately_stay_for_a_minute(
    site: DashboardWithUsers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add()
    browser, other = site.logged_in(), site.logged_in()
    assert browser.get(PAGE).status_code == 200
    take_away(site, monkeypatch)
    clock.now += ANSWER_SECONDS - 1
    assert browser.get("/login").status_code == 303, "known as logged in"
    clock.now += 2
    for one in (browser, other):
        answer = one.get(PAGE)
        assert answer.status_code == 503
        assert "The database does not answer" in answer.text
        assert "Traceback" not in answer.text
        assert "secret" not in answer.text
        assert answer.headers["retry-after"] == "5"
    assert other.get("/static/dashboard.css").status_code == 200


def test_this_machine_is_not_answered_if_there_may_be_users(
    site: DashboardWithUsers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(site, monkeypatch)
    assert site.browser("127.0.0.1", "http://127.0.0.1").get(PAGE).status_code == 503


def test_a_login_and_a_logout_need_the_database(
    site: DashboardWithUsers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add()
    browser, new = site.logged_in(), site.browser()
    token = token_of(browser.get(PAGE).text)
    page = new.get("/login")
    take_away(site, monkeypatch)
    fields = {"name": NAME, "password": "x", "csrf_token": token_of(page.text)}
    assert new.post("/login", data=fields).status_code == 503
    clock.now += RETRY_SECONDS
    assert browser.post("/logout", data={"csrf_token": token}).status_code == 503


def test_it_is_asked_again_after_a_second(
    site: DashboardWithUsers, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add()
    browser = site.logged_in()
    with monkeypatch.context() as patch:
        take_away(site, patch)
        assert browser.get("/nothing").status_code == 503
    assert browser.get(PAGE).status_code == 503, "asked less than a second ago"
    clock.now += RETRY_SECONDS
    assert browser.get(PAGE).status_code == 200
    assert log_in(site.browser(AWAY)).status_code == 303


def engine() -> Engine:
    return create_engine("sqlite://")


def test_a_database_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_answers, "DEADLINE_SECONDS", 0.05)
    answers, ends = LastAnswers(engine()), threading.Event()

    async def ask() -> None:
        assert await answers.ask("one", lambda _: 1) == 1
        with pytest.raises(DatabaseAway):
            await answers.ask("two", lambda _: ends.wait(20))
        assert await answers.ask("one", lambda _: 2) == 1, "the last answer"
        ends.set()

    anyio.run(ask)


def test_the_newest_answer_counts_and_a_dropped_one_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_answers, "_MOST_ANSWERS", 2)
    answers, numbers = LastAnswers(engine()), itertools.count(1)

    def broken(connection: Connection) -> NoReturn:
        connection.execute(text("SELECT * FROM nowhere"))
        raise AssertionError

    async def ask() -> None:
        for question in ("a", "b", "b", "c"):
            await answers.ask(question, lambda _: next(numbers))
        answers.drop("c")
        for gone in ("a", "c"):
            with pytest.raises(DatabaseAway):
                await answers.ask(gone, broken)
        assert await answers.ask("b", broken) == 3

    anyio.run(ask)
