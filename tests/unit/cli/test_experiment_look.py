"""`tastemaker experiment look`: what was just answered is in it, by the metrics of a draft."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from support.request_logs import exposure, fill
from tastemaker.cli.experiment import experiment
from tastemaker.experiments.plan_file import PlanFile
from tastemaker.settings import load_settings


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make_for_commands(tmp_path, monkeypatch)


def run(*words: str) -> str:
    result = CliRunner().invoke(experiment, words)
    return result.output if result.exception is None else f"{result.exception}"


@pytest.mark.slow
@pytest.mark.usefixtures("shop")
def test_units_that_are_still_in_the_spool_are_counted() -> None:
    flags = ("--flag", "off=false", "--flag", "on=true", "--planned-units", "20000", "--by", "ada")
    run("new", "badge", "--hypothesis", "it earns more", *flags)
    run("start", "badge", "--confirm", "aa", "--by", "ada")
    assert "pending 0" in run("look", "badge")
    settings, now = load_settings(), time.time()
    digest = PlanFile(settings.experiments_root / "plan.json").current().digest
    assert digest is not None
    named = {"experiment": "badge", "variant": "on", "served": "on", "plan": digest[:16]}
    fill(settings.spool, [exposure(1, occurred_at=now, received_at=now, unit="u1", user_id="u1", **named)])
    assert "pending 1" in run("look", "badge")
