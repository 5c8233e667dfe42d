"""What merging the log's files saves: reads of the whole log, and a learner's poll, before and after.

    python benchmarks/log_files.py            # 30 days of 288 files: a drain every five minutes
    python benchmarks/log_files.py --smoke    # 2 days
    python benchmarks/log_files.py --json

Each file has ROWS requests, and there are as many files of feedback. Every figure is of one run, all are of
one process, and the files are in the system's cache. The merge is that of the asset `served_requests`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import put_rows, read_feedback, read_log
from tastemaker.event_log.merge import LOG_TABLES, merge
from tastemaker.event_log.records import Entry, FeedbackRecord, Item, Record
from tastemaker.event_log.spool_file import Pending
from tastemaker.online_learning import replay
from tastemaker.online_learning.checkpoints import EMPTY, LogPosition
from tastemaker.problem import EventReward, Objective, ProblemSpec

START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
DAYS, FILES_PER_DAY, ROWS = 30, 288, 4
DRAIN_SECONDS = 86_400 / FILES_PER_DAY
PROBLEM = ProblemSpec(name="shop", objectives=(Objective(name="clicks", events={"click": EventReward()}),))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="2 days")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Lake(Path(folder) / "lake"), 2 if arguments.smoke else DAYS)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, (before, after) in found.items():
        ratio = f"  {before / after:.1f} times" if name.endswith("_seconds") else ""
        print(f"{name:<28} {before:>10.3f} {after:>10.3f}{ratio}")


def measure(lake: Lake, days: int) -> dict[str, tuple[float, float]]:
    """Return each figure before and after the merge, and the seconds of the first merge and of the next."""
    write_log(lake, days)
    before, rows = figures(lake, days), read_log(lake)
    first = _seconds(lambda: merge(lake, kept_seconds=-1))
    merge(lake, kept_seconds=-1)
    after = figures(lake, days)
    assert read_log(lake).equals(rows), "the merge changed the log"
    second = _seconds(lambda: merge(lake))
    return {name: (before[name], after[name]) for name in before} | {"merge_and_next_merge": (first, second)}


def write_log(lake: Lake, days: int) -> None:
    """Write a log of so many days."""
    for number in range(days * FILES_PER_DAY):
        first, at = 1 + number * 2 * ROWS, START + number * DRAIN_SECONDS
        records: list[Entry] = [_request(first + place, at + place) for place in range(ROWS)]
        records += [_click(first + place, at + place) for place in range(ROWS)]
        put_rows(lake, Pending("0" * 16, first, first + 2 * ROWS - 1, records))


def figures(lake: Lake, days: int) -> dict[str, float]:
    """Return the number of files and the seconds of each read."""
    end = int(START + days * 86_400)
    return {
        "files": float(sum(len(lake.files(table)) for table in LOG_TABLES)),
        "list_files_seconds": _seconds(lambda: lake.files("requests")),
        "read_requests_seconds": _seconds(lambda: read_log(lake)),
        "read_feedback_seconds": _seconds(lambda: read_feedback(lake)),
        "learner_whole_poll_seconds": _seconds(lambda: _poll(lake, int(START))),
        "learner_tail_poll_seconds": _seconds(lambda: _poll(lake, end - 600)),
    }


def _poll(lake: Lake, since: int) -> Any:
    """Read what the learner reads, without the model."""
    return replay.read(
        lake,
        PROBLEM,
        versions={"v1"},
        after=LogPosition(since, EMPTY),
        feedback_delay=600.0,
    )


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _request(number: int, at: float) -> Record:
    items = [Item(f"item-{(number + place) % 1_000}", 0.5, 0.25) for place in range(10)]
    return Record(
        f"{int(at * 1_000):012x}{number:020x}", at, f"user-{number % 500}", 10, "ease", "v1", items, 0.75
    )


def _click(number: int, at: float) -> FeedbackRecord:
    request_id = f"{int(at * 1_000):012x}{number:020x}"
    item = f"item-{number % 1_000}"
    return FeedbackRecord(
        f"click-{number}", item, "click", 1.0, at + 1, at + 1, request_id=request_id, position=0
    )


if __name__ == "__main__":
    main()
