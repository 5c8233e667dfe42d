"""Reads of measurements equal a plain search through all rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from support.dashboard_homes import DAY, dashboard_engine, measurement, midnight
from tastemaker.dashboard import measured
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.storage.intervals import DaysBetween
from tastemaker.storage.tables import measurements

NAMES = ("model", "version")


def rows() -> list[dict[str, Any]]:
    """Two sources, one of which is a day behind; the newest day is not complete."""
    rng = random.Random(0)
    found: list[dict[str, Any]] = []
    for source, behind in (("tastemaker", 0), ("theirs", 1)):
        for version in ("v1", "v2", "v3"):
            for days in (1, 7, 28):
                for ago in range(behind, 12):
                    for metric in ("ctr_list", "reward_per_request"):
                        more = {"version": version, "source": source, "n": len(found)}
                        row = measurement(metric, rng.random(), days, ago, **more)
                        found.append(row | {"is_complete": ago > behind})
    return found


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardReader]:
    with dashboard_engine(tmp_path_factory.mktemp("home"), rows()) as (settings, engine):
        yield DashboardReader(engine, settings)


@pytest.mark.parametrize("period", [7, 28])
def test_latest_returns_the_newest_complete_window_of_each_source(
    reader: DashboardReader, period: int
) -> None:
    expected = {
        (one["source"], one["metric"], one["version"], one["value"])
        for one in rows()
        if one["window_end"] == midnight(2 if one["source"] == "theirs" else 1)
        and one["window_end"] - one["window_start"] == period * DAY
    }
    metrics = ("ctr_list", "reward_per_request")
    found = measured.latest(reader, metrics, PageFilters(period=period), names=NAMES)
    assert {(row.source, row.metric, row.version, row.value) for row in found} == expected


def test_reads_of_some_versions_are_those_of_all_versions_filtered(reader: DashboardReader) -> None:
    some = [("als", "v1"), ("als", "v3"), ("nothing", "v2")]
    for read in (measured.latest, measured.daily):
        every = read(reader, ("ctr_list",), PageFilters(period=7), names=NAMES)
        found = read(reader, ("ctr_list",), PageFilters(period=7), names=NAMES, versions=some)
        assert sorted(found) == sorted(row for row in every if row.version != "v2")
        assert read(reader, ("ctr_list",), PageFilters(), names=NAMES, versions=[]) == []


def test_daily_returns_days_only_oldest_first(reader: DashboardReader) -> None:
    found = measured.daily(reader, ("ctr_list",), PageFilters(), names=NAMES)
    assert {row.window_end - row.window_start for row in found} == {DAY}
    starts = [row.window_start for row in found]
    assert starts == sorted(starts)


def test_versions_are_ordered_by_their_users(reader: DashboardReader) -> None:
    most: dict[tuple[str, str], int] = {}
    for row in measured.latest(reader, ("ctr_list",), PageFilters(), names=NAMES):
        most[row.model, row.version] = max(row.n, most.get((row.model, row.version), 0))
    found = measured.versions_by_users(reader, ("ctr_list",), PageFilters())
    assert found == most
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_names_are_those_of_the_table(reader: DashboardReader) -> None:
    assert measured.sources(reader) == ["tastemaker", "theirs"]
    assert measured.names_of(reader, "model", PageFilters()) == ["als"]
    assert measured.names_of(reader, "version", PageFilters()) == ["v1", "v2", "v3"]
    assert measured.names_of(reader, "version", PageFilters(model="nothing")) == []


def test_the_newest_window_is_found_in_an_index(reader: DashboardReader) -> None:
    with reader.engine.connect() as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT window_start, window_end FROM measurements WHERE source = 'x' AND "
                "metric = 'y' AND is_complete = 1 ORDER BY window_end DESC LIMIT 1"
            )
        ).all()
    assert len(plan) == 1, "no sort"
    assert "COVERING INDEX ix_measurements_source_metric" in plan[0].detail


def test_days_between_is_in_days(reader: DashboardReader) -> None:
    columns = measurements.c
    length = DaysBetween(columns.window_start, columns.window_end)
    for row in reader.rows(select(columns.window_start, columns.window_end, length.label("days"))):
        assert timedelta(days=row.days) == pytest.approx(row.window_end - row.window_start, abs=DAY / 1e6)
    compiled = str(select(length).compile(dialect=create_engine("postgresql://").dialect))
    assert "extract(epoch FROM measurements.window_end - measurements.window_start) / 86400.0" in compiled


@pytest.mark.parametrize(
    ("users", "value", "says"),
    [(12, None, "12 of 30 users"), (30, None, "fewer than 10 events"), (12, 0.5, "")],
)
def test_a_figure_says_what_is_missing(tmp_path: Path, users: int, value: float | None, says: str) -> None:
    row = measurement("ctr_list", value, 28, n=users)
    with dashboard_engine(tmp_path, [row]) as (settings, engine):
        found = measured.latest(DashboardReader(engine, settings), ("ctr_list",), PageFilters(), names=NAMES)
        assert measured.figure(found[0], "Clicks", "").missing == says
