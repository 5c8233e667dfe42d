"""Inserts of rows that may be there already, on SQLite and Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

_AT_ONCE = 1_000
"""Rows per statement."""


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows that break no unique key; the others are dropped.

    Args:
        connection: Of the metadata database.
        table: A table of the metadata database with a unique key.
        rows: Rows with the same columns.
    """
    _execute(connection, _insert(connection, table).on_conflict_do_nothing(), rows)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or replace those with their primary keys; of rows with equal keys, the last one counts.

    Args:
        connection: Of the metadata database.
        table: A table of the metadata database with a primary key.
        rows: Rows with the same columns, those of the primary key among them.
    """
    if not rows:
        return
    key = [column.name for column in table.primary_key]
    last = {tuple(row[name] for name in key): row for row in rows}
    statement = _insert(connection, table)
    others = {name: statement.excluded[name] for name in rows[0] if name not in key}
    _execute(connection, statement.on_conflict_do_update(index_elements=key, set_=others), [*last.values()])


def _insert(connection: Connection, table: Table) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def _execute(connection: Connection, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rows), _AT_ONCE):
        connection.execute(statement, [dict(row) for row in rows[start : start + _AT_ONCE]])
