"""Drift, alerts, data and reports: what the pages say is what the database has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from support import operated_homes
from support.dashboard_homes import dashboard_client
from support.dashboard_users import dashboard_with_users, quick_hashes, token_of
from support.operated_homes import DAY, HOUR, MINUTE, VERSION, now, put
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.stored_reports import DOCUMENT_POLICY
from tastemaker.dashboard.viewer import Role
from tastemaker.settings import Settings, load_settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import (
    alert_incidents,
    alert_silences,
    gate_results,
    job_runs,
    reports,
    watch_beats,
)

__all__ = ["quick_hashes"]
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    opened = open_engine(settings.metadata_url)
    yield opened
    opened.dispose()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with dashboard_client(tmp_path) as opened:
        yield opened


def plant(engine: Engine, settings: Settings, text: str = "plain") -> None:
    operated_homes.plant_alerts(engine, text)
    operated_homes.plant_version(engine)
    operated_homes.plant_reports(engine, settings, text)
    operated_homes.plant_data(engine, text)


def answer(client: TestClient, path: str) -> str:
    """Return the first sentence of a page."""
    page = client.get(path)
    assert page.status_code == 200, page.text
    found = re.search(r'<p class="summary">(.*?)</p>', page.text, re.DOTALL)
    assert found is not None
    return found[1]


def post(client: TestClient, path: str, **fields: str) -> Any:
    """Send a form with the token of a page; redirects are not followed."""
    token = token_of(client.get("/alerts").text)
    return client.post(path, data={"csrf_token": token, **fields}, follow_redirects=False)


def rows(client: TestClient, path: str) -> list[list[str]]:
    """Return a CSV file's rows without its head."""
    return [line.split(",") for line in client.get(path).text.splitlines()[1:]]


PAGES = ["/alerts", "/alerts/3", "/drift", "/data", "/reports", "/reports/3", "/reports/4", "/reports/5"]


def test_nothing_happened_yet(client: TestClient) -> None:
    assert answer(client, "/alerts") == (
        "No process watches: start tastemaker watch, else no alert is ever open. Nothing is open."
    )
    assert answer(client, "/drift").startswith("No drift report has been made yet")
    assert answer(client, "/data").startswith("No day of the last 28 days was ingested")
    assert answer(client, "/reports") == "There are 0 reports."


@pytest.mark.parametrize("path", PAGES)
def test_stored_text_is_text(client: TestClient, engine: Engine, settings: Settings, path: str) -> None:
    plant(engine, settings, HOSTILE)
    page = client.get(path)
    assert page.status_code == 200
    assert HOSTILE not in page.text
    assert escape(HOSTILE).replace("&#x27;", "&#39;") in page.text


@pytest.mark.parametrize("path", PAGES)
def test_while_the_database_is_away_the_last_figures_are_shown_as_old(
    client: TestClient, engine: Engine, settings: Settings, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(engine, settings)
    before = answer(client, path)

    def away(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    monkeypatch.setattr(DashboardReader, "rows", away)
    monkeypatch.setattr(Engine, "connect", away)
    assert client.get("/data?period=7").status_code == 503
    page = client.get(path)
    assert "The database does not answer. These are the figures of" in page.text
    assert before in page.text


class TestAlerts:
    """What is open, what is over, and the figures of 30 days."""

    def test_open_alerts_and_figures(self, client: TestClient, engine: Engine) -> None:
        operated_homes.plant_alerts(engine)
        assert answer(client, "/alerts") == "2 alerts are open, 1 of them pages. plain"
        page = " ".join(client.get("/alerts").text.split())
        for title, value in (
            ("Pages per week", "0.750"),  # 3 in 4 weeks
            ("From firing to a message", "20 s"),  # 10 s and 30 s
            ("From firing to acknowledged (MTTA)", "2 min"),
            ("From firing to over (MTTR)", "20 min"),  # 10 min and 30 min
        ):
            assert f'<h2>{title}</h2> <p class="value">{value}</p>' in page
        assert [row[0] for row in rows(client, "/blocks/alerts/open.csv")] == ["3", "4"]
        assert [row[0] for row in rows(client, "/blocks/alerts/over.csv")] == ["2", "1"]
        assert [row[0] for row in rows(client, "/blocks/alerts/silences.csv")] == ["7"]

    def test_a_watch_that_stopped_is_the_first_thing_said(self, client: TestClient, engine: Engine) -> None:
        operated_homes.plant_alerts(engine)
        with engine.begin() as connection:
            connection.execute(update(watch_beats).values(evaluated_at=now() - 3 * HOUR))
        assert answer(client, "/alerts").startswith("No process watches since 3 h")

    def test_an_incident_has_its_history_and_its_runbook(self, client: TestClient, engine: Engine) -> None:
        operated_homes.plant_alerts(engine)
        assert answer(client, "/alerts/1") == "It is over. plain"
        page = client.get("/alerts/1").text
        assert "acknowledged by plain" in page
        assert "trigger to pager: sent" in page
        assert "What users notice:" in page
        assert "/requests?q=model%3A%22ranker%22%20since%3A" in page
        assert "<form" not in page.split("<main", 1)[1]

    @pytest.mark.parametrize(
        ("number", "status", "says"),
        [("99", 404, "there is no incident"), ("9" * 20, 400, "must be a whole number")],
    )
    def test_no_such_incident(self, client: TestClient, number: str, status: int, says: str) -> None:
        page = client.get(f"/alerts/{number}")
        assert page.status_code == status
        assert says in page.text

    def test_acknowledging_and_silencing(self, client: TestClient, engine: Engine) -> None:
        operated_homes.plant_alerts(engine)
        assert "Acknowledge</button>" in client.get("/alerts/3").text
        done = post(client, "/alerts/3/acknowledge")
        assert (done.status_code, done.headers["location"]) == (303, "/alerts/3")
        assert answer(client, "/alerts/3").startswith("It is open; this machine has acknowledged it.")
        fields = {"hours": "3", "reason": "a known fault"}
        assert post(client, "/alerts/3/silence", **fields).status_code == 303
        with engine.connect() as connection:
            made = connection.execute(select(alert_silences).where(alert_silences.c.id != 7)).one()
        assert made.matchers == {"rule": "fallback_share", "model": "plain"}
        assert (made.created_by, made.reason) == ("this machine", "a known fault")
        assert made.ends_at - made.starts_at == 3 * HOUR
        assert post(client, "/alerts/end_silence", silence="7").status_code == 303
        assert [row[0] for row in rows(client, "/blocks/alerts/silences.csv")] == [str(made.id)]

    @pytest.mark.parametrize(
        ("path", "fields", "says"),
        [
            ("/alerts/3/silence", {"hours": "soon", "reason": "x"}, "must be a number"),
            ("/alerts/3/silence", {"hours": "nan", "reason": "x"}, "at most 7 days"),
            ("/alerts/3/silence", {"hours": "500", "reason": "x"}, "at most 7 days"),
            ("/alerts/3/silence", {"hours": "1", "reason": " "}, "needs a reason"),
            ("/alerts/1/acknowledge", {}, "incident 1 ended"),
            ("/alerts/end_silence", {"silence": "7; DROP"}, "must be a whole number"),
            ("/alerts/end_silence", {"silence": "12"}, "no silence 12"),
        ],
    )
    def test_what_can_not_be_done_is_said(
        self, client: TestClient, engine: Engine, path: str, fields: dict[str, str], says: str
    ) -> None:
        operated_homes.plant_alerts(engine)
        refused = post(client, path, **fields)
        assert refused.status_code == 400
        assert says in refused.text

    def test_what_alertmanager_notifies_people_of_can_not_be_silenced_here(
        self, client: TestClient, engine: Engine
    ) -> None:
        operated_homes.plant_alerts(engine)
        with engine.begin() as connection:
            connection.execute(update(alert_incidents).values(source="alertmanager"))
        refused = post(client, "/alerts/3/silence", hours="3", reason="x")
        assert refused.status_code == 400
        assert "people are notified of incident 3 by Alertmanager" in refused.text

    @pytest.mark.usefixtures("quick_hashes")
    def test_a_viewer_reads_and_an_editor_acts(self, tmp_path: Path) -> None:
        with dashboard_with_users(tmp_path) as dashboard:
            operated_homes.plant_alerts(dashboard.engine)
            dashboard.add("reader", Role.VIEWER)
            dashboard.add("writer", Role.EDITOR)
            viewer, editor = dashboard.logged_in("reader"), dashboard.logged_in("writer")
            assert dashboard.browser().get("/alerts/3").status_code in (302, 303, 403)
            assert "Acknowledge</button>" not in viewer.get("/alerts/3").text
            assert "End this silence" not in viewer.get("/alerts").text
            token = token_of(viewer.get("/alerts").text)
            for path in ("/alerts/3/acknowledge", "/alerts/3/silence", "/alerts/end_silence"):
                refused = viewer.post(path, data={"csrf_token": token, "silence": "7"})
                assert refused.status_code == 403
                assert "Your role is viewer; this needs editor." in refused.text
            assert editor.post("/alerts/3/acknowledge").status_code == 403  # without a token
            assert post(editor, "/alerts/3/acknowledge").status_code == 303
            with dashboard.engine.connect() as connection:
                by = select(alert_incidents.c.acknowledged_by).where(alert_incidents.c.id == 3)
                assert connection.execute(by).scalar_one() == "writer"


class TestDrift:
    """The newest verdict in words, distances over time, and Evidently's documents behind them."""

    def test_the_newest_report_answers(self, client: TestClient, engine: Engine, settings: Settings) -> None:
        plant(engine, settings)
        assert (
            answer(client, "/drift") == f"plain changed. This is the newest report, about ranker {VERSION}."
        )
        columns = client.get("/blocks/drift/columns.csv").text.splitlines()[1:]
        assert columns == [
            "Who comes,plain,changed,plain: 50% higher,0.6,0.2,500,9000",
            "Who comes,user_country,not evaluated,user_country: 50% higher,0.05,,500,9000",
        ]
        chart = rows(client, "/blocks/drift/users_0.csv")
        assert [row[1:4] for row in chart] == [
            ["0.1", "0.2", "as usual"],
            ["0.15", "0.2", "as usual"],
            ["0.6", "0.2", "changed"],
        ]

    @pytest.mark.processes
    def test_distances_are_drawn(self, client: TestClient, engine: Engine, settings: Settings) -> None:
        plant(engine, settings)
        for theme in ("light", "dark"):
            drawn = client.get(f"/blocks/drift/users_0.svg?theme={theme}").text
            assert drawn.startswith("<svg")
            assert drawn.count("State: changed") == 1

    def test_only_the_models_reports(self, client: TestClient, engine: Engine, settings: Settings) -> None:
        plant(engine, settings)
        assert answer(client, "/drift?model=other").startswith("No drift report")
        assert len(rows(client, "/blocks/drift/reports.csv?model=ranker")) == 3


class TestReports:
    """Lists by version and date, and documents that only the table can name."""

    @pytest.mark.slow
    def test_ten_thousand_reports_are_listed_by_page(self, client: TestClient, engine: Engine) -> None:
        operated_homes.plant_version(engine)
        summary = operated_homes.drift_summary("plain")
        report = {"problem": "shop", "version_id": VERSION, "summary": summary, "kind": "drift"}
        many = [{**report, "path": str(at), "created_at": now() - at * MINUTE} for at in range(10_000)]
        with engine.begin() as connection:
            connection.execute(insert(reports), many)
        assert answer(client, "/reports?kind=drift") == "There are 10,000 reports."
        first, last = (client.get(f"/reports?kind=drift&page={page}").text for page in (1, 100))
        assert "Rows 1 to 100 of 10,000." in first
        assert "Next page" in first
        assert "Previous page" not in first
        assert "Rows 9,901 to 10,000 of 10,000." in last
        assert "Next page" not in last
        assert client.get("/reports?page=101").status_code == 200
        assert len(rows(client, "/blocks/drift/reports.csv")) == 100

    def test_a_document_is_served_under_a_policy_of_its_own(
        self, client: TestClient, engine: Engine, settings: Settings
    ) -> None:
        plant(engine, settings)
        page = client.get("/reports/3?document=users-evidently.html").text
        assert (
            '<iframe class="report" sandbox="allow-scripts" src="/reports/3/documents/users-evidently.html"'
            in page
        )
        document = client.get("/reports/3/documents/users-evidently.html")
        assert document.headers["content-security-policy"] == DOCUMENT_POLICY
        assert "<title>plain</title>" in document.text

    @pytest.mark.usefixtures("quick_hashes")
    def test_only_users_read_documents(self, tmp_path: Path) -> None:
        path = "/reports/3/documents/report.html"
        with dashboard_with_users(tmp_path) as dashboard:
            plant(dashboard.engine, dashboard.settings)
            dashboard.add()
            unknown, known = dashboard.browser().get(path), dashboard.logged_in().get(path)
            assert unknown.status_code in (303, 401, 403)
            assert "plain" not in unknown.text
            assert known.headers["content-security-policy"] == DOCUMENT_POLICY

    @pytest.mark.parametrize(
        "name",
        [
            "other.html",
            "..%2Freport.html",
            "..%2f..%2findex.html",
            "%2Fetc%2Fpasswd",
            "leaked.html",
            "report.html%00",
        ],
    )
    def test_no_other_file_is_served(
        self, client: TestClient, engine: Engine, settings: Settings, tmp_path: Path, name: str
    ) -> None:
        plant(engine, settings)
        secret = tmp_path / "secret.html"
        secret.write_text("secret")
        with engine.connect() as connection:
            page = connection.execute(select(reports.c.path).where(reports.c.id == 3)).scalar_one()
        Path(page).with_name("leaked.html").symlink_to(secret)
        refused = client.get(f"/reports/3/documents/{name}")
        assert refused.status_code in (400, 404)
        assert "secret" not in refused.text

    def test_a_row_that_points_elsewhere_serves_nothing(
        self, client: TestClient, engine: Engine, settings: Settings, tmp_path: Path
    ) -> None:
        plant(engine, settings)
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret" / "report.html").write_text("secret")
        with engine.begin() as connection:
            moved = update(reports).where(reports.c.id == 3)
            connection.execute(moved.values(path=str(tmp_path / "secret" / "report.html")))
        assert client.get("/reports/3/documents/report.html").status_code == 404
        assert "are not on this machine" in client.get("/reports/3").text


class TestData:
    """Freshness, gate, quarantine, days and jobs."""

    def test_all_is_well(self, client: TestClient, engine: Engine) -> None:
        operated_homes.plant_version(engine)
        operated_homes.plant_data(engine)
        yesterday = f"{now() - DAY:%-d %b %Y}"
        assert answer(client, "/data") == (
            f"All is well: the newest day is {yesterday}, and 2.00 % of the rows of the last 28 days are in "
            "quarantine."
        )
        assert rows(client, "/blocks/data/quarantine.csv") == [
            ["shop", "value_not_negative", "45", "0.015"],
            ["shop", "shop", "15", "0.005"],
        ]
        assert [row[:5] for row in rows(client, "/blocks/data/days.csv")] == [
            [str((now() - ago * DAY).date()), "shop", "1000", "980", "0.02"] for ago in (1, 2, 3)
        ]
        job = rows(client, "/blocks/data/jobs.csv")[0]
        assert (job[:2], job[4:]) == (["everything", "succeeded"], ["2", "1"])
        page = " ".join(client.get("/data").text.split())
        assert '<h2>Age of the champion&#39;s data: ranker</h2> <p class="value">2.00 days</p>' in page
        assert "2 wait in the queue shop" in page

    def test_what_is_wrong_is_the_answer(self, client: TestClient, engine: Engine) -> None:
        operated_homes.plant_data(engine)
        batch = {"source": "shop", "rows_read": 9, "rows_quarantined": {}, "checked_at": now()}
        put(engine, gate_results, {**batch, "passed": False, "reason": "half of the values are missing"})
        put(
            engine, job_runs, {"run_id": "3", "job_name": "everything", "succeeded": False, "ended_at": now()}
        )
        said = answer(client, "/data")
        assert said.startswith("The newest batch of shop was refused: half of the values are missing.")
        assert "The last run of the job everything failed at" in said
