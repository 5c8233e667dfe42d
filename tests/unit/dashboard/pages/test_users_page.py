"""The page Users: who may see the dashboard, for admins alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.dashboard_users import NAME, DashboardWithUsers, dashboard_with_users
from support.dashboard_users import quick_hashes as quick_hashes
from tastemaker.dashboard.access.audit import record_search
from tastemaker.dashboard.viewer import Role, Viewer

pytestmark = pytest.mark.usefixtures("quick_hashes")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DashboardWithUsers]:
    """A dashboard with an admin, and a viewer who may see user ids and searched for one."""
    with dashboard_with_users(tmp_path) as found:
        found.add("root", Role.ADMIN)
        found.add(NAME, Role.VIEWER, may_see_users=True, password=None)
        record_search(found.engine, Viewer(NAME, Role.VIEWER, True), f"user:17 {HOSTILE}", 3)
        yield found


def test_an_admin_sees_users_their_rights_and_sessions(site: DashboardWithUsers) -> None:
    browser = site.logged_in("root")
    text = browser.get("/users").text
    assert "2 users may see the dashboard (1 admin, 1 viewer); 1 may see user ids." in text
    lines = browser.get("/blocks/users/users.csv").text.splitlines()
    assert lines[0] == "user,role,user_ids,login,sessions,added"
    assert lines[1].startswith(f"{NAME},viewer,may see them,by the proxy,0,")
    assert lines[2].startswith("root,admin,hidden,password,1,")


def test_the_audit_needs_the_right_to_see_user_ids_too(site: DashboardWithUsers) -> None:
    without = site.logged_in("root").get("/users")
    assert "user:17" not in without.text
    assert "no right to see" in without.text
    assert site.logged_in("root").get("/blocks/users/searches.csv").status_code == 400
    site.add("both", Role.ADMIN, may_see_users=True)
    text = site.logged_in("both").get("/users").text
    assert "user:17 &lt;script&gt;" in text
    assert HOSTILE not in text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_no_other_role_sees_the_page(site: DashboardWithUsers, role: Role) -> None:
    site.add("grace", role, may_see_users=True)
    browser = site.logged_in("grace")
    for path in ("/users", "/blocks/users/users.csv", "/blocks/users/searches.csv"):
        answer = browser.get(path)
        assert answer.status_code == 403
        assert f"Your role is {role.word}; this needs admin." in answer.text
    assert 'href="/users"' not in browser.get("/models").text


def test_without_users_the_page_says_who_is_answered(tmp_path: Path) -> None:
    with dashboard_with_users(tmp_path) as site:
        text = site.browser("127.0.0.1", "http://127.0.0.1").get("/users").text
        assert "this machine alone is answered" in text
