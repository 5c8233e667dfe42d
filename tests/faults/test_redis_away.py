"""Redis refuses, and then hangs, under simulated traffic. benchmarks/faults.py has it away for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import scenarios

SECONDS = 20.0


@pytest.mark.servers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Feast's own
def test_no_list_fails_while_redis_refuses_or_hangs_and_features_come_back(tmp_path: Path) -> None:
    survived = scenarios.redis_away(tmp_path / "home", SECONDS, rate=5)
    assert survived.unharmed
    assert survived.verdict.answered > 2 * SECONDS, "people came all the while"
    assert max(survived.recovery_seconds) < 30
