"""Drains: moves of committed records from the spool to a sink.

No record is lost or doubled: records are deleted from the spool only after the sink has stored them, and
storing the same records twice has the effect of once. After a drain that was killed, the next one starts at
the same record. Two drains of one spool wait for each other.

The lake is the sink of a home folder without a log database:

    requests/day=…/served-….parquet        one row per request
    feedback/day=…/served-….parquet        one row per event that a caller reported
    exposures/…, shadow_answers/…          one row per exposure, or per answer that no user saw
    item_changes/…, user_changes/…         one row per item or user that a caller changed

A part is named by the spool and the number of its first record, so that a repeated write replaces it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from tastemaker.data.lake import LOG_SCHEMAS, Lake
from tastemaker.data.lake_files import open_duckdb, quoted
from tastemaker.event_log import recent
from tastemaker.event_log.records import (
    ExposureRecord,
    FeedbackRecord,
    ItemRecord,
    Record,
    ShadowRecord,
    UserRecord,
)
from tastemaker.event_log.rows import (
    exposure_rows,
    feedback_rows,
    item_rows,
    request_rows,
    shadow_rows,
    user_rows,
    utc,
)
from tastemaker.event_log.spool_file import FILE_NAME, Pending, forget, held_open, logged_at, read
from tastemaker.util.file_lock import file_lock

BATCH_RECORDS = 10_000
"""Records that are held in memory together."""


class Drained(NamedTuple):
    """Number of records that a drain moved."""

    requests: int = 0
    impressions: int = 0
    feedback: int = 0
    changes: int = 0
    """Of items and users."""
    exposures: int = 0
    shadows: int = 0
    """Answers that no user saw."""

    def plus(self, other: Drained) -> Drained:
        """Return the sum of both."""
        return Drained(*(mine + more for mine, more in zip(self, other, strict=True)))


class Sink(Protocol):
    """Storage for drained records."""

    def put(self, pending: Pending) -> None:
        """Store records; they are on disk when it returns. Records that it has are not changed."""


def drain(folder: Path, sink: Sink | Lake, *, progress: Callable[[Drained], None] | None = None) -> Drained:
    """Move all records of a spool to a sink.

    A second drain of the same spool waits for the first, and then finds the spool empty.

    Args:
        folder: The folder that holds the spool.
        sink: Where records go; a lake stands for its `LakeSink`.
        progress: Called after each batch of `BATCH_RECORDS` with the number of its records, by kind.

    Returns:
        The number of records moved, by kind.
    """
    with drained(folder, sink, progress=progress) as moved:
        return moved


@contextmanager
def drained(
    folder: Path, sink: Sink | Lake, *, progress: Callable[[Drained], None] | None = None
) -> Iterator[Drained]:
    """Move all records of a spool to a sink, as `drain` does, and let no other drain begin within the block.

    Who deletes single records, from the spool or from where they went, has to do so within the block. After a
    drain that was killed, the next one would start at another record, and store the rest a second time.

    Args:
        folder: The folder that holds the spool.
        sink: Where records go; a lake stands for its `LakeSink`.
        progress: Called after each batch of `BATCH_RECORDS` with the number of its records, by kind.

    Yields:
        The number of records moved, by kind.
    """
    with file_lock(folder / "drain.lock"):
        yield _drain(folder, LakeSink(sink) if isinstance(sink, Lake) else sink, progress)


def _drain(folder: Path, sink: Sink, progress: Callable[[Drained], None] | None) -> Drained:
    path = folder / FILE_NAME
    moved = Drained()
    with held_open(path), held_open(folder / recent.FILE_NAME):
        while pending := read(path, BATCH_RECORDS):
            sink.put(pending)
            recent.keep(folder, pending)
            forget(path, pending.last)
            batch = count(pending)
            moved = moved.plus(batch)
            if progress is not None:
                progress(batch)
    return moved


class LakeSink:
    """Sink that writes Parquet files by day."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def put(self, pending: Pending) -> None:
        """Write the records to the days on which they came."""
        put_rows(self.lake, pending)


def put_rows(lake: Lake, pending: Pending) -> None:
    """Write records into the lake, as parts named by the spool and the number of the first record.

    Writing the same records again replaces the parts.

    Args:
        lake: Where the records go: each kind into its table, by the day on which they came.
        pending: Records of a spool or of the log database, of any kinds.
    """
    part = f"served-{pending.spool}-{pending.first:012d}"
    tables: list[tuple[str, Sequence[Any], Callable[[Any], pa.Table]]] = [
        ("requests", pending.of(Record), request_rows),
        ("feedback", pending.of(FeedbackRecord), feedback_rows),
        ("exposures", pending.of(ExposureRecord), exposure_rows),
        ("shadow_answers", pending.of(ShadowRecord), shadow_rows),
        ("item_changes", pending.of(ItemRecord), item_rows),
        ("user_changes", pending.of(UserRecord), user_rows),
    ]
    for table, records, rows_of in tables:
        for day, some in _by_day(records).items():
            lake.write_day(table, day, rows_of(some), part=part)


def read_log(lake: Lake, more: Sequence[Record] = (), *, since: int = 0) -> pa.Table:
    """Return all logged requests from a time on, each once.

    Args:
        lake: Where drained requests are.
        more: Requests that are not drained yet.
        since: Seconds since 1970 UTC.

    Returns:
        Rows of `REQUESTS`, in the order of time; empty if there are none.
    """
    rows = pa.concat_tables([_table(lake, "requests", "occurred_at", since), request_rows(more)])
    return _firsts(rows, "request_id", "occurred_at")


def read_feedback(lake: Lake, more: Sequence[FeedbackRecord] = (), *, since: int = 0) -> pa.Table:
    """Return all feedback that arrived from a time on.

    An event that was reported repeatedly, also to several services, is returned once: as it came first.

    Args:
        lake: Where drained feedback is.
        more: Feedback that is not drained yet.
        since: Seconds since 1970 UTC.

    Returns:
        Rows of `FEEDBACK`, in the order of arrival.
    """
    rows = pa.concat_tables([_table(lake, "feedback", "received_at", since), feedback_rows(more)])
    return _firsts(rows, "event_id", "received_at")


def _firsts(rows: pa.Table, key: str, time: str) -> pa.Table:
    """Return the first row of each key, in the order of the column `time`."""
    ordered = rows.sort_by([(time, "ascending"), (key, "ascending")])
    numbered = ordered.append_column("number", pa.array(np.arange(len(ordered))))
    firsts = numbered.group_by(key).aggregate([("number", "min")])["number_min"]
    return ordered.take(firsts.combine_chunks().sort())


def _table(lake: Lake, name: str, time: str, since: int) -> pa.Table:
    schema = LOG_SCHEMAS[name]
    with open_duckdb() as connection:
        files = lake.files(name, since=utc(since).date())
        if (rows := lake.scan(connection, name, files)) is None:
            return schema.empty_table()
        late_enough = rows.filter(f"epoch_us({quoted(time)}) >= {1_000_000 * since}").to_arrow_table()
    return late_enough.select(schema.names).cast(schema)


def count(pending: Pending) -> Drained:
    """Return the number of records of each kind."""
    kinds = Counter(map(type, pending.records))
    return Drained(
        requests=kinds[Record],
        impressions=sum(len(record.items) for record in pending.of(Record)),
        feedback=kinds[FeedbackRecord],
        changes=kinds[ItemRecord] + kinds[UserRecord],
        exposures=kinds[ExposureRecord],
        shadows=kinds[ShadowRecord],
    )


def _by_day(records: Sequence[Any]) -> dict[date, list[Any]]:
    """Return records by day: what callers reported by day of arrival, since their clocks may be wrong."""
    days: dict[date, list[Any]] = defaultdict(list)
    for record in records:
        seconds = logged_at(record)
        days[utc(seconds).date()].append(record)
    return days
