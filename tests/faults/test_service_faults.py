"""Real harm to a real service under simulated traffic. benchmarks/faults.py does the same for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

import scenarios
from disks import mounted
from scenarios import Survived
from tastemaker.data.lake import Lake
from tastemaker.logs.drain import served

pytestmark = pytest.mark.servers

KILLS = 20
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


def test_no_acknowledged_feedback_is_lost_or_doubled_in_twenty_kills(home: Path) -> None:
    survived = scenarios.killed(home, KILLS)
    found = survived.verdict
    assert found.lost_events == found.doubled_events == []
    assert found.doubled_answers == found.altered_answers == []
    assert found.acknowledged > 2 * KILLS
    assert survived.summary["duplicates"] > 0
    assert len(found.lost_answers) <= 16 * KILLS, "an answer does not wait for its log: those of an instant"


def test_a_killed_worker_is_replaced_without_a_person(home: Path) -> None:
    assert scenarios.supervised(home).verdict.feedback_sound


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
