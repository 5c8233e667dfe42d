"""Who may report what: a model belongs to the first source that names it, and our own models to no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from tastemaker.api.schemas import MAX_ID_BYTES
from tastemaker.event_log.reported_ids import stored_id
from tastemaker.plugins.discovery import GROUP
from tastemaker.plugins.installed import installed
from tastemaker.storage.tables import OWN_SOURCE, reported_models, versions
from tastemaker.storage.upserts import insert_new

MAX_MODELS = 1_000
"""Models of one source."""
LOCAL_SOURCE = "local"
"""The source of this machine's reports while no API key exists."""


def longest_id(source: str) -> int:
    """Return the most bytes of an id of this source."""
    return MAX_ID_BYTES - len(stored_id(source, ""))


def fault_of(source: str) -> str | None:
    """Return why nothing may be reported under this name; None if that is allowed."""
    if source == OWN_SOURCE:
        return f"the source {source!r} is that of the platform's own figures; report under another name"
    if not 1 <= len(source) <= 100 or not source.isprintable():
        return f"the source is {source[:100]!r}, must be 1 to 100 printable characters"
    return None


def claim(connection: Connection, source: str, models: Iterable[str], now: datetime) -> Mapping[str, str]:
    """Note that a source reports models, and return which of them it may not report.

    Args:
        connection: Of the metadata database, in a transaction.
        source: Who reports.
        models: The models that its report names.
        now: When the report came.

    Returns:
        Model -> why this source may not report it.
    """
    wanted = set(models)
    ours = _own_models(connection) & wanted
    refused = {model: f"the model {model!r} is the platform's own; choose another name" for model in ours}
    _add(connection, source, wanted - ours, now)
    columns = reported_models.c
    found = select(columns.model, columns.source).where(columns.model.in_(sorted(wanted - ours)))
    owners = {row.model: row.source for row in connection.execute(found)}
    for model in wanted - ours:
        if model not in owners:
            refused[model] = f"{source!r} reports {MAX_MODELS} models already, which is the limit"
        elif owners[model] != source:
            refused[model] = f"the model {model!r} is reported by another source; choose another name"
    mine = sorted(wanted - refused.keys())
    connection.execute(update(reported_models).where(columns.model.in_(mine)).values(seen_at=now))
    return refused


def _add(connection: Connection, source: str, models: Iterable[str], now: datetime) -> None:
    """Insert the models that no source has, as many as this one may still have."""
    columns = reported_models.c
    wanted = sorted(models)
    known = set(connection.execute(select(columns.model).where(columns.model.in_(wanted))).scalars())
    count = select(func.count()).select_from(reported_models).where(columns.source == source)
    room = MAX_MODELS - connection.execute(count).scalar_one()
    new = [model for model in wanted if model not in known][: max(0, room)]
    values = {"source": source, "seen_at": now, "answers": 0, "bad": 0, "empty": 0}
    insert_new(connection, reported_models, [{"model": model, **values} for model in new])


def _own_models(connection: Connection) -> set[str]:
    """Return the names of the installed models, and of those that have versions."""
    names = {one.entry.name for one in installed(GROUP)}
    return names | set(connection.execute(select(versions.c.model).distinct()).scalars())
