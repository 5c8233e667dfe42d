"""Tables that validation derives from landed days."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from sqlalchemy import Engine

from tastemaker.data.lake import Lake
from tastemaker.data.validation.ingested_days import forget_days

DERIVED = ("events", "quarantine")


def remove_derived(lake: Lake, source: str, engine: Engine, days: Collection[date]) -> None:
    """Delete events, quarantine and records of ingestion of days that are no longer landed.

    Args:
        lake: The lake, from which files of `DERIVED` are deleted.
        source: The source's name.
        engine: Of the metadata database.
        days: The days to delete; one without files is skipped.
    """
    for day in days:
        for table in DERIVED:
            lake.path(table, day, part=source).unlink(missing_ok=True)
    forget_days(engine, source, days)
