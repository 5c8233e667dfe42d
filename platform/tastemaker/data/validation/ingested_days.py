"""Records of validated days: the table `ingested_days`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import Engine, bindparam, delete, insert, select

from tastemaker.data.validation.gate import GateCounts
from tastemaker.storage.tables import ingested_days


class Entry(NamedTuple):
    """Validation result of a day of a source."""

    digest: str
    """Digest of the day's rows and of everything that their validation depends on."""
    counts: GateCounts


def read_ingested_days(engine: Engine, source: str) -> dict[date, Entry]:
    """Return the results of a source's days.

    Args:
        engine: Of the metadata database.
        source: The source's name.
    """
    wanted = select(ingested_days).where(ingested_days.c.source == source).order_by(ingested_days.c.day)
    with engine.connect() as connection:
        return {
            row.day: Entry(row.digest, GateCounts(row.rows_read, row.rows_accepted, row.rows_quarantined))
            for row in connection.execute(wanted)
        }


def forget_days(engine: Engine, source: str, days: Collection[date]) -> None:
    """Delete the results of days that are no longer landed.

    Args:
        engine: Of the metadata database.
        source: The source's name.
        days: The days to forget; one without a result is skipped.
    """
    if not days:
        return
    stale = delete(ingested_days).where(
        ingested_days.c.source == source, ingested_days.c.day == bindparam("own_day")
    )
    with engine.begin() as connection:
        connection.execute(stale, [{"own_day": day} for day in days])


def write_ingested_days(engine: Engine, source: str, entries: Mapping[date, Entry]) -> None:
    """Replace the results of these days in one transaction.

    Args:
        engine: Of the metadata database.
        source: The source's name.
        entries: The result of each day.
    """
    if not entries:
        return
    now = datetime.now(UTC)
    rows = [
        {
            "source": source,
            "day": day,
            "digest": entry.digest,
            "rows_read": entry.counts.read,
            "rows_accepted": entry.counts.accepted,
            "rows_quarantined": entry.counts.quarantined,
            "ingested_at": now,
        }
        for day, entry in entries.items()
    ]
    known = [{"own_source": source, "own_day": day} for day in entries]
    stale = delete(ingested_days).where(
        ingested_days.c.source == bindparam("own_source"), ingested_days.c.day == bindparam("own_day")
    )
    with engine.begin() as connection:
        connection.execute(stale, known)
        connection.execute(insert(ingested_days), rows)
