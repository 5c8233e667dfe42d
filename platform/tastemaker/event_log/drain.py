"""Moves committed records from the spool to where they are kept.

Nothing is doubled and nothing is lost: records are deleted only after the target has them, and a target takes
the same records twice as if once. A drain that dies in between is followed by one that starts at the same
record. Two drains of one spool wait for each other.

The lake is the target where everything is in one folder:

    requests/day=…/served-….parquet        one row a request
    feedback/day=…/served-….parquet        one row an event that callers told
    item_changes/…, user_changes/…         one row an item or user that callers changed

A part is named by the spool and its first record's number, so that a part is replaced by its repetition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from tastemaker.data.lake import LOG_SCHEMAS, Lake, open_duckdb, quoted
from tastemaker.event_log import recent
from tastemaker.event_log.records import FeedbackRecord, ItemRecord, Record, UserRecord
from tastemaker.event_log.rows import (
    feedback_rows,
    item_rows,
    moment,
    request_rows,
    user_rows,
)
from tastemaker.event_log.spool_file import FILE_NAME, Pending, forget, read
from tastemaker.util.file_lock import file_lock

BATCH_RECORDS = 10_000
"""Records that are held in memory at once."""


class Drained(NamedTuple):
    """What one drain moved."""

    requests: int = 0
    impressions: int = 0
    feedback: int = 0
    changes: int = 0
    """Of items and users."""

    def plus(self, other: Drained) -> Drained:
        """Both together."""
        return Drained(*(mine + more for mine, more in zip(self, other, strict=True)))


class Sink(Protocol):
    """Where records are kept."""

    def put(self, pending: Pending) -> None:
        """Keep these records, durably when it returns. What it has already stays as it is."""


def drain(folder: Path, target: Sink | Lake, *, progress: Callable[[Drained], None] | None = None) -> Drained:
    """Empty the spool in `folder`. A second drain waits for the first, and finds it empty."""
    if isinstance(target, Lake):
        target = LakeSink(target)
    path = folder / FILE_NAME
    moved = Drained()
    with file_lock(folder / "drain.lock"):
        while pending := read(path, BATCH_RECORDS):
            target.put(pending)
            recent.keep(folder, pending)
            forget(path, pending.last)
            moved = moved.plus(count(pending))
            if progress is not None:
                progress(moved)
    return moved


class LakeSink:
    """Parquet by day."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def put(self, pending: Pending) -> None:
        """Write the records' days."""
        put_rows(self.lake, pending)


def put_rows(lake: Lake, pending: Pending) -> None:
    """Write records into the lake as parts that the spool and the first record's number name."""
    part = f"served-{pending.spool}-{pending.first:012d}"
    tables: list[tuple[str, Sequence[Any], Callable[[Any], pa.Table]]] = [
        ("requests", pending.of(Record), request_rows),
        ("feedback", pending.of(FeedbackRecord), feedback_rows),
        ("item_changes", pending.of(ItemRecord), item_rows),
        ("user_changes", pending.of(UserRecord), user_rows),
    ]
    for table, records, rows_of in tables:
        for day, some in _by_day(records).items():
            lake.write_day(table, day, rows_of(some), part=part)


def read_log(lake: Lake, more: Sequence[Record] = (), *, since: int = 0) -> pa.Table:
    """All drained requests from `since` on (seconds), and `more` that are not drained yet, each once.

    Empty if nothing was served.
    """
    rows = pa.concat_tables([_table(lake, "requests", "occurred_at", since), request_rows(more)])
    return _firsts(rows, "request_id", "occurred_at")


def read_feedback(lake: Lake, more: Sequence[FeedbackRecord] = (), *, since: int = 0) -> pa.Table:
    """All feedback that came from `since` on (seconds), drained and `more`.

    Each event once, however often and to however many it was told.
    """
    rows = pa.concat_tables([_table(lake, "feedback", "received_at", since), feedback_rows(more)])
    return _firsts(rows, "event_id", "received_at")


def _firsts(rows: pa.Table, key: str, moment: str) -> pa.Table:
    """The first row of each key, in the order of `moment`."""
    ordered = rows.sort_by([(moment, "ascending"), (key, "ascending")])
    numbered = ordered.append_column("number", pa.array(np.arange(len(ordered))))
    firsts = numbered.group_by(key).aggregate([("number", "min")])["number_min"]
    return ordered.take(firsts.combine_chunks().sort())


def _table(lake: Lake, name: str, moment: str, since: int) -> pa.Table:
    schema = LOG_SCHEMAS[name]
    with open_duckdb() as connection:
        if (rows := lake.scan(connection, name)) is None:
            return schema.empty_table()
        late_enough = rows.filter(f"epoch_us({quoted(moment)}) >= {1_000_000 * since}").to_arrow_table()
    return late_enough.select(schema.names).cast(schema)


def count(pending: Pending) -> Drained:
    """What a batch holds."""
    requests, feedback = pending.of(Record), pending.of(FeedbackRecord)
    shown = sum(len(record.items) for record in requests)
    return Drained(len(requests), shown, len(feedback), len(pending.records) - len(requests) - len(feedback))


def _by_day(records: Sequence[Any]) -> dict[date, list[Any]]:
    """Feedback and changes by the day on which they came: their own clocks may be anywhere."""
    days: dict[date, list[Any]] = defaultdict(list)
    for record in records:
        seconds = record.occurred_at if isinstance(record, Record) else record.received_at
        days[moment(seconds).date()].append(record)
    return days
