"""The audit of searches for requests of users: who searched, when, for what, and how much was found."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Engine, insert, select

from tastemaker.dashboard.viewer import Viewer
from tastemaker.storage.tables import search_audit


class AuditedSearch(NamedTuple):
    """One search."""

    at: datetime
    user_name: str
    query: str
    rows: int


def record_search(engine: Engine, viewer: Viewer, query: str, rows: int) -> None:
    """Write a search to the audit.

    Args:
        engine: The metadata database.
        viewer: Who searched.
        query: The query, as `tastemaker.log_search.query.Parser.as_stored` returns it.
        rows: How many requests were found.
    """
    stored = query.replace("\0", "\ufffd")  # Postgres stores no NUL
    row = {"at": datetime.now(UTC), "user_name": viewer.name, "query": stored, "rows": rows}
    with engine.begin() as connection:
        connection.execute(insert(search_audit).values(row))


def read_audit(engine: Engine, limit: int) -> list[AuditedSearch]:
    """Return the newest searches of all users, newest first.

    Args:
        engine: The metadata database.
        limit: Most searches that are returned.
    """
    columns = search_audit.c
    query = select(columns.at, columns.user_name, columns.query, columns.rows).order_by(columns.id.desc())
    with engine.connect() as connection:
        return [AuditedSearch(*row) for row in connection.execute(query.limit(limit))]
