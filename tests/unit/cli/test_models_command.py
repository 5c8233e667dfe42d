"""`tastemaker models` as a person and as a machine see it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from tastemaker.cli.models import models
from tastemaker.errors import PluginError
from tastemaker.plugins import checks, discovery
from tastemaker.plugins.discovery import BrokenPlugin, Plugins
from tastemaker.workflows import workspace


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models, list(arguments))


def test_list_shows_sound_and_broken_models(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = tuple(discovery.get(name) for name in ("popularity", "random"))
    broken = (BrokenPlugin("sick", "sick-models", "0.1", "sick:Model", "it can't be imported"),)
    monkeypatch.setattr(discovery, "find", lambda: Plugins(sound, broken))
    shown = run("list").output
    assert "popularity" in shown
    assert "sick (sick:Model of the distribution sick-models 0.1): it can't be imported" in shown
    listed = json.loads(run("list", "--json").output)
    assert [one["name"] for one in listed["models"]] == ["popularity", "random"]
    assert listed["models"][1]["stochastic"] is True
    assert listed["broken"][0]["reason"] == "it can't be imported"


def test_show_gives_equation_reference_and_bounds() -> None:
    shown = run("show", "trending").output
    for part in ("2^(-(T - t_vi) / h)", "DecayPop", "half_life_days", "7.0", "> 0, ≤ 3650"):
        assert part in shown


def test_show_as_json_has_the_config_in_use(tmp_path: Path) -> None:
    (tmp_path / "tastemaker.toml").write_text("[models.trending]\nhalf_life_days = 3\n")
    assert json.loads(run("show", "trending", "--json").output)["config"] == {"half_life_days": 3.0}


def test_an_unknown_model_is_a_mistake_in_words() -> None:
    assert isinstance(run("show", "nope").exception, PluginError)
    assert isinstance(run("check", "nope").exception, PluginError)


def test_check_lists_every_check() -> None:
    done = run("check", "popularity")
    assert done.exit_code == 0
    assert "✓ fit twice is fit once" in done.output
    assert "– checkerboard is recovered: it does not declare that it personalizes" in done.output
    assert done.output.endswith("popularity passes the checks\n")


def test_check_says_no_for_a_broken_model(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [checks.CheckResult("items_are_distinct", "failed", "row 3 has an item twice: [1, 1]")]
    monkeypatch.setattr(checks, "run_checks", lambda recommender: results)
    done = run("check", "popularity")
    assert done.exit_code == 1
    assert "✗ items are distinct: row 3 has an item twice: [1, 1]" in done.output
    done = run("check", "popularity", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)[0]["verdict"] == "failed"


def test_new_says_what_comes_next(tmp_path: Path) -> None:
    done = run("new", "my_model")
    assert done.exit_code == 0
    assert "pip install -e models/my_model" in done.output
    assert (tmp_path / "models" / "my_model" / "pyproject.toml").exists()


def test_without_versions_versions_says_how_to_get_some() -> None:
    assert run("versions").output == "no version has been trained yet: tastemaker run trains every model\n"
    assert json.loads(run("versions", "--json").output) == []


class FakeRegistry:
    """Two versions; the second is champion."""

    def list(self, model: str | None) -> list[SimpleNamespace]:
        at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        common = {"problem": "shop", "created_at": at, "content_hash": "c", "backtest_id": None}
        both = [
            SimpleNamespace(id="v2", model="ease", **common),
            SimpleNamespace(id="v1", model="ials", **common),
        ]
        return [one for one in both if model in (None, one.model)]

    def champion(self, problem: str) -> SimpleNamespace:
        return SimpleNamespace(id="v1")

    def frozen(self, problem: str) -> None:
        return None


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(registry=FakeRegistry(), problem=SimpleNamespace(name="shop"))
    monkeypatch.setattr(workspace.Workspace, "open", lambda: fake)


@pytest.mark.usefixtures("registry")
def test_versions_mark_the_champion() -> None:
    lines = run("versions").output.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["v2", "ease"], ["*", "v1"]]
    assert [one["champion"] for one in json.loads(run("versions", "--json").output)] == [False, True]
    assert [one["id"] for one in json.loads(run("versions", "ease", "--json").output)] == ["v2"]


@pytest.mark.parametrize("command", sorted(models.commands))
def test_every_command_has_examples(command: str) -> None:
    assert f"tastemaker models {command}" in run(command, "--help").output
