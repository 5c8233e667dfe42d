"""Item attributes, from a shop's file to a model's backtest, which runs again when they change."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tastemaker.cli.main import cli
from tastemaker.evaluation import results
from tastemaker.settings import load_settings
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

SETTINGS = """
[source]
path = "orders.csv"
items = "goods.csv"
item_columns = ["brand", "note"]

[models]
enabled = ["content"]

[models.content]
texts = ["title", "note"]
labels = ["category", "brand"]
"""
PROBLEM = """
name: shop
placement: {k: 1}
metric: hit_rate
objectives: [{name: sales, events: {purchase: {}}}]
split: {test_days: 10}
candidates: {repeats: false}
"""
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
N_USERS = 40
GOODS = (
    "item_id,title,category,brand,note,first_seen_at",
    "tea 1,Green tea,drinks,Leaf,,2024-01-01",
    "tea 2,White tea,drinks,Leaf,cold brew,2024-01-01",
    "tea 3,,drinks,,cold brew,2024-01-01",
    "mug 1,Red mug,ware,Clay,,2024-01-01",
    "mug 2,Blue mug,ware,,,2024-01-01",
    "mug 3,Mug,,Clay,,2024-01-01",
    "later,Green tea,drinks,Leaf,,2024-02-05",
)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Users who bought one kind buy more of it; no user had the third item of a kind before."""
    orders = ["user_id,item_id,occurred_at"]
    for user in range(N_USERS):
        kind = ("tea", "mug")[user % 2]
        bought = [(f"{kind} 1", 0), (f"{kind} 2", 1), (f"{kind} 3", 35)]
        orders += [f"user-{user},{item},{START + timedelta(days=day)}" for item, day in bought]
    (tmp_path / "orders.csv").write_text("\n".join(orders), "utf-8")
    (tmp_path / "goods.csv").write_text("\n".join(GOODS), "utf-8")
    (tmp_path / "tastemaker.toml").write_text(SETTINGS, "utf-8")
    (tmp_path / "problem.yaml").write_text(PROBLEM, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TASTEMAKER_PROBLEM", raising=False)
    return tmp_path


def call(*words: str) -> str:
    result = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def evaluate() -> dict[str, tuple[str, float]]:
    """Run; model -> its backtest's id and its figure."""
    call("run", "--select", "+key:leaderboard")
    workspace = Workspace(load_settings())
    board: dict[str, Any] = json.loads(call("leaderboard", "--json"))
    assert {row["model"] for row in board["rows"]} == {"content", "popularity"}
    data = workspace.split().data_hash
    listed = results.listed(workspace.engine, workspace.problem.name, data)
    return {one.model: (one.id, one.metrics["hit_rate"].value) for one in listed}


def test_a_model_that_reads_content_is_evaluated_by_what_was_known(shop: Path) -> None:
    """No user had the third item of a kind: only its attributes can lead there."""
    first = evaluate()
    assert first["content"][1] == 1, "cold items, found by their words"
    assert first["popularity"][1] < 1
    train = Workspace(load_settings()).split().train
    assert "later" not in train.items.ids
    assert train.items.columns == ("title", "category", "price", "brand", "note")
    assert evaluate() == first, "nothing changed"

    text = "\n".join(GOODS).replace("tea 3,,drinks,,cold brew", "tea 3,Mug,,Clay,")
    (shop / "goods.csv").write_text(text, "utf-8")
    second = evaluate()
    assert second["content"][0] != first["content"][0]
    assert second["content"][1] == 0.5, "the tea is called a mug now"
