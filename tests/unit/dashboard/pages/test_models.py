"""Models and its versions on the shop of `dashboard_shops`, and with a thousand versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from support.dashboard_homes import DAY, dashboard_client, dashboard_engine, days_of, measurement
from support.dashboard_shops import BASELINE, BEFORE, CHAMPION, TRUTH, beat_the_champion, fill
from tastemaker.dashboard.content import PageContent, TableCell
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.pages import model_version, models
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import ON_THIS_MACHINE
from tastemaker.errors import TastemakerError
from tastemaker.storage import tables

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[DashboardReader]:
    with dashboard_engine(tmp_path) as (settings, engine):
        fill(engine, NOW)
        yield DashboardReader(engine, settings, lambda: NOW)


def load(reader: DashboardReader, **filters: Any) -> PageContent:
    return models.PAGE.load(reader, PageFilters(**filters), ON_THIS_MACHINE)


def load_version(reader: DashboardReader, version: str) -> PageContent:
    return model_version.PAGE.load(reader, PageFilters(path={"version": version}), ON_THIS_MACHINE)


def backtest(model: str, ndcg: float) -> dict[str, Any]:
    figure = {"value": ndcg, "low": ndcg - 0.01, "high": ndcg + 0.01, "n": 500}
    return {
        "id": f"test of {model}", "problem": "shop", "model": model, "config": {}, "data_hash": "same",
        "train_end": NOW - 20 * DAY, "test_end": NOW - 13 * DAY, "metrics": {"ndcg": figure},
        "users_path": "", "users": 500, "train_seconds": 1.0, "score_seconds": 1.0,
        "artifact_bytes": 1, "created_at": NOW, "listed_at": NOW,
    }  # fmt: skip


def test_the_table_has_every_figure_of_each_version(reader: DashboardReader) -> None:
    table = load(reader).table("versions")
    found = {row["version"]: row for row in table.records()}
    assert list(found) == [CHAMPION, BASELINE, BEFORE]
    for metric in models.METRICS:
        for version in found:
            assert found[version][metric] == TRUTH[metric][1][version]
    champion = dict(zip([column.name for column in table.columns], table.rows[0], strict=True))
    assert champion["model"] == TableCell("ranker", link="/training#ranker", small="champion")
    assert champion["ctr_list"].small == "11.6 to 12.0 %"
    assert champion["forecast"].value == 0.401
    assert champion["forecast"].small == "0.371 to 0.433; what came agrees"
    assert champion["offline"].small == "no backtest"


def test_a_champion_that_is_worse_than_the_baseline_is_named_with_the_figures(
    reader: DashboardReader,
) -> None:
    assert load(reader).answer.endswith(f"the champion is ranker {CHAMPION}.")
    beat_the_champion(reader.engine, NOW)
    assert load(reader).answer.endswith(
        f"the champion is ranker {CHAMPION}. On past data the champion's recipe is worse than the baseline "
        "popularity: its ndcg is lower by 0.0213 (0.0125 to 0.0301)."
    )


def test_a_backtest_has_an_interval_and_a_rank(reader: DashboardReader) -> None:
    with reader.engine.begin() as connection:
        connection.execute(
            insert(tables.backtests),
            [backtest("ranker", 0.12), backtest("als", 0.13), backtest("ease", 0.11)],
        )
        connection.execute(
            update(tables.versions)
            .where(tables.versions.c.id == CHAMPION)
            .values(backtest_id="test of ranker")
        )
    cell = load(reader).table("versions").rows[0][5]
    assert (cell.value, cell.small) == (0.12, "0.110 to 0.130; ndcg, rank 2 of 3")


def test_a_forecast_that_did_not_hold_is_said(reader: DashboardReader) -> None:
    wrong = {"snips": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 9, "varied": 9}}
    with reader.engine.begin() as connection:
        connection.execute(update(tables.forecasts).values(estimates=wrong))
    assert load(reader).table("versions").rows[0][6].small == "0.800 to 1; what came differs"


def test_small_multiples_share_their_scales(reader: DashboardReader) -> None:
    charts = [chart for chart in load(reader).charts() if chart.name.startswith("ctr_list")]
    assert [chart.title for chart in charts] == ["ranker …e828", "popularity …4410", "ranker …7a31"]
    axes = {str(chart.spec["layer"][-1]["encoding"][axis].get("scale")) for chart in charts for axis in "xy"}
    assert len(axes) == 2


def test_of_many_versions_the_busiest_have_charts_and_all_have_a_page(tmp_path: Path) -> None:
    rows = [
        measurement("ctr_list", 0.1, 28, version=f"version-{number:04}", n=1_000 - number)
        for number in range(250)
    ]
    with dashboard_client(tmp_path, rows) as client:
        first = client.get("/models").text
        assert "The 4 versions with most users, of 250" in first
        assert re.findall(r"version-\d+</a>", first)[0::99] == ["version-0000</a>", "version-0099</a>"]
        assert 'href="/models?page=2">Next page' in first
        last = client.get("/models?page=3").text
        assert "Rows 201 to 250 of 250" in last
        assert "Next page" not in last


def test_too_little_data_says_how_much_is_missing(tmp_path: Path) -> None:
    rows = [*days_of("als", "v1"), measurement("reward_per_request", None, 28, version="v2", n=12)]
    with dashboard_client(tmp_path, rows) as client:
        text = client.get("/models").text
    assert '<td class="figure too-little">–<small>12 of 30 users</small></td>' in text


def test_old_figures_are_marked(tmp_path: Path) -> None:
    for hours, is_old in ((1, False), (49, True)):
        at = datetime.now(UTC) - timedelta(hours=hours)
        rows = days_of("als", "v1", computed_at=at)
        with dashboard_client(tmp_path / str(hours), rows) as client:
            assert ("older than usual" in client.get("/models").text) is is_old


def test_a_version_has_a_page_of_its_own(reader: DashboardReader) -> None:
    content = load_version(reader, CHAMPION)
    assert content.title == f"ranker {CHAMPION}"
    assert content.answer == (
        "This version of ranker was trained on 18 Nov 2026 and answered 18,600 users in the last 28 days."
    )
    assert [chart.name for chart in content.charts()] == list(model_version.DRAWN)
    what = [one["what"] for one in content.table("changes").records()]
    assert (what[0], what[-1]) == ("promoted", "trained")
    parts = {one["part"]: one["value"] for one in content.table("lineage").records()}
    assert {"data", "code", "backtest", "champion before"} <= parts.keys()


def test_a_version_of_others_has_a_page_too(tmp_path: Path) -> None:
    rows = list(days_of("theirs", "a/b 1", source="their key"))
    with dashboard_client(tmp_path, rows) as client:
        link = re.search(r'href="(/models/[^"]+)">a/b 1', client.get("/models").text)
        assert link is not None
        page = client.get(link.group(1))
        assert page.status_code == 200
        assert "theirs a/b 1" in page.text


def test_an_unknown_version_is_refused_in_words(reader: DashboardReader) -> None:
    with pytest.raises(TastemakerError, match="there is no version 'nothing'"):
        load_version(reader, "nothing")
