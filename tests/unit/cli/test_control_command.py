"""`tastemaker control` before its server starts: the plan that it begins with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from tastemaker.cli.control import control
from tastemaker.experiments.plan_file import decode_plan


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    monkeypatch.setattr(os, "execve", lambda *_: None)
    monkeypatch.setattr("tastemaker.cli.control.require_free", lambda *_: None)
    return experiment_homes.make_for_commands(tmp_path, monkeypatch)


def test_without_a_plan_the_champion_answers_all_users(shop: ExperimentHome) -> None:
    path = shop.experiments.folder / "plan.json"
    path.unlink()
    assert CliRunner().invoke(control).exit_code == 0
    plan = decode_plan(path.read_bytes())
    (service,) = plan.services
    assert (service.name, service.version) == (plan.default, shop.champion.id)


def test_a_plan_that_is_there_stays_as_it_is(shop: ExperimentHome) -> None:
    path = shop.experiments.folder / "plan.json"
    for content in (b"{", path.read_bytes()):
        path.write_bytes(content)
        assert CliRunner().invoke(control).exit_code == 0
        assert path.read_bytes() == content


def test_a_plan_that_can_not_be_compiled_is_said_and_the_server_starts(
    shop: ExperimentHome,
) -> None:
    (shop.experiments.folder / "plan.json").unlink()
    Path(os.environ["TASTEMAKER_PROBLEM"]).write_text("name: [")
    found = CliRunner().invoke(control)
    assert found.exit_code == 0
    assert "there is no plan, and it can't be compiled" in found.output
