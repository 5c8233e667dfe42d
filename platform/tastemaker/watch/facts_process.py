"""The facts of the database and of the lake, which is read in a process of its own.

DuckDB takes nearly as much memory as the rest of the watch. In a process that ends, that memory is free
between two collections, and a query that hangs or crashes does not harm the watch.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.monitoring.facts import collect
from tastemaker.monitoring.lake_reading import LakeReading
from tastemaker.settings import Settings
from tastemaker.watch.watch_metrics import rendered

DEADLINE_SECONDS = 120.0


class FactsError(TastemakerError):
    """Error of a lake that could not be read."""


def collect_facts(settings: Settings) -> str:
    """Return the facts in Prometheus' text format.

    Without the lake, the facts of the database remain.

    Args:
        settings: The home folder, the metadata database and the thresholds.
    """
    try:
        lake = read_lake(settings)
    except FactsError as error:
        lake = LakeReading.failed(str(error))
    return rendered(list(collect(settings, lake)))


def read_lake(settings: Settings) -> LakeReading:
    """Return what a process of its own read of the lake.

    Args:
        settings: Name the folders.

    Raises:
        FactsError: The process failed or took too long.
    """
    folders = settings.lake, settings.features, settings.artifacts
    command = [sys.executable, "-m", "tastemaker.monitoring.lake_queries", *folders]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise FactsError(
            f"the lake was not read within {DEADLINE_SECONDS:g} s", fix="is the disk slow?"
        ) from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()[-500:]
        raise FactsError(f"the lake can't be read: status {done.returncode}: {reason}", fix="see the error")
    return msgspec.json.decode(done.stdout, type=LakeReading)
