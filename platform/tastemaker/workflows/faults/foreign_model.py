"""A foreign model that reports slow answers, or its health once and nothing more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from tastemaker.api.report_schemas import HealthReport
from tastemaker.report_in.takeover import take_over
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.util.atomic_files import atomic_write

MODEL = "simulated_foreign_model"
SOURCE = "simulate"
SECONDS = 10.0
"""Between two reports."""
ANSWERS = 100
SLOW = 20.0
"""The reported 99th percentile, in multiples of `alerts.slow.seconds`."""


@contextmanager
def silent(settings: Settings) -> Iterator[None]:
    """Report the health of a foreign model once, and nothing more within a block."""
    _report(settings)
    yield


@contextmanager
def slow(settings: Settings) -> Iterator[None]:
    """Report slow answers of a foreign model, by files that are taken over, within a block.

    Args:
        settings: Of the home folder.

    Raises:
        TastemakerError: The first report can't be taken over.
    """
    ended, p99_seconds = threading.Event(), SLOW * settings.alerts.slow.seconds
    _report(settings, p99_seconds)

    def repeat() -> None:
        while not ended.wait(SECONDS):
            _report(settings, p99_seconds)

    reports = threading.Thread(target=repeat, name="foreign model", daemon=True)
    reports.start()
    try:
        yield
    finally:
        ended.set()
        reports.join()


def _report(settings: Settings, p99_seconds: float = 0.0) -> None:
    now = datetime.now(UTC)
    report = HealthReport(MODEL, "1", ANSWERS, 0, 0, now.timestamp(), p99_seconds)
    with atomic_write(settings.report_in / SOURCE / f"health-{now:%H%M%S}.ndjson") as partial:
        partial.write_bytes(msgspec.json.encode(report) + b"\n")
    engine = open_engine(settings.metadata_url)
    try:
        take_over(settings, engine)
    finally:
        engine.dispose()
