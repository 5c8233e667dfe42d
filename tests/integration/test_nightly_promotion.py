"""What a run does with the champion: a person's word stands until it is ended; what is live is compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import commands, small_shop
from tastemaker.settings import Settings
from tastemaker.workflows.promote import backtest_of, promote_best
from tastemaker.workflows.promotion_gate import PromotionGate
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.run import run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

MODELS = ("bought_again", "popularity", "item_knn")
SELECT = " or ".join(f"+key:models/{name}" for name in MODELS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a version each of three models, of which bought_again is best, and no champion."""
    chosen = small_shop.settings(tmp_path / "home", models={"enabled": MODELS})
    assert run(chosen, select=SELECT).success
    return chosen


def test_a_rollback_stands_until_a_person_ends_it(settings: Settings) -> None:
    workspace = Workspace(settings)
    first = promote_best(workspace)
    assert first.version is not None
    assert first.version.model == "bought_again"
    popularity = workspace.registry.newest("popularity")
    PromotionGate(workspace.registry).promote(popularity.id, force_reason="the lists are too personal")
    left = promote_best(workspace)
    assert left.version == popularity
    assert left.warning is not None
    assert "tastemaker models unfreeze --reason REASON" in left.warning
    home = settings.home
    run_again = ("tastemaker", "run", "--select", "key:champion", "--json")
    said = commands.done(home, *run_again)
    assert "note: automatic promotion is frozen since the forced promotion of" in said.stderr
    (step,) = json.loads(said.stdout)["steps"]
    assert step["facts"]["version"] == popularity.id
    board = commands.done(home, "tastemaker", "leaderboard")
    assert "automatic promotion is frozen since the forced promotion of" in board.stderr
    commands.done(home, "tastemaker", "models", "unfreeze", "--reason", "they are not")
    said = commands.done(home, *run_again)
    assert "frozen" not in said.stderr
    (step,) = json.loads(said.stdout)["steps"]
    assert step["facts"]["version"] == first.version.id
    assert "(the champion) in ndcg: +" in step["facts"]["why"]


def test_a_champion_of_another_config_is_evaluated_by_its_own(settings: Settings) -> None:
    """A run compares the new config with the live one, of which the leaderboard knows nothing."""
    workspace = Workspace(settings)
    assert promote_best(workspace).version is not None
    live = workspace.registry.newest("bought_again")
    models = {"enabled": MODELS, "bought_again": {"prior_events": 500.0}}
    other = Workspace(small_shop.settings(settings.home, models=models))
    assert run(other.settings, select="+key:models/bought_again").success
    newest = other.registry.newest("bought_again")
    assert newest.manifest.config != live.manifest.config
    before = {one.id for one in other.registry.list()}
    found = backtest_of(other, live)
    assert found.config == live.manifest.config
    assert found.id not in {row.backtest.id for row in other.leaderboard().rows}
    assert {one.id for one in other.registry.list()} == before
    tested = PromotionGate(other.registry).test(newest)
    assert tested.champion is not None
    assert tested.champion.champion_id == live.id
    assert tested.champion.difference is not None
    decided = promote_best(other)
    assert decided.version == (newest if tested.passed else live)
    said = commands.done(settings.home, "tastemaker", "models", "backtest", live.id)
    assert said.stdout.startswith(f"bought_again {live.id}: ndcg 0.")
