"""The page Foreign models: whether all report, what was refused, and text of others that stays text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from support.reporting_homes import Reporting, event, health, measurement, reporting, shown
from tastemaker.dashboard.app import application
from tastemaker.dashboard.content import PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages.foreign_models import PAGE, PER_PAGE
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE, Viewer
from tastemaker.storage.tables import reported_models

HOSTILE = "<script>alert('x')</script>\"'>{{7*7}}=cmd|' /C calc'!A0"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Reporting]:
    with reporting(tmp_path / "home") as made:
        yield made


def content(home: Reporting, viewer: Viewer = ON_THIS_MACHINE, **fields: str) -> PageContent:
    return PAGE.load(DashboardReader(home.engine, home.settings), PageFilters.parse(fields), viewer)


def records(page: PageContent, table: str) -> list[dict[str, Any]]:
    return page.table(table).records()


def test_without_reports_it_says_so(home: Reporting) -> None:
    assert content(home).answer == "No foreign model reports."


def test_the_first_sentence_says_whether_all_report(home: Reporting) -> None:
    home.post("/measurements", [measurement(), measurement(model="second")])
    home.request("PUT", "/models/second", "search team", json={"title": "Second", "owner": "team"})
    assert content(home).answer == "Yes, foreign models report: 2 of 2. Not announced: 1."
    with home.engine.begin() as connection:
        late = datetime.now(UTC) - timedelta(days=2, hours=1)
        connection.execute(
            update(reported_models).where(reported_models.c.model == "second").values(seen_at=late)
        )
    page = content(home)
    assert page.answer.startswith("No: 1 of 2 foreign models say nothing, second for 2 days.")
    assert {one["model"]: one["state"] for one in records(page, "models")} == {
        "second": "silent", "shop_search": "reports",
    }  # fmt: skip


def test_a_model_whose_health_reports_end_is_silent_though_it_reports_figures(home: Reporting) -> None:
    home.post("/health", [health()])
    home.post("/measurements", [measurement()])
    assert content(home).answer.startswith(
        "No: 1 of 1 foreign models say nothing, shop_search for 10 minutes."
    )
    home.post("/health", [health(9)])
    assert content(home).answer.startswith("Yes, ")


def test_a_model_that_is_out_of_use_is_not_missed(home: Reporting) -> None:
    home.post("/measurements", [measurement()])
    with home.engine.begin() as connection:
        connection.execute(update(reported_models).values(seen_at=datetime.now(UTC) - timedelta(days=29)))
    page = content(home)
    assert page.answer == "No foreign model reports."
    assert records(page, "models")[0]["state"] == "out of use"


def test_rows_are_counted_and_refused_ones_shown_with_their_reasons(home: Reporting) -> None:
    home.post("/measurements", [measurement(), measurement(low=0.5)])
    home.post("/feedback", [event(), event(1, value="x")])
    page = content(home)
    assert page.answer.endswith("Rows refused in the last 7 days: 1.")
    counted = {one["kind"]: (one["model"], one["accepted"], one["rejected"]) for one in records(page, "rows")}
    assert counted == {"measurements": ("shop_search", 1, 1), "feedback": (None, 1, 1)}
    newest = records(page, "refused")
    assert [one["kind"] for one in newest] == ["feedback", "measurements"]
    assert newest[1]["reason"] == "low = 0.5: must be at most the value, 0.1"
    assert json.loads(newest[1]["content"])["low"] == 0.5


def test_rows_with_users_are_hidden_from_who_may_not_see_users(home: Reporting) -> None:
    home.post("/impressions", [shown(user_id="secret-user", item_ids="x")])
    home.post("/measurements", [measurement(low=0.5)])
    reader = Viewer("eve", ON_THIS_MACHINE.role, may_see_users=False)
    assert "secret-user" in str(records(content(home), "refused"))
    hidden = records(content(home, reader), "refused")
    assert "secret-user" not in str(hidden)
    assert "must be at most" in str(hidden)


def test_a_metrics_chart_has_its_figures(home: Reporting) -> None:
    free = {"metric": "x_basket", "unit": "GBP", "low": None, "high": None}
    home.post(
        "/measurements", [measurement(**free, value=80.0), measurement(**free, value=90.0, version="8")]
    )
    chart = content(home, metric="x_basket").chart("metric")
    assert [(row["version"], row["value"]) for row in chart.table.records()] == [
        ("shop_search 7", 80.0), ("shop_search 8", 90.0),
    ]  # fmt: skip
    nothing = content(home, metric="x_other")
    assert list(nothing.charts()) == []


def test_a_thousand_metrics_are_shown_page_by_page(home: Reporting) -> None:
    many = [measurement(metric=f"x_metric_{number:04}", unit="points") for number in range(1_000)]
    home.post("/measurements", many)
    seen = [
        row["metric"]
        for page in range(1, 1_000 // PER_PAGE + 1)
        for row in records(content(home, page=str(page)), "figures")
    ]
    assert seen == [f"x_metric_{number:04}" for number in range(1_000)]


def test_hostile_text_in_any_field_is_text(home: Reporting) -> None:
    words = {"title": HOSTILE, "owner": HOSTILE, "kind": HOSTILE[:100], "url": "https://x.example/" + HOSTILE}
    assert home.request("PUT", "/models/shop_search", "search team", json=words).status_code == 400
    words["url"] = words["runbook"] = "https://x.example/<script>alert(1)</script>"
    assert home.request("PUT", "/models/shop_search", "search team", json=words).status_code == 200
    for model in ("shop_search", HOSTILE):
        rows = [
            measurement(model=model, metric="x_m", unit=HOSTILE[:50], slice=HOSTILE, variant=HOSTILE),
            measurement(model=model, version=HOSTILE, metric="x_m", unit="u"),
            *(measurement() | {"model": model, name: HOSTILE} for name in measurement()),
        ]
        home.post("/measurements", rows)
        home.post("/impressions", [shown() | {"model": model, name: HOSTILE} for name in shown()])
        home.post("/health", [health(model=model, version=HOSTILE)])
    home.post("/feedback", [event() | {name: HOSTILE} for name in event()])
    home.settings.keys.unlink()
    with TestClient(
        application(home.settings, home.engine), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)
    ) as client:
        for query in ({}, {"metric": "x_m"}, {"metric": HOSTILE}, {"model": HOSTILE}):
            page = client.get("/foreign-models", params=query)
            assert page.status_code == 200
            assert HOSTILE not in page.text
            assert "<script>alert" not in page.text
            assert "&lt;script&gt;alert" in page.text
            assert "49=cmd" not in page.text
            assert 'href="https://x.example' not in page.text
        table = client.get("/blocks/foreign-models/models.csv").text
        assert "\n=" not in table
