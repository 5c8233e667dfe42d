"""Several runs of a backfill at once, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from tastemaker_pipelines.backfill.day_ranges import DayRange

Ended = Callable[[DayRange, str], None]
"""Called with a range, and why its run failed; the reason is empty if it did not."""


def run_ranges(ranges: Sequence[DayRange], workers: int, on_end: Ended) -> list[str]:
    """Validate ranges of days, some at once, and return why runs failed. A failed run stops no other.

    Args:
        ranges: Ranges of days, each validated by a run of its own.
        workers: How many processes work at once.
        on_end: Called when a run ends.
    """
    problems = []
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(_run, one): one for one in ranges}
        for future in as_completed(running):
            problem = future.result()
            on_end(running[future], problem)
            if problem:
                problems.append(f"{running[future].first} to {running[future].last}: {problem}")
    return problems


def _run(one: DayRange) -> str:
    """Run one range, and return why it failed."""
    command = [sys.executable, "-m", "tastemaker_pipelines.backfill.worker", f"{one.first}", f"{one.last}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
    if process.returncode == 0:
        return ""
    if process.returncode < 0:
        return f"its process was ended by signal {-process.returncode}"
    return said.strip()
