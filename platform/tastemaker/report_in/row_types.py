"""Values of tables and Parquet files as JSON's types, so that the same checks hold for every way in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

_LISTS = ("item_ids", "scores", "propensities")
_TIMES = ("window_start", "window_end", "occurred_at", "at")


def as_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as a report over HTTP would hold it; fields without a value are absent.

    >>> as_row({"model": "m", "low": None, "occurred_at": "2026-01-01 12:00:00+00", "item_ids": '["a"]'})
    {'model': 'm', 'occurred_at': '2026-01-01T12:00:00+00:00', 'item_ids': ['a']}
    """
    return {name: _value(name, value) for name, value in values.items() if value is not None}


def _value(name: str, value: Any) -> Any:
    match value:
        case date():
            return value.isoformat()
        case bytes():
            return {"bytes": value.hex()}  # which no field takes: as text it would be another id
        case str() if name in _LISTS:
            return _parsed(value)
        case str() if name in _TIMES:
            return _iso(value)
        case _:
            return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _iso(text: str) -> str:
    """Return a time as the checks read it: Postgres's own text has a blank, and offsets of hours."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text
