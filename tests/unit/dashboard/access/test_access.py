"""Who is answered: hosts, origins, users, roles and tokens, over HTTP."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import event, update
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from support.dashboard_users import (
    AWAY,
    NAME,
    PASSWORD,
    PUBLIC,
    DashboardWithUsers,
    dashboard_with_users,
    log_in,
    quick_hashes,
    token_of,
)
from tastemaker.dashboard.access.cookies import SESSION
from tastemaker.dashboard.access.middleware import MOST_BODY_BYTES
from tastemaker.dashboard.access.sessions import SESSION_SECONDS, Sessions
from tastemaker.dashboard.access.users import remove_user, set_role
from tastemaker.dashboard.content import PageContent
from tastemaker.dashboard.page import DashboardPage, PageAction
from tastemaker.dashboard.pages import PAGES
from tastemaker.dashboard.viewer import Role
from tastemaker.storage.tables import dashboard_sessions, dashboard_users
from tastemaker.util.request_origin import PROXY_HEADERS

__all__ = ["quick_hashes"]
pytestmark = pytest.mark.usefixtures("quick_hashes")
LOCAL = "http://127.0.0.1:9280"
PAGE = "/models"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DashboardWithUsers]:
    """A dashboard without users."""
    with dashboard_with_users(tmp_path) as found:
        yield found


@pytest.mark.parametrize("base_url", [LOCAL, "http://localhost", "http://[::1]:9280"])
def test_without_users_this_machine_is_answered(site: DashboardWithUsers, base_url: str) -> None:
    browser = site.browser("127.0.0.1", base_url)
    page = browser.get(PAGE)
    assert page.status_code == 200
    assert "this machine" in page.text
    assert "Log out" not in page.text, "there is no session that could end"
    assert browser.get("/login").headers["location"] == "/"


@pytest.mark.parametrize(
    ("address", "base_url", "headers"),
    [
        (AWAY, PUBLIC, {}),
        (AWAY, LOCAL, {}),
        ("127.0.0.1", PUBLIC, {}),
        *(("127.0.0.1", LOCAL, {name: "127.0.0.1"}) for name in PROXY_HEADERS),
    ],
)
def test_without_users_no_other_caller_is_answered(
    site: DashboardWithUsers, address: str, base_url: str, headers: dict[str, str]
) -> None:
    browser = site.browser(address, base_url)
    for path in (PAGE, "/login", "/", "/nothing"):
        answer = browser.get(path, headers=headers)
        assert answer.status_code == 403
        assert "tastemaker users add" in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "dashboard.shop.example.evil.example", "", "localhost.", "[::1"]
)
@pytest.mark.parametrize("path", [PAGE, "/login", "/"])
def test_a_name_that_is_not_the_dashboards_is_refused(site: DashboardWithUsers, host: str, path: str) -> None:
    """A page of another site may lead its own name here (DNS rebinding)."""
    answer = site.browser("127.0.0.1", LOCAL).get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "dashboard.public_url" in answer.text


def test_with_the_first_user_this_machine_logs_in_too(site: DashboardWithUsers) -> None:
    browser = site.browser("127.0.0.1", LOCAL)
    assert browser.get(PAGE).status_code == 200
    site.add()
    answer = browser.get(f"{PAGE}?period=7")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fmodels%3Fperiod%3D7")


def test_every_page_and_file_needs_a_login(site: DashboardWithUsers) -> None:
    site.add()
    browser = site.browser()
    for page in PAGES:
        path = page.path.replace("{number:int}", "1")
        for asked in (path, f"/blocks{path}/versions.csv", f"/blocks{path}/versions.json"):
            assert browser.get(asked).headers.get("location", "").startswith("/login?next="), asked
        for action in page.actions:
            assert browser.post(f"{path}/{action.name}").status_code == 401
    assert browser.get("/static/dashboard.css").status_code == 200
    assert browser.get("/healthz").json() == {"status": "ok"}


def test_after_a_login_the_page_that_was_asked_for_is_shown(site: DashboardWithUsers) -> None:
    site.add()
    browser = site.browser()
    answer = log_in(browser, after=f"{PAGE}?period=7")
    assert (answer.status_code, answer.headers["location"]) == (303, "/models?period=7")
    page = browser.get(f"{PAGE}?period=7")
    assert page.status_code == 200
    assert NAME in page.text
    assert browser.get("/login?next=/alerts").headers["location"] == "/alerts"


def test_logging_out_ends_the_session_for_its_copies_too(site: DashboardWithUsers) -> None:
    site.add()
    browser, other = site.logged_in(), site.logged_in()
    thief = site.browser()
    thief.cookies.update(browser.cookies)
    assert thief.get(PAGE).status_code == 200
    answer = browser.post("/logout", data={"csrf_token": token_of(browser.get(PAGE).text)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    for gone in (browser, thief):
        assert gone.get(PAGE).status_code == 303
    assert other.get(PAGE).status_code == 200, "another session of the same user"


def test_a_change_of_the_user_ends_the_session_at_the_next_request(site: DashboardWithUsers) -> None:
    site.add()
    browser = site.logged_in()
    set_role(site.engine, NAME, Role.EDITOR)
    assert browser.get(PAGE).status_code == 303
    browser = site.logged_in()
    remove_user(site.engine, NAME)
    assert browser.get(PAGE).status_code != 200


def test_an_emptied_table_of_users_does_not_open_the_dashboard(site: DashboardWithUsers) -> None:
    site.add()
    browser = site.browser("127.0.0.1", LOCAL)
    assert browser.get(PAGE).status_code == 303
    with site.engine.begin() as connection:
        connection.execute(dashboard_users.delete())
    assert browser.get(PAGE).status_code == 303


def tampered(cookie: str) -> Iterator[str]:
    """Cookies that were not given out."""
    session, stamp, signature = cookie.split(".")
    yield from ("x", ".", "..", session, f"{session}.{stamp}", f"{session}.{stamp}.", f".{stamp}.{signature}")
    yield f"{'0' * 64}.{stamp}.{signature}"
    yield f"{session}.{stamp[:-1]}{'A' if stamp[-1] != 'A' else 'B'}.{signature}"
    yield f"{session}.{stamp}.{signature[::-1]}"
    yield f"{session}.{stamp}.{signature}.{signature}"
    yield secrets.token_hex(32)
    yield "A" * 7_000
    yield "%00'--"


def test_a_forged_cookie_is_not_a_login_and_does_not_reach_the_database(site: DashboardWithUsers) -> None:
    site.add()
    cookie = site.logged_in().cookies[SESSION]
    questions: list[str] = []
    event.listen(site.engine, "before_cursor_execute", lambda *given: questions.append(given[2]))
    for forged in tampered(cookie):
        answer = site.browser().get(PAGE, headers={"Cookie": f"{SESSION}={forged}"})
        assert answer.status_code == 303, forged
    assert not [one for one in questions if "dashboard_sessions" in one]


def test_a_cookie_of_another_kind_or_home_is_not_a_session(site: DashboardWithUsers, tmp_path: Path) -> None:
    site.add()
    browser = site.logged_in()
    known = browser.cookies["tastemaker_browser"]
    assert site.browser().get(PAGE, headers={"Cookie": f"{SESSION}={known}"}).status_code == 303
    session_id = browser.cookies[SESSION].split(".")[0]
    foreign = Sessions(b"k" * 64).cookie(session_id)
    assert site.browser().get(PAGE, headers={"Cookie": f"{SESSION}={foreign}"}).status_code == 303


@pytest.mark.parametrize(
    ("seconds", "status"), [(SESSION_SECONDS - 60, 200), (SESSION_SECONDS + 60, 303), (-86_400, 303)]
)
def test_a_session_ends_after_twelve_hours_and_if_the_clock_is_set_back(
    site: DashboardWithUsers, monkeypatch: pytest.MonkeyPatch, seconds: float, status: int
) -> None:
    site.add()
    browser = site.logged_in()
    headers = {"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}  # a thief's does not expire by itself
    now = time.time() + seconds
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now)
    assert site.browser().get(PAGE, headers=headers).status_code == status


def test_the_row_of_a_session_ends_too(site: DashboardWithUsers) -> None:
    site.add()
    browser = site.logged_in()
    with site.engine.begin() as connection:
        connection.execute(update(dashboard_sessions).values(ends_at=datetime.now(UTC)))
    assert browser.get(PAGE).status_code == 303


def test_cookies_are_kept_from_scripts_and_other_sites(site: DashboardWithUsers) -> None:
    site.add()
    answer = log_in(site.browser())
    set_cookies = answer.headers.get_list("set-cookie")
    assert len(set_cookies) == 3
    for one in set_cookies:
        assert "HttpOnly" in one
        assert "SameSite=lax" in one
        assert "Path=/" in one
        assert "Secure" not in one, "the test's connection is not encrypted"
    session = next(one for one in set_cookies if one.startswith(SESSION))
    assert "Max-Age=43200" in session


@pytest.mark.parametrize("how", ["scheme", "proxy", "public_url"])
def test_over_https_cookies_never_leave_the_encrypted_connection(tmp_path: Path, how: str) -> None:
    secure = "https://dashboard.shop.example"
    settings = {"public_url": secure} if how == "public_url" else {"trusted_proxies": ["10.0.0.0/8"]}
    with dashboard_with_users(tmp_path, **settings) as site:
        site.add()
        browser = site.browser("10.1.2.3", secure if how == "scheme" else PUBLIC)
        headers = {"X-Forwarded-Proto": "https"} if how == "proxy" else {}
        page = browser.get("/login", headers=headers)
        (form,) = page.headers.get_list("set-cookie")
        cookie = form.split(";")[0]
        fields = {"name": NAME, "password": PASSWORD, "csrf_token": token_of(page.text)}
        answer = browser.post("/login", data=fields, headers=headers | {"Cookie": cookie})
        assert answer.status_code == 303
        for one in answer.headers.get_list("set-cookie"):
            assert one.startswith("__Host-tastemaker_")
            assert "Secure" in one


EVIL = {"Origin": "https://evil.example"}


@pytest.mark.parametrize(
    "headers",
    [EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
     EVIL | {"Sec-Fetch-Site": "same-origin"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_a_form_of_another_site_is_refused(
    site: DashboardWithUsers, headers: dict[str, str], path: str
) -> None:
    site.add()
    browser = site.logged_in()
    token = token_of(browser.get(PAGE).text)
    answer = browser.post(path, data={"csrf_token": token}, headers=headers)
    assert answer.status_code == 403
    assert browser.get(PAGE).status_code == 200, "the session is still valid"


def test_a_form_needs_the_token_of_its_own_session(site: DashboardWithUsers) -> None:
    site.add()
    site.add("grace")
    browser, other, outside = site.logged_in(), site.logged_in("grace"), site.browser()
    before = token_of(outside.get("/login").text)
    for token in (None, "", "x", token_of(other.get(PAGE).text), before, "ä" * 100):
        fields = {} if token is None else {"csrf_token": token}
        answer = browser.post("/logout", data=fields)
        assert (answer.status_code, "has expired" in answer.text) == (403, True), token
    assert browser.get(PAGE).status_code == 200
    token = token_of(browser.get(PAGE).text)
    assert browser.post("/logout", headers={"X-CSRF-Token": token}).status_code == 303


def test_the_login_form_needs_the_token_of_its_own_browser(site: DashboardWithUsers) -> None:
    """Else another site could log its reader in as another user."""
    site.add()
    attacker, victim = site.browser(), site.browser()
    fields = {"name": NAME, "password": PASSWORD, "csrf_token": token_of(attacker.get("/login").text)}
    assert victim.post("/login", data=fields).status_code == 403, "without a cookie"
    victim.get("/login")
    assert victim.post("/login", data=fields).status_code == 403
    assert attacker.post("/login", data=fields).status_code == 303


def test_a_long_form_is_refused(site: DashboardWithUsers) -> None:
    site.add()
    browser = site.logged_in()
    answer = browser.post("/logout", content=b"csrf_token=" + b"x" * MOST_BODY_BYTES)
    assert answer.status_code == 413
    fields = "&".join("a=1" for _ in range(2_000))
    assert browser.post("/logout", content=fields.encode()).status_code == 403


def test_every_answer_has_the_security_headers(site: DashboardWithUsers) -> None:
    site.add()
    browser, outside = site.logged_in(), site.browser()
    answers = [browser.get(PAGE), browser.get("/nothing"), outside.get(PAGE), outside.get("/login"),
               outside.post("/logout"), browser.get(PAGE, headers={"Host": "evil.example"}),
               outside.get("/static/dashboard.css"), outside.get("/static/nothing")]  # fmt: skip
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert browser.get(PAGE).headers["cache-control"] == "no-store"


def test_a_fault_of_the_program_is_a_page_with_the_headers(
    site: DashboardWithUsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("tastemaker.dashboard.app.DashboardReader.rows", fail)
    browser = TestClient(site.app, base_url=LOCAL, client=("127.0.0.1", 5), raise_server_exceptions=False)
    answer = browser.get(PAGE)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_websocket_is_closed(site: DashboardWithUsers) -> None:
    with pytest.raises(WebSocketDisconnect), site.browser("127.0.0.1", LOCAL).websocket_connect(PAGE):
        pass


def knob() -> DashboardPage:
    """A page with forms for editors and admins."""

    def turned(*given: Any) -> str:
        return f"/turned-by-{given[3].name}"

    actions = [PageAction(role.word, turned, role) for role in Role]
    return DashboardPage("/knob", "Knob", "?", lambda *_: PageContent("Yes.", None), actions=actions)


def ids() -> DashboardPage:
    """A page with user ids."""
    content = PageContent("user-17", None)
    return DashboardPage("/ids", "Ids", "?", lambda *_: content, needs_user_ids=True)


@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_what_those_before_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    monkeypatch.setattr("tastemaker.dashboard.app.PAGES", (knob(),))
    with dashboard_with_users(tmp_path) as site:
        site.add("ada", role)
        browser = site.logged_in("ada")
        token = token_of(browser.get("/knob").text)
        for needed in Role:
            answer = browser.post(f"/knob/{needed.word}", data={"csrf_token": token})
            if needed <= role:
                assert (answer.status_code, answer.headers["location"]) == (303, "/turned-by-ada")
            else:
                assert answer.status_code == 403
                assert f"Your role is {role.word}; this needs {needed.word}." in answer.text
            assert browser.post(f"/knob/{needed.word}").status_code == 403, "without a token"


@pytest.mark.parametrize("may_see_users", [False, True])
@pytest.mark.parametrize("role", Role)
def test_user_ids_need_a_right_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role, may_see_users: bool
) -> None:
    monkeypatch.setattr("tastemaker.dashboard.app.PAGES", (knob(), ids()))
    with dashboard_with_users(tmp_path) as site:
        site.add("ada", role, may_see_users=may_see_users)
        browser = site.logged_in("ada")
        answer = browser.get("/ids")
        assert (answer.status_code, "user-17" in answer.text) == (
            (200, True) if may_see_users else (403, False)
        )
        assert ("/ids" in browser.get("/knob").text) is may_see_users
