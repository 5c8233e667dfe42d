"""Records as the rows of tables: `REQUESTS`, `FEEDBACK` and so on of `tastemaker.data.tables`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from tastemaker.data.tables import (
    ASSIGNMENT,
    FEEDBACK,
    ITEM_CHANGES,
    REQUESTS,
    USER_CHANGES,
)
from tastemaker.event_log.records import Assignment, FeedbackRecord, ItemRecord, Record, UserRecord

_MOMENTS = ("occurred_at", "received_at")


def request_rows(records: Iterable[Record]) -> pa.Table:
    """One row a request."""
    rows = [
        {
            **_plain(record, REQUESTS),
            **_assigned(record.assignment),
            "context": as_json(record.context),
            "features": as_json(record.features),
            "item_ids": [item.item_id for item in record.items],
            "scores": [item.score for item in record.items],
            "propensities": [item.propensity for item in record.items],
        }
        for record in records
    ]
    return pa.Table.from_pylist(rows, schema=REQUESTS)


def feedback_rows(records: Iterable[FeedbackRecord]) -> pa.Table:
    """One row an event."""
    return pa.Table.from_pylist([_plain(record, FEEDBACK) for record in records], schema=FEEDBACK)


def item_rows(records: Iterable[ItemRecord]) -> pa.Table:
    """One row a change of an item."""
    return pa.Table.from_pylist([_plain(record, ITEM_CHANGES) for record in records], schema=ITEM_CHANGES)


def user_rows(records: Iterable[UserRecord]) -> pa.Table:
    """One row a change of a user."""
    return pa.Table.from_pylist([_plain(record, USER_CHANGES) for record in records], schema=USER_CHANGES)


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def as_json(value: object) -> str | None:
    """What has no columns of its own, as JSON."""
    return None if value is None else msgspec.json.encode(value).decode()


def _assigned(assignment: Assignment | None) -> dict[str, Any]:
    """Return the columns of an assignment."""
    if assignment is None:
        return {}
    row = _plain(assignment, ASSIGNMENT)
    return row | {"variant_probability": assignment.probability}


def _plain(record: object, schema: pa.Schema) -> dict[str, Any]:
    """The fields that are columns, as they are; times as times."""
    row = {name: getattr(record, name) for name in schema.names if hasattr(record, name)}
    return row | {name: moment(row[name]) for name in _MOMENTS if name in row}
