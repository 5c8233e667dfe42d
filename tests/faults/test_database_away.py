"""Postgres is away under simulated traffic. benchmarks/faults.py has it away for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import scenarios
from tastemaker.event_log.shipping import LONGEST_WAIT_SECONDS

SECONDS = LONGEST_WAIT_SECONDS + 10
"""The shipper's waits have grown to the longest one by then."""


@pytest.mark.servers
def test_no_list_fails_without_postgres_and_the_logs_arrive_when_it_is_back(tmp_path: Path) -> None:
    survived = scenarios.postgres_away(tmp_path / "home", SECONDS, rate=5)
    assert survived.unharmed
    assert survived.verdict.answered > SECONDS, "people came all the while"
    (recovery,) = survived.recovery_seconds
    assert recovery < LONGEST_WAIT_SECONDS + 15
