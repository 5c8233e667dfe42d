"""kill -9 of a real service under simulated traffic. benchmarks/faults.py does it a hundred times."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import scenarios

pytestmark = pytest.mark.servers

KILLS = 20


def test_no_acknowledged_feedback_is_lost_or_doubled_in_twenty_kills(tmp_path: Path) -> None:
    survived = scenarios.killed(tmp_path / "home", KILLS)
    found = survived.verdict
    assert found.lost_events == found.doubled_events == []
    assert found.doubled_answers == found.altered_answers == []
    assert found.acknowledged > 2 * KILLS
    assert survived.summary["duplicates"] > 0
    assert len(found.lost_answers) <= 16 * KILLS, "an answer does not wait for its log: those of an instant"


def test_a_killed_worker_is_replaced_without_a_person(tmp_path: Path) -> None:
    assert scenarios.supervised(tmp_path / "home").verdict.feedback_sound
