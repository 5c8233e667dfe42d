"""`tastemaker experiment guard`: what it prints, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from support.request_logs import fill, request
from tastemaker.cli.experiment import experiment
from tastemaker.event_log.records import Assignment
from tastemaker.settings import Settings, load_settings
from tastemaker.storage.engine import open_engine

NAME = "ranker-2"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    problem = tmp_path / "problem.yaml"
    problem.write_text("name: shop\nobjectives: [{name: sales, events: {purchase: {window_days: 3}}}]\n")
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(problem))
    return load_settings()


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExperimentHome]:
    engine = open_engine(settings.metadata_url)
    yield experiment_homes.make(engine, settings.home, monkeypatch)
    engine.dispose()


def run(*words: str) -> Result:
    result = CliRunner().invoke(experiment, ["guard", *words])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def log(settings: Settings, home: ExperimentHome, fallbacks: float) -> None:
    """Log 500 lists of each variant, now; b has a share of fallbacks."""
    its = home.experiments.get(NAME)
    at = home.experiments.history(NAME)[-1].at.timestamp()
    lists = []
    for number in range(1_000):
        variant = "ab"[number % 2]
        served = None if variant == "b" and number < 1_000 * fallbacks else variant
        assignment = Assignment(NAME, 0, variant, 0.5, served, None, f"u{number}")
        version = its.design.variants[variant].version or ""
        lists.append(request(number, assignment=assignment, version=version, occurred_at=at))
    fill(settings.spool, lists)


def test_without_an_experiment_there_is_nothing_to_check(home: ExperimentHome) -> None:
    result = run()
    assert (result.exit_code, result.stdout) == (0, "no experiment runs\n")
    assert json.loads(run("--json").stdout) == []


@pytest.mark.slow
def test_verdicts_are_printed(settings: Settings, home: ExperimentHome) -> None:
    home.running(NAME)
    log(settings, home, 0.0)
    result = run()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "ranker-2, epoch 0"
    assert "  safe    sample_ratio          b               0.5, control 0.5, 500 units" in lines
    assert "  stale   reward_per_user       b               no data, control no data, 0 units" in lines


@pytest.mark.slow
def test_harm_has_an_exit_status_of_its_own(settings: Settings, home: ExperimentHome) -> None:
    home.running(NAME)
    log(settings, home, 0.4)
    result = run("--json")
    assert result.exit_code == 1
    (report,) = json.loads(result.stdout)
    found: dict[str, Any] = {one["guardrail"]: one for one in report["checks"]}
    assert found["fallback_share"]["verdict"] == "harm"
    assert found["fallback_share"]["low"] > 0
    assert report["decision"] is None  # two checks in a row are needed
    assert home.experiments.get(NAME).state == "running"
