"""kill -9 of merges, while drains write and readers read: no record is lost, and none is doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from support.request_logs import request
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import put_rows
from tastemaker.event_log.merge import merge
from tastemaker.event_log.spool_file import Pending

pytestmark = pytest.mark.processes

SPOOL = "0123456789abcdef"
KILLS = 8
DAYS, PARTS = 4, 30
MERGE_UNTIL_KILLED = """
import sys
from pathlib import Path
from tastemaker.data.lake import Lake
from tastemaker.event_log.merge import merge

lake, rounds = Lake(Path(sys.argv[1])), 0
while True:
    merge(lake, kept_seconds=float(sys.argv[2]))
    rounds += 1
    print(rounds, flush=True)
"""


def put(lake: Lake, number: int) -> None:
    """Write a part with one request, of one of the days in turn."""
    day = date(2026, 3, 1) + timedelta(days=number % DAYS)
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() + number
    put_rows(lake, Pending(SPOOL, number, number, [request(number, occurred_at=at)]))


def users(lake: Lake) -> Counter[str]:
    """How often the request of each user is in the log."""
    with lake.connect() as connection:
        return Counter(user for (user,) in connection.execute("SELECT user_id FROM requests").fetchall())


def test_merges_that_are_killed_lose_and_double_no_record(tmp_path: Path) -> None:
    lake, rng, number = Lake(tmp_path / "lake"), random.Random(0), 0
    for kill in range(KILLS):
        for _ in range(PARTS):
            number += 1
            put(lake, number)
        # Files that were replaced two seconds ago are deleted: no read here takes as long.
        command = [sys.executable, "-c", MERGE_UNTIL_KILLED, str(lake.root), "2"]
        merging = subprocess.Popen(command, stdout=subprocess.PIPE)
        rounds = merging.stdout
        assert rounds is not None
        try:
            if kill % 2:
                rounds.readline()  # else it is killed in its first round, or before
            ends_at = time.monotonic() + rng.uniform(0.0, 3.0)
            while time.monotonic() < ends_at:
                number += 1
                put(lake, number)
                assert users(lake) == {f"user-{one}": 1 for one in range(1, number + 1)}
        finally:
            merging.kill()
            merging.wait()
            rounds.close()
        assert users(lake) == {f"user-{one}": 1 for one in range(1, number + 1)}
    merge(lake, kept_seconds=-1)
    merge(lake, kept_seconds=-1)
    assert users(lake) == {f"user-{one}": 1 for one in range(1, number + 1)}
    left = [path for path in lake.root.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert len(left) == DAYS + 1, "a merged file per day, and the newest part"
