"""The page Training says what is recorded of each model's trainings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from support.dashboard_homes import dashboard_engine
from support.planted_trainings import plant_trainings
from tastemaker.dashboard.app import application
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages import training
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[DashboardReader]:
    with dashboard_engine(tmp_path) as (settings, engine):
        yield DashboardReader(engine, settings, lambda: NOW)


def test_without_trainings_it_says_so(reader: DashboardReader) -> None:
    content = training.PAGE.load(reader, PageFilters(), ON_THIS_MACHINE)
    assert content.answer == "No model has been trained yet."


def test_each_model_has_its_last_training_and_the_decision(reader: DashboardReader) -> None:
    plant_trainings(reader.engine, NOW)
    content = training.PAGE.load(reader, PageFilters(problem="shop"), ON_THIS_MACHINE)
    assert (
        content.answer
        == "3 models were trained, the last one on 29 Nov 2026; the last training of ease failed."
    )
    rows = {row["model"]: row for row in content.table("models").records()}
    assert (rows["ials"]["outcome"], rows["ials"]["why"]) == (
        "registered", "new_data: 2 new days until 28 Nov 2026"
    )  # fmt: skip
    assert rows["ials"]["now"] == "up to date: no new data; code as trained; 1 of 7 days old"
    assert rows["ials"]["next"] == "2026-12-05 09:41 UTC at the latest"
    assert (rows["ease"]["outcome"], rows["ease"]["now"]) == ("failed", "waits: 2 new days")
    costs = content.table("trainings").records()
    assert [(row["model"], row["peak"]) for row in costs] == [
        ("ranker", "2.93 GB"), ("ials", "1.21 GB"), ("ease", "")
    ]  # fmt: skip
    assert (
        training.PAGE.load(reader, PageFilters(problem="other"), ON_THIS_MACHINE).table("models").rows == []
    )


def test_the_page_escapes_what_is_recorded(reader: DashboardReader) -> None:
    plant_trainings(reader.engine, NOW, detail="<script>alert('x')</script>")
    app = application(reader.settings, reader.engine, lambda: NOW)
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        shown = client.get("/training")
    assert shown.status_code == 200
    assert "<script>alert" not in shown.text
    assert "&lt;script&gt;" in shown.text
