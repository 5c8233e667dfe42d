"""Users of the dashboard in a real Postgres, which hangs, ends, and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.dashboard_users import NAME, PASSWORD, dashboard_with_users, log_in, token_of
from support.servers import postgres
from tastemaker.dashboard.access import last_answers
from tastemaker.dashboard.access.audit import read_audit, record_search
from tastemaker.dashboard.access.sessions import begin_session
from tastemaker.dashboard.access.users import add_user, read_row, remove_user, set_password, set_role
from tastemaker.dashboard.viewer import ON_THIS_MACHINE, Role
from tastemaker.errors import TastemakerError
from tastemaker.privacy.dashboard_mentions import search_dashboard
from tastemaker.privacy.search import Person

pytestmark = pytest.mark.servers
PAGE = "/nothing"
"""A page without figures: 404 for who is logged in."""


def test_users_sessions_and_the_audit_in_postgres(tmp_path: Path, postgres_url: str) -> None:
    with dashboard_with_users(tmp_path, postgres_url) as site:
        site.add(role=Role.ADMIN)
        browser = site.logged_in()
        assert browser.get(PAGE).status_code == 404
        with pytest.raises(TastemakerError, match="there is a user"):
            add_user(site.engine, NAME.upper(), Role.VIEWER, password=PASSWORD)
        with pytest.raises(TastemakerError, match="last admin"):
            remove_user(site.engine, NAME)
        with site.engine.connect() as connection:
            row = read_row(connection, NAME.lower())
        assert row is not None
        set_password(site.engine, NAME, "another long password")
        assert begin_session(site.engine, row.key, row.password) is None, "the password was changed"
        assert browser.get(PAGE).status_code == 303
        set_role(site.engine, NAME, Role.VIEWER, force=True)
        record_search(site.engine, ON_THIS_MACHINE, "user:17 shown:te\0a", 2)
        found = [place.found for place in search_dashboard(site.engine, Person(("17",)), erase=True)]
        assert found == [1, 0]
        assert read_audit(site.engine, 5)[0].query == "user:(erased) shown:te\ufffda"


def test_a_database_that_hangs_or_ends_opens_nothing_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_answers, "RETRY_SECONDS", 0.0)
    with postgres() as (server, url), dashboard_with_users(tmp_path, url) as site:
        site.add()
        seen, unseen, new = site.logged_in(), site.logged_in(), site.browser()
        token = token_of(new.get("/login").text)
        assert seen.get(PAGE).status_code == 404
        fields = {"name": NAME, "password": PASSWORD, "csrf_token": token}
        monkeypatch.setattr(last_answers, "DEADLINE_SECONDS", 0.5)
        with server.frozen():
            site.engine.dispose()  # open connections have processes of their own, which are not frozen
            assert seen.get(PAGE).status_code == 404, "seen less than a minute ago"
            assert unseen.get(PAGE).status_code == 503
            assert new.post("/login", data=fields).status_code == 503
        server.stop()
        assert seen.get(PAGE).status_code == 404
        assert unseen.get(PAGE).status_code == 503
        assert new.post("/login", data=fields).status_code == 503
        assert new.get(PAGE).status_code == 303, "the form can be read"
        server.start()
        monkeypatch.setattr(last_answers, "DEADLINE_SECONDS", 20.0)
        assert unseen.get(PAGE).status_code == 404
        assert log_in(site.browser()).status_code == 303
