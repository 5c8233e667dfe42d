"""Pages, their files and errors over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from support.dashboard_homes import dashboard_client, days_of
from support.dashboard_users import token_of
from tastemaker.dashboard import app, reader
from tastemaker.dashboard.content import ActionForm, PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage, PageAction
from tastemaker.dashboard.pages import PAGES
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer

HOSTILE = "<script>alert('x')</script>"


def test_a_page_shows_the_measurements(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, days_of("als", "v1")) as client:
        page = client.get("/models")
        assert page.status_code == 200
        assert "11.2 %" in page.text
        lines = client.get("/blocks/models/versions.csv").text.splitlines()
        assert lines[0].startswith("model,version,users,ctr_list,reward_per_request,")
        assert lines[1].startswith("als,v1,900,0.112,0.37,")


def test_names_of_models_are_text(tmp_path: Path) -> None:
    with dashboard_client(tmp_path, days_of(HOSTILE, HOSTILE)) as client:
        text = client.get("/models", params={"version": HOSTILE}).text
        assert HOSTILE not in text
        assert text.count("&lt;script&gt;") > 2


def test_an_empty_home_has_every_page(tmp_path: Path) -> None:
    with dashboard_client(tmp_path) as client:
        for one in PAGES:
            if "{" not in one.path:
                assert client.get(one.path).status_code == 200, one.path


def test_pages_and_actions_get_the_parts_of_an_address_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `Load` and `Act` declare them, also what Starlette converts."""
    seen: list[object] = []

    def load(_: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
        seen.append(filters.path)
        return PageContent(answer="", as_of=None, blocks=[ActionForm(f"{address}/act", "Act")])

    def act(_: DashboardReader, path: Mapping[str, str], fields: Mapping[str, str], viewer: Viewer) -> str:
        seen.append(path)
        return "/models"

    path, address = "/numbered/{number:int}/{share:float}/{name}", "/numbered/0012/0.5/12"
    page = DashboardPage(path, "Numbered", "", load, actions=(PageAction("act", act),), in_navigation=False)
    monkeypatch.setattr(app, "PAGES", [*PAGES, page])
    with dashboard_client(tmp_path) as client:
        token = token_of(client.get(address).text)
        assert client.post(f"{address}/act", data={"csrf_token": token}).status_code == 200
    assert seen == [{"number": "12", "share": "0.5", "name": "12"}] * 2


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nothing", 404, "no page /nothing"),
        ("/models?period=12", 400, "7, 28, 90"),
        ("/blocks/models/nothing.csv", 400, "no table"),
        ("/blocks/models/versions.exe", 400, "csv, svg or json"),
        ("/static/../app.py", 404, "no page"),
    ],
)
def test_a_wrong_address_is_answered_in_words(tmp_path: Path, path: str, status: int, says: str) -> None:
    with dashboard_client(tmp_path) as client:
        answer = client.get(path)
        assert answer.status_code == status
        assert says in answer.text
        assert "Traceback" not in answer.text


def test_while_the_database_is_away_pages_show_what_they_showed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "FRESH_SECONDS", 0.0)
    with dashboard_client(tmp_path, days_of("als", "v1")) as client:
        assert "does not answer" not in client.get("/models").text

        def away(*_: object) -> None:
            raise OperationalError("SELECT 1", {}, Exception("connection refused"))

        monkeypatch.setattr(DashboardReader, "rows", away)
        # What was read within the last seconds is shown without a read: another page asks the database.
        assert client.get("/models?period=7").status_code == 503
        page = client.get("/models")
        assert "does not answer" in page.text
        assert "11.2 %" in page.text


def test_while_the_database_hangs_pages_show_what_they_showed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "READ_SECONDS", 0.3)
    answers_again = threading.Event()
    with dashboard_client(tmp_path, days_of("als", "v1")) as client:
        client.get("/models")
        rows = DashboardReader.rows

        def hanging(*arguments: object) -> object:
            answers_again.wait(20)
            return rows(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(DashboardReader, "rows", hanging)
        unread, read = client.get("/models?period=7"), client.get("/models")
        answers_again.set()
        assert unread.status_code == 503
        assert "does not answer" in read.text
        assert "11.2 %" in read.text
