"""Conversion of records to rows of the tables of `tastemaker.data.tables`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from tastemaker.data.tables import (
    EXPOSURES,
    FEEDBACK,
    ITEM_CHANGES,
    REQUESTS,
    SHADOW_ANSWERS,
    USER_CHANGES,
)
from tastemaker.event_log.records import (
    ASSIGNMENT_FIELDS,
    Assignment,
    ExposureRecord,
    FeedbackRecord,
    ItemRecord,
    Record,
    ShadowRecord,
    UserRecord,
)

_TIMES = ("occurred_at", "received_at")


def request_rows(records: Iterable[Record]) -> pa.Table:
    """Return `REQUESTS`, one row per request."""
    return pa.Table.from_pylist(list(map(_answered, records)), schema=REQUESTS)


def shadow_rows(records: Iterable[ShadowRecord]) -> pa.Table:
    """Return `SHADOW_ANSWERS`, one row per answer."""
    rows = [_answered(one.record) | {"shadow_of": one.shadow_of} for one in records]
    return pa.Table.from_pylist(rows, schema=SHADOW_ANSWERS)


def exposure_rows(records: Iterable[ExposureRecord]) -> pa.Table:
    """Return `EXPOSURES`, one row per exposure."""
    rows = [_assigned(one.assignment) | _plain(one, EXPOSURES) for one in records]
    return pa.Table.from_pylist(rows, schema=EXPOSURES)


def feedback_rows(records: Iterable[FeedbackRecord]) -> pa.Table:
    """Return `FEEDBACK`, one row per event."""
    return pa.Table.from_pylist([_plain(record, FEEDBACK) for record in records], schema=FEEDBACK)


def item_rows(records: Iterable[ItemRecord]) -> pa.Table:
    """Return `ITEM_CHANGES`, one row per change."""
    return pa.Table.from_pylist([_plain(record, ITEM_CHANGES) for record in records], schema=ITEM_CHANGES)


def user_rows(records: Iterable[UserRecord]) -> pa.Table:
    """Return `USER_CHANGES`, one row per change."""
    return pa.Table.from_pylist([_plain(record, USER_CHANGES) for record in records], schema=USER_CHANGES)


def utc(seconds: float) -> datetime:
    """Convert seconds since 1970 to a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def as_json(value: object) -> str | None:
    """Encode a value that has no column type of its own; None stays None."""
    return None if value is None else msgspec.json.encode(value).decode()


def _answered(record: Record) -> dict[str, Any]:
    """Return the columns of a request and its answer."""
    return {
        **_plain(record, REQUESTS),
        **_assigned(record.assignment),
        "context": as_json(record.context),
        "features": as_json(record.features),
        "item_ids": [item.item_id for item in record.items],
        "scores": [item.score for item in record.items],
        "propensities": [item.propensity for item in record.items],
    }


def _assigned(assignment: Assignment | None) -> dict[str, Any]:
    """Return the columns of an assignment."""
    if assignment is None:
        return {}
    return {column: getattr(assignment, field) for column, field in ASSIGNMENT_FIELDS.items()}


def _plain(record: object, schema: pa.Schema) -> dict[str, Any]:
    """Return the fields that are columns of the schema; seconds become times."""
    row = {name: getattr(record, name) for name in schema.names if hasattr(record, name)}
    return row | {name: utc(row[name]) for name in _TIMES if name in row}
