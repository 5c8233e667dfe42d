"""Today on the shop of `dashboard_shops`, and on homes that lack something."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from support.dashboard_homes import dashboard_engine
from support.dashboard_shops import BASELINE, CHAMPION, beat_the_champion, fill
from tastemaker.dashboard.content import Charts, Figure, Figures, PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages import today
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE
from tastemaker.storage import tables

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)
"""A Sunday; the newest complete day is a Saturday."""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[DashboardReader]:
    with dashboard_engine(tmp_path) as (settings, engine):
        fill(engine, NOW)
        yield DashboardReader(engine, settings, lambda: NOW)


def load(reader: DashboardReader) -> PageContent:
    return today.PAGE.load(reader, PageFilters(), ON_THIS_MACHINE)


def figures(content: PageContent, title: str = "") -> dict[str, Figure]:
    """Figures of the first block whose title begins so, by title."""
    block = next(one for one in content.blocks if isinstance(one, Figures) and one.title.startswith(title))
    return {one.title: one for one in block.figures}


def test_the_sentence_has_a_part_for_each_version_in_service(reader: DashboardReader) -> None:
    assert load(reader).answer == (
        "ranker …e828 answers 86.1 % of its requests itself; "
        "9.40 % (8.90 to 9.90 %) of lists are clicked, less than last week (11.4 %). "
        "popularity …4410 answers 100.0 % of its requests itself; "
        "6.89 % (6.39 to 7.39 %) of lists are clicked, as last week (6.89 %). "
        "1 alert is open."
    )


def test_a_champion_that_is_worse_than_the_baseline_is_named_with_the_figures(
    reader: DashboardReader,
) -> None:
    beat_the_champion(reader.engine, NOW)
    assert load(reader).answer.endswith(
        " On past data the champion's recipe is worse than the baseline popularity: its ndcg is "
        "lower by 0.0213 (0.0125 to 0.0301). 1 alert is open."
    )


def test_figures_of_the_champion(reader: DashboardReader) -> None:
    found = figures(load(reader), f"ranker {CHAMPION}, the champion")
    assert found["Lists by the model itself"].value == 0.861
    clicked = found["Lists that are clicked"]
    assert (clicked.value, clicked.n) == (0.094, 6_200)
    assert clicked.low == pytest.approx(0.089)
    assert clicked.window == "Saturday, 28 Nov 2026"
    assert found["The same over 28 days"].window == "28 days until 28 Nov 2026"
    age = found["Age of what it learned"]
    assert age.value == 11.4
    assert age.comparison == "each week without training costs 1.48 % of ndcg (0.859 to 2.11 %)"


def test_a_version_whose_loss_was_not_measured_says_so(reader: DashboardReader) -> None:
    age = figures(load(reader), f"popularity {BASELINE}")["Age of what it learned"]
    assert age.comparison == "its loss per week is not known: tastemaker learning-curve measures it"


def test_a_version_that_knows_all_of_today_is_not_a_day_old(reader: DashboardReader) -> None:
    earlier = DashboardReader(reader.engine, reader.settings, lambda: NOW - timedelta(days=11.5))
    assert figures(load(earlier), f"ranker {CHAMPION}, the champion")["Age of what it learned"].value == 0


def test_alerts_data_and_jobs(reader: DashboardReader) -> None:
    found = figures(load(reader))
    assert [(one.value, one.link) for one in found.values()] == [(1, "/alerts"), (1, "/data"), (0, "/data")]
    with reader.engine.begin() as connection:
        connection.execute(update(tables.alert_incidents).values(closed_at=NOW))
        connection.execute(
            update(tables.job_runs).where(tables.job_runs.c.job_name == "drift").values(succeeded=False)
        )
        connection.execute(update(tables.ingested_days).values(day=(NOW - timedelta(days=5)).date()))
    content = load(reader)
    found = figures(content)
    assert [one.value for one in found.values()] == [0, 5, 1]
    assert found["Failed jobs"].comparison == "drift"
    assert "alert" not in content.answer


def test_the_job_that_succeeded_after_its_failure_is_not_failed(reader: DashboardReader) -> None:
    run = {"run_id": "older", "job_name": "drift", "succeeded": False, "ended_at": NOW - timedelta(days=1)}
    with reader.engine.begin() as connection:
        connection.execute(tables.job_runs.insert().values(run))
    assert figures(load(reader))["Failed jobs"].value == 0


def test_a_champion_without_figures_is_named(reader: DashboardReader) -> None:
    with reader.engine.begin() as connection:
        connection.execute(delete(tables.measurements))
    content = load(reader)
    assert content.answer == (
        "ranker …e828 has no figures yet: they come when its first day is over. 1 alert is open."
    )
    assert content.as_of is None
    assert figures(content, "ranker")["Lists that are clicked"].missing == "no complete day has a figure"
    assert not [one for one in content.blocks if isinstance(one, Charts)]


def test_an_empty_home_says_what_there_is_not(tmp_path: Path) -> None:
    with dashboard_engine(tmp_path) as (settings, engine):
        content = load(DashboardReader(engine, settings))
    assert content.answer == "No model is in service, as far as figures were computed."
    assert [one.missing for one in figures(content).values()] == [
        "",
        "no events were read yet",
        "no job ran yet",
    ]


def test_charts_have_a_line_per_version_with_gaps_and_deploys(reader: DashboardReader) -> None:
    chart = load(reader).chart("ctr_list")
    rows = chart.table.records()
    assert {row["series"] for row in rows} == {"ranker …e828", "popularity …4410"}
    assert {row["day"] for row in rows if row["value"] is None} == {"2026-11-11", "2026-11-12"}
    assert "1 deploy" in chart.label
