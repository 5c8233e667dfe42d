"""Reports with pages by Evidently: its figures equal ours, and no page holds a user's id."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sqlalchemy import select

from support.evaluation_worlds import Scripted, ScriptedConfig, small_split
from support.html_pages import faults
from support.served_homes import events, make_home, problem
from tastemaker.data.lake import Lake, by_day
from tastemaker.dataset.split import Split
from tastemaker.errors import TastemakerError
from tastemaker.evaluation.backtest import Backtest, LazyFit, measure
from tastemaker.evaluation.metrics import HITS, RankedLists
from tastemaker.evaluation.ranking_report import by_their_definition, ranking_report, ranking_rows
from tastemaker.evaluation.results import UserResults
from tastemaker.monitoring import evidently_pages
from tastemaker.monitoring.data_quality import data_quality_report
from tastemaker.plugins.discovery import Plugin
from tastemaker.registry import Version
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import reports

# Evidently's own use of other libraries.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::RuntimeWarning"
)
NOW = datetime(2026, 11, 29, 3, tzinfo=UTC)
N_ITEMS = 40


@pytest.mark.parametrize("k", [1, 5, 10, 12])
def test_evidently_computes_the_figures_of_our_evaluator(k: int) -> None:
    rng = np.random.default_rng(k)
    lists = np.array([rng.permutation(N_ITEMS)[:k] for _ in range(150)], np.int32)
    for row, length in enumerate(rng.integers(1, k + 1, 40)):
        lists[row, length:] = -1
    rewards = np.where(rng.random((150, N_ITEMS)) < 0.2, rng.normal(5, 4, (150, N_ITEMS)), 0)
    rewards[:, 0] = 1.0  # each user has a relevant item; some have negative rewards
    relevant = csr_array(rewards.astype(np.float32))
    ranked = RankedLists(lists, relevant, catalogue=None)  # type: ignore[arg-type]  # not read by these
    ours = by_their_definition({name: metric(ranked) for name, metric in HITS.items()}, lists, relevant)
    theirs = evidently_pages.ranking("Lists", ranking_rows(lists, relevant), k).figures
    assert theirs == pytest.approx(ours, abs=1e-9)


def test_figures_of_lists_known_by_heart() -> None:
    """Two users with two relevant items each: the first list has one at rank 2, the second none."""
    lists = np.array([[3, 0, 4], [3, 4, -1]], np.int32)
    relevant = csr_array([[1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, -2.0, 0.0]])
    figures = evidently_pages.ranking("Lists", ranking_rows(lists, relevant), 3).figures
    ideal = 1 + 1 / np.log2(3)
    known = {"ndcg": 1 / np.log2(3) / ideal, "mrr": 1 / 2, "hit_rate": 1.0, "recall": 1 / 2, "map": 1 / 4}
    assert figures == pytest.approx({name: value / 2 for name, value in known.items()})


def test_lists_that_miss_nothing_are_perfect() -> None:
    lists, relevant = np.array([[0, 1], [2, 1]], np.int32), csr_array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    figures = evidently_pages.ranking("Lists", ranking_rows(lists, relevant), 2).figures
    assert figures == dict.fromkeys(evidently_pages.RANKING, 1.0)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Split, Backtest, UserResults]:
    split = small_split()
    plugin = Plugin("scripted", Scripted, "tastemaker-tests", "1", "evaluation_worlds:Scripted")
    fitted = LazyFit(plugin, ScriptedConfig(), split)
    return split, *measure("b", fitted, split, problem(), tmp_path_factory.mktemp("scratch"))


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return make_home(tmp_path / "home")["popularity"]


def test_the_report_shows_both_figures(
    evaluated: tuple[Split, Backtest, UserResults], version: Version, tmp_path: Path
) -> None:
    split, backtest, users = evaluated
    engine = open_engine(f"sqlite:///{tmp_path / 'home' / 'tastemaker.db'}")
    report = ranking_report(version, backtest, users, split, engine, tmp_path / "reports", now=NOW)
    ndcg = backtest.metrics["ndcg"]
    assert report.summary["metrics"]["ndcg"]["value"] == ndcg.value
    assert report.summary["evidently"]["ndcg"] == pytest.approx(ndcg.value)
    page = html.unescape(report.path.read_text())
    assert f"NDCG@10 is {ndcg.value:.4f} ({ndcg.low:.4f} to {ndcg.high:.4f})" in page
    for name, theirs in report.summary["evidently"].items():
        assert f"{backtest.metrics[name].value:.4f}" in page
        assert f"{theirs:.4f}" in page
    details = report.path.with_name("ranking-evidently.html")
    assert faults(report.path) == faults(details, own=False) == []
    assert not re.search(r"user-\d{4}", details.read_text())
    with engine.connect() as connection:
        row = connection.execute(select(reports)).mappings().one()
    assert (row["kind"], row["version_id"], row["summary"]) == ("ranking", version.id, report.summary)
    assert row["window_end"].replace(tzinfo=UTC) == backtest.test_end


def test_a_figure_that_differs_refuses_the_report_with_both_figures(
    evaluated: tuple[Split, Backtest, UserResults], version: Version, tmp_path: Path
) -> None:
    split, backtest, users = evaluated
    engine = open_engine(f"sqlite:///{tmp_path / 'home' / 'tastemaker.db'}")
    theirs, ours = users.values["mrr"].mean(), users.values["mrr"].mean() + 1e-5
    wrong = replace(users, values=users.values | {"mrr": users.values["mrr"] + 1e-5})
    with pytest.raises(TastemakerError) as refused:
        ranking_report(version, backtest, wrong, split, engine, tmp_path / "reports", now=NOW)
    said = f"mrr is {ours:.6f} by our evaluator and {theirs:.6f} by Evidently. No report is written"
    assert said in str(refused.value)
    assert "ndcg is" not in str(refused.value)
    assert not list(tmp_path.glob("reports/**/*.html"))
    with engine.connect() as connection:
        assert connection.execute(select(reports)).all() == []


def test_lists_of_other_users_are_refused(
    evaluated: tuple[Split, Backtest, UserResults], version: Version, tmp_path: Path
) -> None:
    split, backtest, users = evaluated
    engine = open_engine(f"sqlite:///{tmp_path / 'home' / 'tastemaker.db'}")
    others = replace(users, user_keys=users.user_keys[::-1])
    with pytest.raises(TastemakerError, match="are not of the users of the test period"):
        ranking_report(version, backtest, others, split, engine, tmp_path / "reports", now=NOW)


def test_the_data_quality_report_has_evidentlys_page_without_a_users_id(tmp_path: Path) -> None:
    lake, engine = Lake(tmp_path / "lake"), open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}")
    assert data_quality_report(lake, engine, tmp_path / "reports", "small shop", now=NOW) is None
    rows = events(3_000)
    for day, part in by_day(rows):
        lake.write_day("landed_events", day, part, part="shop")
    report = data_quality_report(lake, engine, tmp_path / "reports", "<b>shop</b>", now=NOW)
    assert report is not None
    details = report.path.with_name("rows-evidently.html")
    assert faults(report.path) == faults(details, own=False) == []
    for page in (report.path, details):
        assert not re.search(r"user-\d\d|event-\d", page.read_text())
    assert html.escape(report.summary["verdict"], quote=False) in report.path.read_text()
    with engine.connect() as connection:
        row = connection.execute(select(reports)).mappings().one()
    assert (row["kind"], row["version_id"], row["problem"]) == ("data_quality", None, "<b>shop</b>")
    last = rows["occurred_at"][-1].as_py().date()
    assert row["window_end"].date() == last + timedelta(days=1)
