"""Postgres is away for a minute under simulated traffic.

A minute is mostly sleep: this file comes first, and test_redis_away.py late, so that others run meanwhile.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support import scenarios
from tastemaker.event_log.shipping import LONGEST_WAIT_SECONDS

SECONDS = 60.0


@pytest.mark.servers
def test_no_list_fails_without_postgres_and_the_logs_arrive_when_it_is_back(tmp_path: Path) -> None:
    survived = scenarios.postgres_away(tmp_path / "home", SECONDS, rate=5)
    assert survived.unharmed
    assert survived.verdict.answered > SECONDS, "people came all the while"
    (recovery,) = survived.recovery_seconds
    assert recovery < LONGEST_WAIT_SECONDS + 15
