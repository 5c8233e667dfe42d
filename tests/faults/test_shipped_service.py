"""A service whose log is emptied by shippers while it is written, each a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import scenarios

SECONDS = float(os.environ.get("FAULT_SECONDS", "30"))
"""FAULT_SECONDS=600 looks longer."""

pytestmark = pytest.mark.servers


def test_a_log_that_is_shipped_while_it_is_written_takes_everything_once(tmp_path: Path) -> None:
    survived, degraded, said = scenarios.shipped(tmp_path / "home", SECONDS)
    assert survived.unharmed
    assert survived.verdict.acknowledged > 10 * SECONDS, "there was traffic"
    assert degraded.count([]) == len(degraded)
    assert "thread failed" not in said
