"""Rows about a user in the tables of report-in: what waits to be taken over, and what was refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Engine, Row, Table, delete, select

from tastemaker.event_log.reported_ids import stored_id
from tastemaker.privacy.search import Person, Searched, row_about
from tastemaker.storage.engine import overwrite_deleted
from tastemaker.storage.tables import in_feedback, in_rejected, in_requests


def search_reported(engine: Engine, person: Person, *, erase: bool = False) -> Iterator[Searched]:
    """Search the tables for the user, and for the user's requests.

    Args:
        engine: The metadata database.
        person: The user.
        erase: Delete the rows; the results count what was there before.

    Yields:
        One result per table.
    """
    requests = set(person.request_ids)
    places = [
        _search(engine, in_requests, lambda row: _asked(row, person, requests), erase=erase),
        _search(engine, in_feedback, lambda row: _answered(row, person, requests), erase=erase),
        _search(engine, in_rejected, lambda row: _refused(row, person, requests), erase=erase),
    ]
    if erase and any(place.found for place in places):
        overwrite_deleted(engine)
    yield from places


def _search(engine: Engine, table: Table, is_about: Callable[[Row[Any]], bool], *, erase: bool) -> Searched:
    with engine.begin() as connection:
        rows = connection.execute(select(table)).all()
        theirs = [row.id for row in rows if is_about(row)]
        if erase and theirs:
            connection.execute(delete(table).where(table.c.id.in_(theirs)))
    return Searched(f"metadata {table.name}", "rows", len(rows), len(theirs))


def _asked(row: Row[Any], person: Person, requests: set[str]) -> bool:
    """Return whether a list was shown to the user, and note its request."""
    if row.user_id not in person.ids:
        return False
    requests.add(stored_id(row.source, str(row.request_id)))
    return True


def _answered(row: Row[Any], person: Person, requests: set[str]) -> bool:
    return row.user_id in person.ids or stored_id(row.source, str(row.request_id)) in requests


def _refused(row: Row[Any], person: Person, requests: set[str]) -> bool:
    if row_about((row.content, row.reason), person):
        return True
    prefix = stored_id(row.source, "")
    own = (json.dumps(one.removeprefix(prefix)) for one in requests if one.startswith(prefix))
    return any(one in row.content for one in own)
