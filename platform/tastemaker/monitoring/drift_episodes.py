"""Since when a model's drift reports agree that something changed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

_NEWEST = 500
"""Reports that are read: more than a year of nights."""


def drift_since(engine: Engine, problem: str, model: str) -> datetime | None:
    """Return when the first of a model's newest reports was written that all found drift.

    A report that had too few requests to compare anything neither starts such a time nor ends it.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        model: The model's name; its versions count together.

    Returns:
        The time; None if the newest report that compared something found no drift, or there is none.
    """
    from sqlalchemy import select

    from tastemaker.storage.tables import reports, versions

    written = (
        select(reports.c.created_at, reports.c.summary)
        .join(versions, versions.c.id == reports.c.version_id)
        .where(reports.c.kind == "drift", reports.c.problem == problem, versions.c.model == model)
        .order_by(reports.c.created_at.desc(), reports.c.id.desc())
        .limit(_NEWEST)
    )
    since = None
    with engine.connect() as connection:
        for row in connection.execute(written):
            if not row.summary["columns"]:
                continue
            if not row.summary["alarm"]:
                break
            since = row.created_at
    return since
