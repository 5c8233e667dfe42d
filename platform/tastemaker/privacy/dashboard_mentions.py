"""User ids in what the dashboard stores: audited searches, and slices of measurements that others reported.

The audit keeps who searched and when. Our own measurements have no slices by user: a position or a week may
have the name of a user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, select, update

from tastemaker.privacy.search import NOT_USERS, Person, Searched
from tastemaker.storage.engine import overwrite_deleted
from tastemaker.storage.tables import OWN_SOURCE, measurements, search_audit

ERASED = "(erased)"
_NOT_USER_SLICES = NOT_USERS | {"position", "week"}
_TERM = re.compile(r'(?<!\S)(?P<field>user(?:!=|[:=]))?(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]\S*)', re.IGNORECASE)
_WORD = re.compile(r"\w+")


def search_dashboard(engine: Engine, person: Person, *, erase: bool = False) -> Iterator[Searched]:
    """Search audited queries and reported slices for the user.

    Args:
        engine: The metadata database.
        person: The user.
        erase: Replace the ids in queries, and delete measurements of the user's slices; the results count
            what was there before.

    Yields:
        One result per table.
    """
    with engine.begin() as connection:
        found = [_in_audit(connection, person, erase), _in_slices(connection, person, erase)]
    if erase and any(place.found for place in found):
        overwrite_deleted(engine)
    yield from found


def redacted(query: str, person: Person) -> str:
    """Return a query without ids of the user and of the user's requests.

    Args:
        query: A query of the log's search, as a person wrote it.
        person: The user; their ids, and those of their requests, become `(erased)`.

    >>> redacted('user:17 k<17 since:2h "17"', Person(("17",)))
    'user:(erased) k<17 since:2h (erased)'
    """
    text = _TERM.sub(lambda found: _without_id(found, person), query)
    text = person.words.sub(ERASED.encode(), text.encode("utf-8", "replace")).decode()
    return _WORD.sub(lambda word: ERASED if word[0] in person.request_ids else word[0], text)


def _without_id(found: re.Match[str], person: Person) -> str:
    value = found["value"]
    plain = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value.removesuffix("*")
    return f"{found['field'] or ''}{ERASED}" if plain in person.ids else found[0]


def _in_audit(connection: Connection, person: Person, erase: bool) -> Searched:
    columns, looked_at, found = search_audit.c, 0, 0
    for number, query in connection.execute(select(columns.id, columns.query)).all():
        looked_at += 1
        kept = redacted(query, person)
        if kept == query:
            continue
        found += 1
        if erase:
            connection.execute(update(search_audit).where(columns.id == number).values(query=kept))
    return Searched("metadata search_audit", "queries", looked_at, found)


def _in_slices(connection: Connection, person: Person, erase: bool) -> Searched:
    columns = measurements.c
    of_others = columns.source != OWN_SOURCE
    names = connection.execute(select(columns.slice).where(of_others).distinct()).scalars().all()
    theirs = [name for name in names if _is_about(name, person)]
    if erase:
        for name in theirs:
            connection.execute(measurements.delete().where(of_others, columns.slice == name))
    return Searched("metadata measurements", "slices", len(names), len(theirs))


def _is_about(slice_name: str, person: Person) -> bool:
    for part in re.split(r"[,;&]", slice_name):
        name, equals, value = (one.strip() for one in part.partition("="))
        if equals and name.lower() in _NOT_USER_SLICES:
            continue
        if (value if equals else name) in person.ids or person.words.search(part.encode("utf-8", "replace")):
            return True
    return False
