"""The facts of the database and the lake, collected in a process of their own.

What reads the lake takes as much memory as the rest of the watch. In a process that ends, that memory is free
between two collections, and a query that hangs or crashes does not harm the watch.
"""

from __future__ import annotations

import subprocess
import sys

from tastemaker.errors import TastemakerError
from tastemaker.settings import load_settings
from tastemaker.watch.watch_metrics import rendered

DEADLINE_SECONDS = 120.0


class FactsError(TastemakerError):
    """Error of facts that could not be collected."""


def collect_facts() -> str:
    """Return the facts in Prometheus' text format, with the settings of this process.

    Raises:
        FactsError: The process failed or took too long.
    """
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise FactsError(
            f"the facts of data, models and jobs were not collected within {DEADLINE_SECONDS:g} s",
            fix="is the metadata database or the disk slow?",
        ) from None
    if done.returncode:
        raise FactsError(
            "the facts of data, models and jobs can't be collected: "
            f"status {done.returncode}: {done.stderr.strip()[-500:]}",
            fix="see the error",
        )
    return done.stdout


def _main() -> None:
    from tastemaker.monitoring.facts import collect

    sys.stdout.write(rendered(list(collect(load_settings()))))


if __name__ == "__main__":
    _main()
