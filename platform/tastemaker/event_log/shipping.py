"""Shipping of spooled records to the configured sink, once or continuously, and from there into the lake."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log import spool_file
from tastemaker.event_log.drain import BATCH_RECORDS, Drained, LakeSink, Sink, drain, drained
from tastemaker.event_log.postgres import PostgresSink, pull, pulled_all
from tastemaker.settings import Settings

POLL_SECONDS = 1.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
"""Between attempts on a sink that does not answer; doubled after each."""
LAKE_SECONDS = 300.0
"""Age of the oldest record at which the lake gets what waits, and seconds between two copies from a database
into the lake: each writes a file per table and day, and many small files are slow to read."""
RECORD_SECONDS = 60.0
"""How often at most what is new in the lake is recorded."""


def open_sink(settings: Settings) -> Sink:
    """Return the sink that the settings name. It is first used when there are records to store."""
    if settings.log.target == "postgres":
        return PostgresSink(settings.log_url)
    return LakeSink(Lake(settings.lake))


def collect(settings: Settings, lake: Lake) -> Drained:
    """Move logged records into the lake: those of this home's spool, and those that other services shipped.

    Args:
        settings: Name the spool and the sink.
        lake: Where the records go.

    Returns:
        The number of records that are new in the lake.

    Raises:
        DatabaseUnavailable: The log database does not answer.
    """
    moved = drain(settings.spool, open_sink(settings))
    return pull(settings.log_url, lake) if settings.log.target == "postgres" else moved


@contextmanager
def collected(settings: Settings, lake: Lake) -> Iterator[None]:
    """Move logged records into the lake, as `collect` does, and let no other process do so within the block.

    Its locks are the last that a process takes: whoever needs others takes them before.

    Args:
        settings: Name the spool and the sink.
        lake: Where the records go.

    Yields:
        None, once no record that was logged before waits.

    Raises:
        DatabaseUnavailable: The log database does not answer.
    """
    with ExitStack() as stack:
        stack.enter_context(drained(settings.spool, open_sink(settings)))
        if settings.log.target == "postgres":
            stack.enter_context(pulled_all(settings.log_url, lake))
        yield


def follow(
    settings: Settings,
    stop: Event,
    *,
    progress: Callable[[Drained], None],
    on_failure: Callable[[str], None],
    export: Callable[[], object] | None = None,
    record: Callable[[], object] | None = None,
) -> None:
    """Drain repeatedly until `stop` is set. While the sink does not answer, the spool grows up to its bound.

    A database gets records at once; the lake gets them when `BATCH_RECORDS` wait or the oldest is
    LAKE_SECONDS old. Readers of the newest records read the spool, too.

    Args:
        settings: Name the spool and the sink.
        stop: Ends the loop.
        progress: Called after each batch with the number of its records, by kind.
        on_failure: Called with a message after each attempt that failed.
        export: Copies the lake's log somewhere else, after each drain into it. What it raises as a
            TastemakerError counts as a failure.
        record: Called after a drain, at most every RECORD_SECONDS.
    """
    sink, wait = open_sink(settings), FIRST_WAIT_SECONDS
    is_new, recorded_at, pulled_at = False, float("-inf"), float("-inf")
    while not stop.is_set():
        try:
            if _is_due(settings):
                is_new |= drain(settings.spool, sink, progress=progress) != Drained()
            if record is not None and is_new and time.monotonic() - recorded_at >= RECORD_SECONDS:
                record()
                is_new, recorded_at = False, time.monotonic()
            if export is not None:
                if settings.log.target == "postgres" and time.monotonic() - pulled_at >= LAKE_SECONDS:
                    pull(settings.log_url, Lake(settings.lake))
                    pulled_at = time.monotonic()
                export()
        except (TastemakerError, OSError, sqlite3.Error) as error:
            on_failure(f"{error}; trying again in {wait:g} s")
            stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        else:
            wait = FIRST_WAIT_SECONDS
            stop.wait(POLL_SECONDS)


def _is_due(settings: Settings) -> bool:
    """Return whether what waits in the spool is to be drained now."""
    path = settings.spool / spool_file.FILE_NAME
    if settings.log.target == "postgres" or not path.exists():
        return True
    with spool_file.connected(path) as connection:
        waiting = spool_file.measure(connection)
    return waiting.records >= BATCH_RECORDS or waiting.oldest_seconds >= LAKE_SECONDS
