"""`tastemaker experiment agreement`: rows, and a summary from eight experiments on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from support import planned_experiments as planned
from support.dashboard_homes import dashboard_engine
from support.operated_homes import put
from tastemaker.cli.experiment_agreement import agreement
from tastemaker.storage.tables import experiment_forecasts

NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path))
    return tmp_path


def plant(home: Path, n: int) -> None:
    """Write experiments of which the last has no outcome yet."""
    with dashboard_engine(home) as (_, engine):
        planned.plant_namespace(engine, NOW)
        for number in range(n):
            planned.plant_experiment(engine, NOW, f"e{number}")
            came = None if number == n - 1 else 0.01 * number
            row = planned.forecast(f"e{number}", "off_policy", 0.02 * number, came, made_at=NOW)
            put(engine, experiment_forecasts, row)


def run(*arguments: str) -> str:
    found = CliRunner().invoke(agreement, arguments)
    assert found.exit_code == 0, found.output
    return found.output


def test_few_experiments_have_rows_only(home: Path) -> None:
    plant(home, 3)
    first, second, last, summary = run().splitlines()
    assert first.startswith("e0 B  off_policy  reward_per_request  forecast +0.0 % ± 1.0")
    assert second.endswith("forecast +2.0 % ± 1.0  outcome +1.0 % ± 1.0  z +0.71, within both errors")
    assert last.endswith("no outcome yet")
    assert summary == "2 experiments have a forecast and an outcome; a summary needs 8"


def test_json_has_rows_and_summaries(home: Path) -> None:
    plant(home, 9)
    found = json.loads(run("--json"))
    assert len(found["forecasts"]) == 9
    assert found["forecasts"][1]["z"] == pytest.approx(0.01 / (0.01 * 2**0.5))
    (summary,) = found["summaries"]
    assert (summary["method"], summary["experiments"]) == ("off_policy", 8)
    assert summary["slope"]["value"] == pytest.approx(0.5)


def test_eight_experiments_have_a_summary(home: Path) -> None:
    plant(home, 9)
    assert run().splitlines()[-1].startswith("off_policy, 8 experiments: within both errors 0.38 (")
