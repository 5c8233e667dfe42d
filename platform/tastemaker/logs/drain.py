"""Moves committed records from the spool into the lake: what was asked, answered and thereby shown.

    requests/day=…/served-….parquet    one row a request
    events/day=…/served-….parquet      one row an item shown, event type `impression`, for the next run

Nothing is doubled and nothing is lost: a part is named by the spool and its first record's number, and
records are deleted only after their part is in place. A drain that dies in between is followed by
one that starts at the same record, and so replaces the same parts.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.locks import locked
from tastemaker.data.tables import EVENTS, IMPRESSION, REQUESTS, SERVED
from tastemaker.logs.records import Record
from tastemaker.logs.spool import FILE_NAME, forget, read

BATCH_RECORDS = 10_000
"""Records that are held in memory at once."""


class Drained(NamedTuple):
    """What one drain moved."""

    requests: int
    impressions: int


def drain(folder: Path, lake: Lake) -> Drained:
    """Empty the spool in `folder` into the lake. A second drain waits for the first, and finds it empty."""
    path = folder / FILE_NAME
    requests = impressions = 0
    with locked(folder / "drain.lock"):
        while pending := read(path, BATCH_RECORDS):
            part = f"{SERVED}{pending.spool}-{pending.first:012d}"
            for day, records in _by_day(pending.records).items():
                shown = impression_rows(records)
                lake.write_day("events", day, shown, part=part)
                lake.write_day("requests", day, request_rows(records), part=part)
                impressions += len(shown)
            forget(path, pending.last)
            requests += len(pending.records)
    return Drained(requests, impressions)


def served(lake: Lake) -> pa.Table:
    """All drained requests; empty if nothing was served yet."""
    if not lake.files("requests"):
        return REQUESTS.empty_table()
    return lake.read("requests").cast(REQUESTS)


def request_rows(records: list[Record]) -> pa.Table:
    """One row a request."""
    rows = [
        {
            **{name: getattr(record, name) for name in REQUESTS.names if hasattr(record, name)},
            "occurred_at": _moment(record),
            "context": _json(record.context),
            "features": _json(record.features),
            "item_ids": [item.item_id for item in record.items],
            "scores": [item.score for item in record.items],
            "propensities": [item.propensity for item in record.items],
        }
        for record in records
    ]
    return pa.Table.from_pylist(rows, schema=REQUESTS)


def impression_rows(records: list[Record]) -> pa.Table:
    """One event an item shown."""
    rows = [
        {
            "event_id": f"{record.request_id}:{position}",
            "user_id": record.user_id,
            "item_id": item.item_id,
            "event_type": IMPRESSION,
            "value": 1.0,
            "occurred_at": _moment(record),
            "request_id": record.request_id,
            "position": position,
        }
        for record in records
        for position, item in enumerate(record.items)
    ]
    return pa.Table.from_pylist(rows, schema=EVENTS)


def _by_day(records: list[Record]) -> dict[date, list[Record]]:
    days: dict[date, list[Record]] = defaultdict(list)
    for record in records:
        days[_moment(record).date()].append(record)
    return days


def _moment(record: Record) -> datetime:
    return datetime.fromtimestamp(record.occurred_at, UTC)


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
