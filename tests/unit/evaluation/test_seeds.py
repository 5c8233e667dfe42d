"""The spread over seeds, beside that over users."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from support.evaluation_worlds import Scripted
from support.tuning_worlds import AIMS, world
from tastemaker.evaluation import results, seeds
from tastemaker.evaluation.leaderboard import terminal
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.evaluation.seeds import SeedSpread
from tastemaker.plugins.discovery import Plugin
from tastemaker.stats.bootstrap import Interval
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.slow
NOISY = Plugin("scripted", Scripted, "tests", "1", "support.evaluation_worlds:Scripted")


def board(opened: Workspace) -> Leaderboard:
    return Leaderboard.load(opened.engine, opened.problem, opened.settings.artifacts)


def spread(*figures: float) -> SeedSpread:
    return SeedSpread("b", tuple(range(len(figures))), {"ndcg": figures}, datetime.now(UTC))


def test_which_chance_is_larger() -> None:
    users = Interval(0.3, 0.3 - 1.959964 * 0.02, 0.3 + 1.959964 * 0.02)
    assert seeds.standard_error(users) == pytest.approx(0.02)
    assert spread(0.1, 0.3).deviation("ndcg") == pytest.approx(np.sqrt(0.02))
    assert spread(0.1, 0.3).larger("ndcg", users) == "seeds"
    assert spread(0.30, 0.31).larger("ndcg", users) == "users"
    assert spread(0.3, 0.3).larger("ndcg", Interval(0.3, 0.3, 0.3)) == "neither"


def test_a_model_that_draws_varies_and_one_that_does_not_does_not(tmp_path: Path) -> None:
    opened = world(tmp_path, models={"scripted": {"noise": 300.0}})
    noisy, steady = (
        seeds.measure(opened.backtester(NOISY), opened.settings.seed, 4),
        seeds.measure(opened.backtester(AIMS), opened.settings.seed, 4),
    )
    assert noisy.deviation("ndcg") > 0.01
    assert steady.deviation("ndcg") == 0
    assert noisy.seeds == (0, 1, 2, 3)
    assert results.newest(opened.engine, "tastes") == []


def test_the_first_seed_is_the_leaderboards_and_none_is_done_twice(tmp_path: Path) -> None:
    opened = world(tmp_path, seed=7)
    own = opened.backtest(NOISY)
    Scripted.fits.clear()
    assert board(opened).rows[0].seeds is None
    reported: list[str] = []
    seeds.measure(opened.backtester(NOISY), opened.settings.seed, 3)
    assert len(Scripted.fits) == 2
    found = seeds.measure(
        Workspace(opened.settings).backtester(NOISY),
        opened.settings.seed,
        5,
        lambda what, figure: reported.append(what),
    )
    assert len(Scripted.fits) == 4
    assert reported == [f"seed {seed}" for seed in range(7, 12)]
    assert found.backtest_id == own.id
    assert found.metrics["ndcg"][0] == own.metrics["ndcg"].value
    rows = board(opened).rows
    assert [row.backtest.id for row in rows] == [own.id]
    assert rows[0].seeds == found


def test_the_leaderboard_shows_it(tmp_path: Path) -> None:
    opened = world(tmp_path)
    for plugin in (NOISY, AIMS):
        opened.backtest(plugin)
    found = seeds.measure(opened.backtester(NOISY), opened.settings.seed, 3)
    shown = board(opened)
    rows = {row["model"]: row["seeds"] for row in json.loads(shown.to_json())["rows"]}
    assert rows["aims"] is None
    assert rows["scripted"]["deviation"] == pytest.approx(found.deviation("ndcg"))
    assert rows["scripted"]["larger"] in ("seeds", "users")
    assert "with other seeds" in shown.to_html()
    console = Console(record=True, width=160)
    terminal.show(shown, console)
    assert "3 seeds" in console.export_text()


def test_without_seeds_the_leaderboard_is_as_before(tmp_path: Path) -> None:
    opened = world(tmp_path)
    opened.backtest(AIMS)
    assert "seeds" not in board(opened).to_html()
