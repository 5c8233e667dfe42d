"""The leaderboard: which backtests are compared, the verdicts, and how they are shown."""

from __future__ import annotations

import doctest
import io
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console
from sqlalchemy import Engine

from support.evaluation_worlds import Scripted, ScriptedConfig, small_split
from support.repository import ROOT
from tastemaker.cli.leaderboard import leaderboard
from tastemaker.dataset.split import Split
from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.evaluation import backtest, results
from tastemaker.evaluation.leaderboard import formatting, terminal
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.evaluation.leaderboard.pairwise import Pairs
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.evaluation.verdicts import Verdict
from tastemaker.plugins.discovery import Plugin
from tastemaker.problem import EventReward, Guardrail, Objective, Placement, ProblemSpec
from tastemaker.stats.bootstrap import Interval
from tastemaker.storage.engine import open_engine

PROBLEM = ProblemSpec(
    name="small <shop>",
    placement=Placement(k=5),
    objectives=(Objective(name="sales", events={"purchase": EventReward()}),),
    guardrails=(Guardrail(metric="coverage", at_least=0.9), Guardrail(metric="popularity_bias", at_most=0.5)),
)
DOCS = ROOT / "docs"
MODELS = {"popularity": (0.0, False), "twin": (0.0, False), "contrary": (0.0, True), "noise": (1000.0, False)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def engine(home: Path) -> Engine:
    return open_engine(f"sqlite:///{home / 'tastemaker.db'}")


def run_backtest(
    engine: Engine, home: Path, model: str, split: Split, problem: ProblemSpec = PROBLEM
) -> Backtest:
    noise, upside_down = MODELS[model]
    plugin = Plugin(model, Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
    config = ScriptedConfig(noise=noise, upside_down=upside_down)
    return backtest.run(plugin, config, split, problem, engine, home / "artifacts")


@pytest.fixture(scope="module")
def backtested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the backtests of all models."""
    home = tmp_path_factory.mktemp("backtested")
    engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
    for model in MODELS:
        run_backtest(engine, home, model, small_split(200))
    engine.dispose()
    return home


@pytest.fixture
def board(engine: Engine, home: Path, backtested: Path) -> Leaderboard:
    """The leaderboard of a copy of these backtests."""
    shutil.copytree(backtested / "artifacts", home / "artifacts", dirs_exist_ok=True)
    with closing(sqlite3.connect(backtested / "tastemaker.db")) as source, engine.connect() as connection:
        source.backup(connection.connection.driver_connection)  # type: ignore[arg-type]
    return Leaderboard.load(engine, PROBLEM, home / "artifacts")


@pytest.mark.slow
def test_verdicts_and_ranks(board: Leaderboard) -> None:
    found = {row.model: (row.ranks, row.standing, row.verdict) for row in board.rows}
    assert found["popularity"] == ((1, 2), "best", "baseline")
    assert found["twin"] == ((1, 2), "best", "tied")  # the same lists: neither is ahead
    assert found["noise"] == ((3, 3), "worse", "worse")
    assert found["contrary"] == ((4, 4), "worse", "worse")
    assert [row.model for row in board.rows] == ["popularity", "twin", "noise", "contrary"]
    assert board.rows[2].better_than == ("contrary",)


def test_a_model_that_these_users_cannot_distinguish_from_the_best_is_tied_with_it(
    engine: Engine, home: Path
) -> None:
    plugin = Plugin("nearly", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
    backtest.run(plugin, ScriptedConfig(noise=40), small_split(200), PROBLEM, engine, home / "artifacts")
    run_backtest(engine, home, "popularity", small_split(200))
    board = Leaderboard.load(engine, PROBLEM, home / "artifacts")
    assert [row.standing for row in board.rows] == ["best", "tied with the best"]
    assert [row.ranks for row in board.rows] == [(1, 2), (1, 2)]
    assert board.rows[1].p_best is not None
    assert board.rows[1].p_best > 0.05
    assert "is not significantly better than" in formatting.summary(board)


def test_the_difference_is_the_one_that_promotion_asks_for(
    board: Leaderboard, engine: Engine, home: Path
) -> None:
    by_model = {row.model: row for row in board.rows}
    expected = results.compare(
        home / "artifacts", by_model["contrary"].backtest, by_model["popularity"].backtest, "ndcg"
    )
    np.testing.assert_allclose(by_model["contrary"].difference or (), expected, rtol=1e-9)
    assert by_model["popularity"].difference is None


@pytest.mark.slow
def test_less_is_better_for_popularity_bias(board: Leaderboard, engine: Engine, home: Path) -> None:
    other = Leaderboard.load(engine, PROBLEM, home / "artifacts", metric="popularity_bias")
    assert other.rows[0].model == "contrary"
    assert other.rows[0].verdict == "better"
    assert other.rows[0].difference is not None
    assert other.rows[0].difference.high < 0


def test_breached_guardrails_are_named(board: Leaderboard) -> None:
    by_model = {row.model: row for row in board.rows}
    breached = {breach.metric for breach in by_model["popularity"].breaches}
    assert breached == {"coverage", "popularity_bias"}
    assert [breach.metric for breach in by_model["contrary"].breaches] == ["coverage"]
    texts = [formatting.breach(breach) for breach in by_model["contrary"].breaches]
    assert texts == ["Coverage 0.2500, must be at least 0.9000"]


def test_pairs_are_antisymmetric_and_never_better_than_each_other() -> None:
    columns = np.random.default_rng(0).normal([0.0, 0.0, 1.0], 1, (300, 3))
    pairs = Pairs.of(columns, "ndcg")
    np.testing.assert_array_equal(pairs.value, -pairs.value.T)
    np.testing.assert_array_equal(pairs.low, -pairs.high.T)
    assert not (pairs.better & pairs.better.T).any()
    assert pairs.better[2, 0]
    assert pairs.better[2, 1]
    assert (Pairs.of(-columns, "popularity_bias").better == pairs.better).all()


@pytest.mark.slow
def test_only_the_newest_backtest_on_the_newest_data_counts(engine: Engine, home: Path) -> None:
    run_backtest(engine, home, "contrary", small_split(seed=1))
    assert [row.model for row in Leaderboard.load(engine, PROBLEM, home / "artifacts").rows] == ["contrary"]
    for model in ("popularity", "twin"):
        run_backtest(engine, home, model, small_split())
    twin = Plugin("twin", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")
    newer = backtest.run(twin, ScriptedConfig(noise=3), small_split(), PROBLEM, engine, home / "artifacts")
    rows = {row.model: row.backtest for row in Leaderboard.load(engine, PROBLEM, home / "artifacts").rows}
    assert set(rows) == {"popularity", "twin"}
    assert rows["twin"] == newer


def test_without_the_baseline_nothing_is_compared_with_it(engine: Engine, home: Path) -> None:
    run_backtest(engine, home, "twin", small_split())
    board = Leaderboard.load(engine, PROBLEM, home / "artifacts")
    assert board.rows[0].verdict == "not compared"
    assert formatting.summary(board).endswith("No model was compared with the baseline popularity.")
    assert "not compared" in board.to_html()


@pytest.mark.slow
def test_one_user_ties_with_everything(engine: Engine, home: Path) -> None:
    for model in ("popularity", "contrary"):
        run_backtest(engine, home, model, small_split(1))
    board = Leaderboard.load(engine, PROBLEM, home / "artifacts")
    assert {row.verdict for row in board.rows} == {"baseline", "tied"}
    assert {row.ranks for row in board.rows} == {(1, 2)}
    assert {row.p for row in board.rows} == {None, 1.0}
    found = json.loads(board.to_json())["rows"][0]["metrics"]["ndcg"]
    assert found["low"] is None
    assert "no interval from one user" in board.to_html()
    board.plot(home / "one.png")


def test_nothing_evaluated_yet_says_what_there_is(engine: Engine, home: Path) -> None:
    run_backtest(engine, home, "twin", small_split())
    other = PROBLEM.model_copy(update={"name": "another"})
    with pytest.raises(TastemakerError, match="'another'; problems with results: small <shop>"):
        Leaderboard.load(engine, other, home / "artifacts")


def test_users_that_differ_are_refused(engine: Engine, home: Path) -> None:
    run_backtest(engine, home, "popularity", small_split())
    stored = run_backtest(engine, home, "twin", small_split())
    users = results.load_users(home / "artifacts", stored)
    changed = UserResults(users.k, users.user_keys[::-1].copy(), users.values)
    results.save_users(home / "artifacts" / stored.users_path, changed)
    with pytest.raises(ArtifactError, match="twin and popularity were evaluated on different users"):
        Leaderboard.load(engine, PROBLEM, home / "artifacts")


def test_json_holds_every_figure(board: Leaderboard) -> None:
    found = json.loads(board.to_json())
    assert (found["problem"], found["metric"], found["k"], found["users"]) == ("small <shop>", "ndcg", 5, 200)
    start, cut, end = (datetime.fromisoformat(found[key]) for key in ("train_start", "train_end", "test_end"))
    assert (start, cut, end) == board.window
    assert end - cut == timedelta(days=7)
    assert cut.tzinfo == UTC
    row = next(row for row in found["rows"] if row["model"] == "contrary")
    stored = next(row for row in board.rows if row.model == "contrary")
    assert {name: Interval(**one) for name, one in row["metrics"].items()} == stored.backtest.metrics
    assert row["difference"]["n"] == 200
    assert (row["standing"], row["ranks"], row["better_than"]) == ("worse", [4, 4], [])
    assert 0 < row["p"] <= 0.05
    assert len(found["comparisons"]) == 6
    last = found["comparisons"][-1]
    assert (last["model"], last["other"], last["significant"]) == ("noise", "contrary", True)
    assert last["difference"] > 0
    assert last["p"] >= max(last["p_permutation"], last["p_bootstrap"])


def test_every_way_of_showing_it_names_standings_ranks_and_p(board: Leaderboard) -> None:
    console = Console(width=110, record=True, file=io.StringIO())
    terminal.show(board, console)
    for shown in (board.to_html(), console.export_text()):
        for text in ("best", "worse", "1–2", "p 1", formatting.chance(board.rows[3].p)):
            assert text in shown
    assert board.to_html().count("<td>not significant</td>") == 1
    assert board.to_html().count("<td>significant</td>") == 5


def test_the_page_is_well_formed_and_needs_no_network(board: Leaderboard) -> None:
    page = board.to_html()
    assert re.findall(r"(?:src=|href|url|@import|<script|<link)", page) == []
    assert "small &lt;shop&gt;" in page
    assert "<shop>" not in page
    figures, differences = ElementTree.fromstring(page.partition("\n")[2]).iter("svg")
    points = [len(svg.findall(".//path[@class='mark']")) for svg in (figures, differences)]
    assert points == [len(MODELS), len(MODELS) - 1]  # the baseline has no difference from itself
    assert figures.get("aria-label") == "NDCG@5 with 95 % intervals"
    assert differences.get("aria-label") == "Difference from popularity, paired, with 95 % intervals"


@pytest.mark.slow
def test_the_plot_is_a_png(board: Leaderboard, home: Path) -> None:
    strange = replace(board, problem=board.problem.model_copy(update={"name": "商店 $1 _x$ \\q"}))
    strange.plot(home / "new folder" / "board.png")
    assert (home / "new folder" / "board.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in home.rglob(".*tmp")] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04125, "0.0413"), (3.2714, "3.271"), (128.44, "128.4"), (20145.2, "20,145"), (-0.5, "−0.5000")],
)
def test_numbers_as_people_read_them(value: float, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.slow
def test_documented_examples() -> None:
    page = str(DOCS / "reference" / "metrics.md")
    assert doctest.testfile(page, module_relative=False, encoding="utf-8").failed == 0


def test_seconds_and_sizes() -> None:
    assert [formatting.seconds(value) for value in (0.0123, 3.44, 125)] == ["12 ms", "3.4 s", "2 min 5 s"]
    assert [formatting.size(n) for n in (640, 12_300, 5_200_000, 7_100_000_000)] == [
        "640 B",
        "12.3 kB",
        "5.2 MB",
        "7.1 GB",
    ]


PROBLEM_FILE = """
name: small <shop>
placement: {k: 5}
objectives:
  - name: sales
    events: {purchase: {weight: 1.0}}
"""


@pytest.fixture
def in_home(home: Path, board: Leaderboard, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    monkeypatch.setenv("TASTEMAKER_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "110")
    (home / "problem.yaml").write_text(PROBLEM_FILE)
    return home


@pytest.mark.parametrize("arguments", [[], ["--all"]])
def test_command_shows_the_table(in_home: Path, arguments: list[str]) -> None:
    shown = CliRunner().invoke(leaderboard, arguments, catch_exceptions=False)
    assert shown.exit_code == 0
    for text in ("small <shop>", "NDCG@5", "baseline", "tied", "worse", "200 users evaluated"):
        assert text in shown.stdout
    assert ("Coverage@5" in shown.stdout) == ("--all" in arguments)
    assert ("tastemaker leaderboard --all" in shown.stdout) == ("--all" not in arguments)


def test_every_verdict_has_a_colour_on_the_page() -> None:
    style = resources.files("tastemaker.html").joinpath("style.css").read_text("utf-8")
    for verdict in get_args(Verdict):
        rule = r"\.tastemaker \." + verdict.replace(" ", "-") + r"\b[^}]*--mark: "
        assert re.search(rule, style), verdict


@pytest.mark.slow
def test_command_writes_json_page_and_plot(in_home: Path) -> None:
    shown = CliRunner().invoke(
        leaderboard, ["--json", "--html", "board.html", "--plot", "board.png"], catch_exceptions=False
    )
    assert json.loads(shown.stdout)["rows"][0]["model"] == "popularity"
    assert (in_home / "board.html").read_text().startswith("<!doctype html>")
    assert (in_home / "board.png").exists()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_figure_is_cut_off_in_a_narrow_terminal(board: Leaderboard, columns: int) -> None:
    console = Console(width=columns, record=True, file=io.StringIO())
    terminal.show(board, console)
    shown = console.export_text()
    assert "…" not in shown
    for row in board.rows:
        for figure in row.backtest.metrics.values():
            assert formatting.number(figure.value) in shown
    if columns >= 80:
        assert all(
            formatting.span(figure) in shown for row in board.rows for figure in row.backtest.metrics.values()
        )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--html", "/dev/null/board.html"], "/dev/null/board.html can't be written: File exists"),
        (["--metric", "accuracy"], "--metric is 'accuracy', which is not a metric"),
        (["--problem", "new_items.yaml"], "--problem is 'new_items.yaml', which is neither a file nor"),
    ],
)
def test_command_refuses_in_words(in_home: Path, arguments: list[str], complaint: str) -> None:
    with pytest.raises(TastemakerError, match=complaint):
        CliRunner().invoke(leaderboard, arguments, catch_exceptions=False)


@pytest.mark.slow
def test_command_takes_another_problem_by_file_or_its_own_by_name(in_home: Path) -> None:
    other = in_home / "other.yaml"
    other.write_text(PROBLEM_FILE.replace("small <shop>", "other"))
    shown = CliRunner().invoke(leaderboard, ["--problem", "small <shop>", "--json"], catch_exceptions=False)
    assert json.loads(shown.stdout)["problem"] == "small <shop>"
    with pytest.raises(TastemakerError, match="no model has been evaluated on the problem 'other'"):
        CliRunner().invoke(leaderboard, ["--problem", str(other)], catch_exceptions=False)
