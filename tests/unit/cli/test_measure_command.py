"""`tastemaker measure`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.product_homes import ZONE, make_world, write_home
from tastemaker.cli.measure import measure


@pytest.mark.slow
def test_it_measures_and_prints_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    write_home(home, make_world(90, 34))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(home))
    monkeypatch.setenv("TASTEMAKER_PROBLEM", str(home / "problem.yaml"))
    monkeypatch.setenv("TASTEMAKER_PRODUCT__TIMEZONE", ZONE)
    first = CliRunner().invoke(measure)
    assert first.exit_code == 0, first.output
    assert "r2" in first.stdout
    assert "Daily active users" in first.stdout
    assert "log days  " in first.stderr
    again = json.loads(CliRunner().invoke(measure, ["--json"]).stdout)
    assert again["rows"] == 0
    assert {row["metric"] for row in again["newest"]} >= {"mau", "ctr_list"}
    assert again["log_until"] == "2026-03-06"
