"""`tastemaker watch --once` reports what is wrong, and nothing that is so only because it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tastemaker.cli.watch import watch


def test_without_a_service_only_that_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TASTEMAKER_WATCH__INTERVAL_SECONDS", "1")
    done = CliRunner().invoke(watch, ["--once", "--json"])
    assert set(json.loads(done.stdout)) == {"blind"}
    assert done.exit_code == 1
