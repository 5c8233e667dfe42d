"""The page Agreement: a row per forecast, and a summary from eight experiments on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support import planned_experiments as planned
from support.dashboard_homes import dashboard_engine
from support.operated_homes import put
from tastemaker.dashboard.content import Figures, PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages import agreement
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE
from tastemaker.storage.tables import experiment_forecasts

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[DashboardReader]:
    with dashboard_engine(tmp_path) as (settings, engine):
        planned.plant_namespace(engine, NOW)
        yield DashboardReader(engine, settings, lambda: NOW)


def plant(reader: DashboardReader, n: int) -> None:
    """Write experiments whose forecasts come true by half, but the first, whose direction was wrong."""
    for number in range(n):
        name = f"e{number}"
        planned.plant_experiment(reader.engine, NOW, name)
        expected = 0.02 * (number + 1)
        came = -0.005 if number == 0 else expected / 2
        made = {"made_at": NOW - number * planned.DAY}
        put(reader.engine, experiment_forecasts, planned.forecast(name, "off_policy", expected, came, **made))


def load(reader: DashboardReader) -> PageContent:
    return agreement.PAGE.load(reader, PageFilters(), ON_THIS_MACHINE)


def test_without_forecasts_the_page_says_so(reader: DashboardReader) -> None:
    assert load(reader).answer.startswith("No experiment has a forecast yet")


def test_below_eight_experiments_there_are_rows_only(reader: DashboardReader) -> None:
    plant(reader, 7)
    content = load(reader)
    assert content.answer.startswith("7 experiments have a forecast and an outcome; below 8")
    assert not any(isinstance(one, Figures) for one in content.blocks)
    rows = content.table("agreement").records()
    assert [one["experiment"] for one in rows] == [f"e{number}" for number in range(7)]
    assert [one["same_sign"] for one in rows] == ["no", *["yes"] * 6]
    assert [one["covered"] for one in rows] == ["yes", "yes", *["no"] * 5]


def test_from_eight_on_there_is_a_summary(reader: DashboardReader) -> None:
    plant(reader, 10)
    content = load(reader)
    found = next(one for one in content.blocks if isinstance(one, Figures))
    coverage, direction, slope = found.figures
    assert (coverage.value, direction.value, coverage.n) == (0.2, 0.9, 10)
    assert slope.value is not None
    assert slope.low is not None
    assert slope.high is not None
    assert slope.low < slope.value < slope.high < 0.7
    assert "90.0 % had the right direction and 20.0 % came within both errors" in content.answer


def test_the_chart_has_the_outcomes_intervals(reader: DashboardReader) -> None:
    plant(reader, 2)
    _, second = load(reader).chart("outcome_by_forecast").table.records()
    assert (second["forecast"], second["outcome"]) == (0.04, 0.02)
    assert second["low"] == pytest.approx(0.02 - 1.96 * 0.01)
