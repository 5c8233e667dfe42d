"""`tastemaker train`: what --when says fits a narrow terminal, and a name that is wrong is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.tuning_worlds import world
from tastemaker.errors import TastemakerError
from tastemaker.trainings.records import FAILED, Cost, Need, Reason
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.cli import train as train_module
from tastemaker_pipelines.cli.train import train


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    opened = world(tmp_path / "home")
    monkeypatch.setattr(Workspace, "open", lambda: opened)
    need = Need(1_200, "abc", 900 << 20, 800 << 20)
    with opened.training_records.training("r1", "ials", (Reason("stale", "of age " * 20),), need):
        opened.training_records.finish("r1", "ials", FAILED, Cost(), problem_text="too big\n  fix: shrink it")
    return opened


def run(*words: str) -> Result:
    return CliRunner().invoke(train, words, catch_exceptions=False)


@pytest.mark.usefixtures("home")
def test_when_is_readable_in_80_columns() -> None:
    lines = run("--when").output.splitlines()
    assert max(map(len, lines)) <= 80
    assert {"ials", "popularity"} <= set(lines), "each model has a heading"
    shown = " ".join(" ".join(run("ials", "--when").output.split()).split())
    assert shown.startswith("ials last failed ")
    for part in (
        "why stale: of age",
        "failed too big fix: shrink it",
        "now not evaluated: ",
        "next on request",
    ):
        assert part in shown


def test_the_same_as_json(home: Workspace) -> None:
    [found] = json.loads(run("ials", "--when", "--json").output)
    [row] = home.training_records.of("ials", 1)
    assert (found["model"], found["last"]["outcome"], found["decision"]) == ("ials", FAILED, None)
    assert found["last"]["limit_bytes"] == row.limit_bytes == 800 << 20
    assert found["last"]["reasons"] == [{"reason": "stale", "detail": "of age " * 20}]


@pytest.mark.usefixtures("home")
def test_a_wrong_name_is_refused_with_a_suggestion() -> None:
    for words in (("popularty",), ("popularty", "--when")):
        with pytest.raises(TastemakerError, match="did you mean popularity"):
            run(*words)


@pytest.mark.usefixtures("home")
def test_what_is_trained_is_compared() -> None:
    selected = train_module._selection(["ials"])
    assert selected == 'key:"backtests/ials" or key:"models/ials" or key:"leaderboard" or key:"champion"'


@pytest.mark.usefixtures("home")
def test_a_reason_is_not_empty_and_belongs_to_a_training() -> None:
    for words in (("--reason", " "), ("--when", "--reason", "a new catalogue")):
        with pytest.raises(TastemakerError, match="--reason"):
            run(*words)
