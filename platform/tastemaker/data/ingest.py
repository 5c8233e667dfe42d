"""Landing: copy the rows of a source into the lake, unchanged. Validation reads the landed tables.

    source --land--> landed_events, landed_items, landed_users --validate--> events, items, users, quarantine

Only new and changed days are copied (a day is identified by the digest of its rows). A process that was
killed is continued by the next; concurrent processes wait for each other.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from datetime import date
from itertools import chain, groupby
from operator import itemgetter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.data.lake import Lake, by_day, file_metadata, parquet_writer
from tastemaker.data.lake_files import day_of
from tastemaker.data.source_identity import noted, refuse_mixture
from tastemaker.data.source_period import (
    Held,
    held,
    landed_rows,
    outside,
    require_chosen,
    require_events,
    stray,
    vanished,
)
from tastemaker.data.sources import Source
from tastemaker.data.tables import EVENTS, nullable
from tastemaker.data.validation.gate import Progress
from tastemaker.errors import SourceError
from tastemaker.util.file_lock import file_lock


class LandedDays(NamedTuple):
    """Result of `land`."""

    days: tuple[date, ...]
    """Days that were new or had changed, oldest first."""
    unchanged: int
    """Number of days that are equal at the source and in the lake."""
    rows: int
    """Number of events on `days`."""
    items: int
    users: int
    removed: Held = Held()
    """Landed days within the source's period that it no longer has; they were deleted."""
    outside: Held = Held()
    """Landed days outside the source's period; they are kept."""
    stray: str = ""
    """Warning of a few rows that lie apart from all others; empty if there are none."""


def land(
    source: Source,
    lake: Lake,
    *,
    days: Container[date] | None = None,
    force: bool = False,
    chunk_rows: int = 250_000,
    progress: Progress | None = None,
) -> LandedDays:
    """Copy a source's new and changed days, its items and its users into the lake.

    A landed day within the source's period that it no longer has is deleted; days before and after are kept.

    Args:
        source: The source to copy from.
        lake: Where the rows go.
        days: The days to copy; None for all.
        force: Copy unchanged days, too.
        chunk_rows: The most rows in memory.
        progress: Called after each day.

    Returns:
        What was copied and deleted.

    Raises:
        SourceError: The lake holds another shop's events, the source has become empty, or all chosen days lie
            before or after its days.
    """
    with file_lock(lake.root / ".land.lock"):
        known = landed_digests(lake, source.name)
        everything = source.days()
        refuse_mixture(source, lake, everything)
        require_events(everything, lake, source.name)
        if days is not None:
            require_chosen(days, everything, known, source.name)
        offered = {day: digest for day, digest in everything.items() if days is None or day in days}
        changed = [day for day in sorted(offered) if force or known.get(day) != offered[day]]
        rows = 0
        for done, day_rows in enumerate(_land_days(source, lake, offered, changed, chunk_rows), start=1):
            rows += day_rows
            if progress is not None:
                progress("land", done, len(changed))
        items, users = source.items(), source.users()
        lake.write("landed_items", items, part=source.name)
        lake.write("landed_users", users, part=source.name)
        gone = vanished(lake, source.name, everything, days)
        removed = held(lake, source.name, gone)
        for day in gone:  # validation removes their events
            lake.path("landed_events", day, part=source.name).unlink()
        return LandedDays(
            tuple(changed),
            len(offered) - len(changed),
            rows,
            len(items),
            len(users),
            removed,
            outside(lake, source.name, everything),
            stray(landed_rows(lake, source.name, everything)),
        )


def landed_digests(lake: Lake, source: str) -> dict[date, str | None]:
    """Return the digest of each landed day of a source.

    Args:
        lake: Where the rows are.
        source: The source's name.
    """
    files = lake.files("landed_events", part=source)
    return {day_of(path): file_metadata(path).get("digest") for path in files}


def days_to_land(lake: Lake, source: str, offered: Mapping[date, str]) -> list[date]:
    """Return the days that `land` would copy or delete, in their order.

    Args:
        lake: Where the rows are.
        source: The source's name.
        offered: The digest of each day that the source has.
    """
    known = landed_digests(lake, source)
    changed = {day for day, digest in offered.items() if known.get(day) != digest}
    return sorted(changed.union(vanished(lake, source, offered, None)))


def _land_days(
    source: Source, lake: Lake, digests: dict[date, str], days: list[date], chunk_rows: int
) -> Iterator[int]:
    """Write the days, and yield each one's number of rows."""
    if not days:
        return
    pieces = (piece for chunk in source.read(days, chunk_rows) for piece in by_day(chunk))
    missing = set(days)
    for day, group in groupby(pieces, key=itemgetter(0)):
        if day not in missing:
            raise SourceError(
                f"the source {source.name} gave {day} twice, or unasked", fix="report it to its author"
            )
        missing.remove(day)
        yield _land_day(source, lake, day, digests[day], (rows for _, rows in group))
    for day in sorted(missing):
        yield _land_day(source, lake, day, digests[day], iter([nullable(EVENTS).empty_table()]))


def _land_day(source: Source, lake: Lake, day: date, digest: str, pieces: Iterator[pa.Table]) -> int:
    path = lake.path("landed_events", day, part=source.name)
    first = next(pieces)
    with parquet_writer(path, first.schema, noted(source, lake, digest)) as writer:
        for piece in chain([first], pieces):
            writer.write_table(piece)
    rows: int = pq.read_metadata(path).num_rows
    return rows
