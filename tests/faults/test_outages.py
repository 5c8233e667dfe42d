"""What a real service needs goes away under simulated traffic. benchmarks/faults.py waits a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

import scenarios
from disks import mounted
from scenarios import Survived
from tastemaker.data.lake import Lake
from tastemaker.logs.drain import served

pytestmark = pytest.mark.servers

AWAY_SECONDS = 6.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a home is to be."""
    return tmp_path / "home"


def unharmed(survived: Survived) -> bool:
    """Everybody got a list, every event was acknowledged in the end, and all is in the log, once."""
    summary = survived.summary
    lists = summary["statuses"]["/recommend"].keys() == {"200"}
    return lists and summary["failed"] == summary["events_abandoned"] == 0 and survived.verdict.sound


def test_a_full_disk_stops_feedback_only_and_nothing_is_lost(home: Path) -> None:
    with mounted(home / "spool", "16m") as spool:
        survived, refusal, stages = scenarios.disk_full(home, spool, 0.0)
    assert refusal.status_code in {429, 503, 507}
    assert refusal.headers["content-type"] == "application/problem+json"
    assert stages == ["model"] * len(stages)
    assert unharmed(survived)


def test_a_clock_that_jumps_does_no_harm(home: Path) -> None:
    survived = scenarios.clock_jumps(home)
    assert unharmed(survived)
    assert survived.summary["stages"].keys() == {"model"}
    moments = served(Lake(home / "lake"))["occurred_at"].to_pylist()
    assert (max(moments) - min(moments)).total_seconds() > 73 * scenarios.HOUR, "the clock did jump"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's own
def test_no_list_fails_while_redis_refuses_or_hangs_and_features_come_back(home: Path) -> None:
    assert unharmed(scenarios.redis_away(home, AWAY_SECONDS))


def test_no_list_fails_without_postgres_and_the_logs_arrive_when_it_is_back(home: Path) -> None:
    assert unharmed(scenarios.postgres_away(home, AWAY_SECONDS))
