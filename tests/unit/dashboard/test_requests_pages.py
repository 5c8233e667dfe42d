"""Requests: a search finds what `tastemaker log search` finds, and each is in the audit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from support.dashboard_homes import dashboard_client
from support.dashboard_users import dashboard_with_users, quick_hashes
from support.request_logs import NOON, click, fill, request
from tastemaker.dashboard.access.audit import read_audit
from tastemaker.dashboard.pages.requests import LIMIT
from tastemaker.event_log.records import Assignment, Item
from tastemaker.log_search.fields import FIELDS
from tastemaker.settings import load_settings
from tastemaker.storage.engine import open_engine

__all__ = ["quick_hashes"]
PATHS = ("/requests?q=user:ann", f"/requests/{1:032x}", "/blocks/requests/requests.csv?q=user:ann")
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(load_settings(home=tmp_path).metadata_url)
    yield opened
    opened.dispose()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with dashboard_client(tmp_path) as opened:
        yield opened


def log(home: Path, *records: object) -> None:
    fill(home / "spool", list(records))  # type: ignore[arg-type]  # records of any kind


def answer(client: TestClient, path: str, **query: str) -> str:
    page = client.get(path, params=query)
    assert page.status_code == 200, page.text
    found = re.search(r'<p class="summary">(.*?)</p>', page.text, re.DOTALL)
    assert found is not None
    return unescape(found[1])


def found(client: TestClient, query: str) -> list[str]:
    """Return the ids of the requests that a search shows."""
    lines = client.get("/blocks/requests/requests.csv", params={"q": query}).text.splitlines()
    return [line.split(",")[1] for line in lines[1:]]


def test_without_a_query_nothing_is_searched(client: TestClient, engine: Engine) -> None:
    assert answer(client, "/requests").startswith("Enter a query")
    page = client.get("/requests").text
    assert all(f">{name}<" in page for name in FIELDS)
    assert read_audit(engine, 10) == []


def test_a_search_shows_what_matches_and_is_audited(
    client: TestClient, engine: Engine, tmp_path: Path
) -> None:
    slow = request(2, latency_ms=250.0, stage="popular", fallback="model_timeout")
    log(tmp_path, request(1), slow, request(3, user_id="ann"))
    began = datetime.now(UTC)
    assert answer(client, "/requests", q="since:2026-01-01") == "3 requests match."
    assert answer(client, "/requests", q="user:ann") == "One request matches."
    assert answer(client, "/requests", q="user:a-name-without-requests") == "No logged request matches."
    assert found(client, "stage!=model ms>100") == [slow.request_id]
    assert found(client, "fallback:none") == [f"{number:032x}" for number in (3, 1)]
    audited = read_audit(engine, 10)[::-1]
    assert [(one.user_name, one.query, one.rows) for one in audited] == [
        ("this machine", "since:2026-01-01", 3),
        ("this machine", "user:ann", 1),
        ("this machine", "user:a-name-without-requests", 0),
        ("this machine", "stage!=model ms>100", 1),
        ("this machine", "fallback:none", 2),
    ]
    assert all(began <= one.at <= datetime.now(UTC) for one in audited)


def test_many_matches_are_cut_and_that_is_said(client: TestClient, tmp_path: Path) -> None:
    log(tmp_path, *(request(number) for number in range(LIMIT + 5)))
    said = answer(client, "/requests", q="model:random")
    assert said == f"At least {LIMIT} requests match: the newest {LIMIT} are shown."
    assert found(client, "model:random")[0] == f"{LIMIT + 4:032x}"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("usr:ann", "names a field 'usr'"),
        ("ms>fast", "must be a number"),
        ("stage:modle", "must be one of"),
        ('"open', "a quotation mark"),
        ("x" * 2_000, "at most 1,000"),
        (HOSTILE + ' "open', "a quotation mark"),
    ],
)
def test_a_wrong_query_is_said_above_the_form_that_has_it(
    client: TestClient, engine: Engine, query: str, says: str
) -> None:
    page = client.get("/requests", params={"q": query})
    assert page.status_code == 200
    assert says in unescape(page.text)
    assert escape(query).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in page.text
    assert read_audit(engine, 10) == []


def test_one_request_with_its_items_features_and_what_became_of_it(
    client: TestClient, engine: Engine, tmp_path: Path
) -> None:
    assigned = Assignment("colours", 1, "green", 0.5)
    one = request(7, user_id="ann", assignment=assigned, candidates=["tea", "cup"])
    log(tmp_path, one, click("x", request_id=one.request_id, occurred_at=NOON + 60, received_at=NOON + 61))
    path = f"/requests/{one.request_id}"
    assert answer(client, path) == "random v1 showed 2 of 2 items to ann in 0.75 ms; 1 event followed."
    page = unescape(client.get(path).text)
    items = client.get(f"/blocks{path}/items.csv").text.splitlines()
    known = [["1", "tea", "0.5", "0.25"], ["2", "cup", "-1.5", "0.125"]]
    assert [line.split(",")[:4] for line in items[1:]] == known
    assert client.get(f"/blocks{path}/features.csv").text.splitlines()[1:] == [
        "recency_days,",
        "orders_per_day,0.5",
    ]
    for text in ("colours", "green", '{"page": "home"}', "tea, cup", "click"):
        assert text in page
    assert f"tastemaker log replay {one.request_id} --version random" in page
    assert {entry.query for entry in read_audit(engine, 10)} == {f'id:"{one.request_id}"'}


def test_a_request_that_is_not_logged(client: TestClient) -> None:
    page = client.get("/requests/abc")
    assert page.status_code == 404
    assert "the log has no request 'abc'" in unescape(page.text)


def test_logged_text_is_text(client: TestClient, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"user_id": HOSTILE, "model": HOSTILE, "version": HOSTILE, "fallback": HOSTILE}
    fields |= {"context": {HOSTILE: HOSTILE}, "features": {HOSTILE: 1.0}, "session": [HOSTILE]}
    one = request(1, **fields, items=[Item(HOSTILE, 0.5, 0.25)])
    log(tmp_path, one, click(HOSTILE, request_id=one.request_id, event_type=HOSTILE, user_id=HOSTILE))
    shown = client.get("/requests", params={"q": "since:2026-01-01"})
    for page in (shown, client.get(f"/requests/{one.request_id}")):
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert "&lt;script&gt;" in page.text


def test_no_search_is_answered_that_can_not_be_audited(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(tmp_path, request(1, user_id="ann"))

    def away(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("connection refused"))

    monkeypatch.setattr(Engine, "begin", away)
    for path in PATHS:
        refused = client.get(path)
        assert refused.status_code == 503
        assert f"{1:032x}" not in refused.text.replace(path, "")
        assert "The database does not answer" in refused.text


@pytest.mark.usefixtures("quick_hashes")
def test_only_who_may_see_users_searches(tmp_path: Path) -> None:
    log(tmp_path, request(1, user_id="ann"))
    with dashboard_with_users(tmp_path) as dashboard:
        dashboard.add("analyst", may_see_users=True)
        dashboard.add("reader")
        analyst, reader = dashboard.logged_in("analyst"), dashboard.logged_in("reader")
        assert answer(analyst, "/requests", q="user:ann") == "One request matches."
        for path in PATHS:
            refused = reader.get(path)
            assert refused.status_code == 403
            assert "you have no right" in refused.text
        assert 'href="/requests"' not in reader.get("/alerts").text
        assert [(one.user_name, one.rows) for one in read_audit(dashboard.engine, 10)] == [("analyst", 1)]
