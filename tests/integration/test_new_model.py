"""A model of one's own: scaffolded, installed, and then everywhere, with nothing else edited."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import commands, small_shop
from support.bento_servers import running

SELECT = "+key:models/my_model or key:backtests/popularity or key:leaderboard"


class Shop(NamedTuple):
    """A home folder whose user has installed a model of their own."""

    home: Path
    installed: dict[str, str]
    """The environment that finds the model beside all others."""
    run: dict[str, Any]
    """What `tastemaker run --json` said."""

    def tastemaker(self, *words: str) -> str:
        """What a command prints."""
        return commands.done(self.home, "tastemaker", *words, more=self.installed).stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("new_model")
    home, site = folder / "home", folder / "site"
    small_shop.settings(home)
    created = commands.done(home, "tastemaker", "models", "new", "my_model", "--folder", str(folder)).stdout
    assert str(folder / "my_model") in created
    install = ["uv", "pip", "install", "--offline", "--no-deps", "--no-build-isolation"]
    commands.done(home, *install, "--python", sys.executable, "--target", str(site), str(folder / "my_model"))
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    installed = {"PYTHONPATH": os.pathsep.join(paths)}
    printed = commands.done(home, "tastemaker", "run", "--json", "--select", SELECT, more=installed).stdout
    return Shop(home, installed, json.loads(printed))


def test_it_is_in_the_asset_graph(shop: Shop) -> None:
    steps = {step["name"]: step["state"] for step in shop.run["steps"]}
    assert (steps["backtests/my_model"], steps["models/my_model"]) == ("done", "done")


def test_it_obeys_the_checks(shop: Shop) -> None:
    assert shop.tastemaker("models", "check", "my_model").endswith("my_model passes the checks\n")


def test_it_is_on_the_leaderboard_and_has_a_version(shop: Shop) -> None:
    rows = {row["model"]: row for row in json.loads(shop.tastemaker("leaderboard", "--json"))["rows"]}
    assert rows.keys() == {"my_model", "popularity"}
    assert 0 < rows["my_model"]["metrics"]["ndcg"]["value"] <= 1
    [version] = json.loads(shop.tastemaker("models", "versions", "my_model", "--json"))
    assert version["model"] == "my_model"
    assert version["backtest_id"] == facts(shop, "backtests/my_model")["backtest"]


@pytest.mark.servers
def test_it_answers_behind_bentoml_serve(shop: Shop) -> None:
    environment = commands.environment(shop.home, shop.installed) | {
        "BENTOML_HOME": str(shop.home / "bentoml")
    }
    with running(
        ["bentoml", "serve", "tastemaker_my_model.service:MyModel"], shop.home, environment
    ) as client:
        answer = client.post("/recommend", json={"user_id": "an unknown user", "k": 5}).json()
    assert answer["model"] == "my_model"
    assert answer["version"] == facts(shop, "models/my_model")["version"]
    assert len(answer["items"]) == 5


def facts(shop: Shop, name: str) -> dict[str, Any]:
    """What a step of the run says of itself."""
    [found] = [step["facts"] for step in shop.run["steps"] if step["name"] == name]
    return dict(found)
