"""The period of a source, from its first to its last day, and the landed days inside and outside it.

A landed day inside the period that the source no longer has is deleted. Days outside are kept until `prune`
deletes them, since data may be loaded month by month. Rows without a readable time (UNDATED) are those of the
last read.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

import pyarrow.parquet as pq

from tastemaker.data.lake import UNDATED, Lake
from tastemaker.errors import SourceError

STRAY_SHARE = 0.01
STRAY_DAYS = 7
"""Rows up to this share, more than this many days from all others, do not extend the period."""


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last


class Held(NamedTuple):
    """Landed days, and their rows."""

    days: tuple[date, ...] = ()
    rows: int = 0

    def __str__(self) -> str:
        if not self.days:
            return "0 rows"
        extent = f"{self.days[0]} to {self.days[-1]}" if len(self.days) > 1 else f"{self.days[0]}"
        rows, days = (
            f"{n:,} {what}{'s' * (n != 1)}" for n, what in ((self.rows, "row"), (len(self.days), "day"))
        )
        return f"{rows} on {days} ({extent})"


def covered(rows: Mapping[date, int]) -> Period | None:
    """Return the period from a source's first to its last dated day; None without dated days.

    A few rows that lie apart at either end do not count: a mistyped year must not empty the lake.

    Args:
        rows: Day to number of rows.
    """
    days = sorted(day for day in rows if day != UNDATED)
    if not days:
        return None
    return Period(_start(days, rows), _start(days[::-1], rows))


def _start(days: Sequence[date], rows: Mapping[date, int]) -> date:
    """Return the first day after at most STRAY_SHARE of the rows that lie more than STRAY_DAYS apart."""
    start, seen, total = days[0], 0, sum(rows[day] for day in days)
    for day, following in pairwise(days):
        seen += rows[day]
        if seen > STRAY_SHARE * total:
            break
        if abs((following - day).days) > STRAY_DAYS:
            start = following
    return start


def landed_rows(lake: Lake, source: str, days: Collection[date]) -> dict[date, int]:
    """Return the number of landed rows of each of the days that are landed.

    Args:
        lake: The lake with the landed days.
        source: The name of the source.
        days: The days to count; days that are not landed are left out.
    """
    return {
        day: held(lake, source, [day]).rows for day in lake.days("landed_events", part=source) if day in days
    }


def stray(rows: Mapping[date, int]) -> str:
    """Return a warning of a few rows that lie apart from all others; empty if there are none.

    Args:
        rows: Day to number of rows.
    """
    period = covered(rows)
    apart = [day for day in sorted(rows) if day != UNDATED and period is not None and day not in period]
    if period is None or not apart:
        return ""
    found = Held(tuple(apart), sum(rows[day] for day in apart))
    return (
        f"{found} lie apart from all others, {period.first} to {period.last}: check their dates. In the "
        f"problem file, split: {{until: {period.last}}} leaves out what is later"
    )


def vanished(
    lake: Lake, source: str, offered: Collection[date], wanted: Container[date] | None
) -> list[date]:
    """Return the landed days within the source's period that the source no longer has.

    Args:
        lake: The lake with the landed days.
        source: The name of the source.
        offered: The days that the source has.
        wanted: The days to consider; None: all.
    """
    landed = lake.days("landed_events", part=source)
    period = covered(landed_rows(lake, source, offered))
    return [
        day
        for day in landed
        if day not in offered
        and (wanted is None or day in wanted)
        and ((day == UNDATED and bool(offered)) or (period is not None and day in period))
    ]


def outside(lake: Lake, source: str, offered: Collection[date]) -> Held:
    """Return the landed dated days that the source does not have, with their number of rows.

    Args:
        lake: The lake with the landed days.
        source: The name of the source.
        offered: The days that the source has.
    """
    days = lake.days("landed_events", part=source)
    return held(lake, source, [day for day in days if day != UNDATED and day not in offered])


def held(lake: Lake, source: str, days: Collection[date]) -> Held:
    """Return landed days with their number of rows.

    Args:
        lake: The lake with the landed days.
        source: The name of the source.
        days: Days that are landed.
    """
    paths = [lake.path("landed_events", day, part=source) for day in days]
    return Held(tuple(sorted(days)), sum(pq.read_metadata(path).num_rows for path in paths))


def kept(found: Held, source: str) -> str:
    """Return a warning of landed days outside the source's period; empty if there are none.

    Args:
        found: The landed days outside the source's period, and their rows.
        source: The name of the source.
    """
    if not found.days:
        return ""
    return (
        f"the lake also holds {found} that the source {source} does not cover; they stay, and models "
        "learn from them. To remove them: tastemaker data prune"
    )


def require_events(offered: Collection[date], lake: Lake, source: str) -> None:
    """Refuse a source that was landed before and has become empty.

    Args:
        offered: The days that the source has.
        lake: The lake with the landed days.
        source: The name of the source.

    Raises:
        SourceError: The source has no day, and the lake has some of it.
    """
    if not offered and (days := lake.days("landed_events", part=source)):
        raise SourceError(
            f"the source {source} is empty: 0 rows were read; the lake keeps its {held(lake, source, days)}",
            fix="check that the source names the right file, table or period",
        )


def require_chosen(
    chosen: Container[date], offered: Collection[date], landed: Collection[date], source: str
) -> None:
    """Refuse chosen days that all lie before or after what a source and the lake have.

    Args:
        chosen: The days that were chosen.
        offered: The days that the source has.
        landed: The source's days in the lake.
        source: The name of the source.

    Raises:
        SourceError: None of the chosen days lies within the period of both.
    """
    dated = {*offered, *landed} - {UNDATED}
    if not dated:
        return
    first, last = min(dated), max(dated)
    if not any(first + timedelta(days=number) in chosen for number in range((last - first).days + 1)):
        raise SourceError(
            f"the source {source} has none of the chosen days; its days are {first} to {last}",
            fix="choose days of this period",
        )
