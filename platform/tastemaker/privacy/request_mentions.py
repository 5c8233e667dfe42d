"""Ids of a user's requests in results of the metadata database: examples of skew, and of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Engine, Table, select, update

from tastemaker.privacy.search import Person, Searched
from tastemaker.storage.tables import alert_outbox, skew_checks

MENTIONS: tuple[tuple[Table, Column[Any]], ...] = (
    (skew_checks, skew_checks.c.summary),
    (alert_outbox, alert_outbox.c.payload),
)
"""Columns of JSON with request ids in it."""


def search_mentions(engine: Engine, person: Person, *, erase: bool = False) -> Iterator[Searched]:
    """Search the results for the user's requests.

    Args:
        engine: The metadata database.
        person: The user.
        erase: Remove the ids, and objects that name one of them; the results count what was there before.

    Yields:
        One result per table.
    """
    for table, column in MENTIONS:
        key = table.primary_key.columns[0]
        looked_at = found = 0
        with engine.begin() as connection:
            for row in connection.execute(select(key, column)).all():
                looked_at += 1
                kept = without(row[1], person.request_ids)
                if kept == row[1]:
                    continue
                found += 1
                if erase:
                    connection.execute(update(table).where(key == row[0]).values({column: kept}))
        yield Searched(f"metadata {table.name}", "request ids", looked_at, found)


def without(value: Any, request_ids: frozenset[str]) -> Any:
    """Return JSON without some request ids, and without objects that name one of them.

    Args:
        value: JSON as Python has it; it is not changed.
        request_ids: What is left out of lists: these ids, and objects with one of them as `request_id`.

    >>> without({"examples": ["r1", "r2"], "by": [{"request_id": "r1", "x": 2}]}, frozenset({"r1"}))
    {'examples': ['r2'], 'by': []}
    """
    if isinstance(value, dict):
        return {name: without(one, request_ids) for name, one in value.items()}
    if isinstance(value, list):
        return [without(one, request_ids) for one in value if not _names(one, request_ids)]
    return value


def _names(value: Any, request_ids: frozenset[str]) -> bool:
    named = value.get("request_id") if isinstance(value, dict) else value
    return isinstance(named, str) and named in request_ids
