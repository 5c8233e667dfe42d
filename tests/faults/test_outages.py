"""A disk that fills up and a clock that jumps under simulated traffic."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import scenarios
from support.small_disks import mounted
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import read_log

pytestmark = pytest.mark.servers


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a home is to be."""
    return tmp_path / "home"


def test_a_full_disk_stops_feedback_only_and_nothing_is_lost(home: Path) -> None:
    with mounted(home / "spool", "16m") as spool:
        survived, refusal, stages = scenarios.disk_full(home, spool, 0.0)
    assert refusal.status_code in {429, 503, 507}
    assert refusal.headers["content-type"] == "application/problem+json"
    assert stages == ["model"] * len(stages)
    assert survived.unharmed


def test_a_clock_that_jumps_does_no_harm(home: Path) -> None:
    survived = scenarios.clock_jumps(home)
    assert survived.unharmed
    assert survived.summary["stages"].keys() == {"model"}
    timestamps = read_log(Lake(home / "lake"))["occurred_at"].to_pylist()
    assert (max(timestamps) - min(timestamps)).total_seconds() > 73 * scenarios.HOUR, "the clock did jump"
