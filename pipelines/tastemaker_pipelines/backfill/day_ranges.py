"""Which days one run of a backfill validates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple


class DayRange(NamedTuple):
    """Landed days from `first` to `last`, both included, of which none is up to date."""

    first: date
    last: date
    days: int
    rows: int


def day_ranges(landed: Sequence[date], pending: Mapping[date, int], most_rows: int) -> list[DayRange]:
    """Return ranges that hold all pending days and no other landed day.

    Args:
        landed: All landed days, ascending.
        pending: Day to its number of rows.
        most_rows: The most rows of a range of more than one day.
    """
    found: list[DayRange] = []
    follows = False
    for day in landed:
        rows = pending.get(day)
        if rows is None:
            follows = False
        elif follows and found[-1].rows + rows <= most_rows:
            before = found[-1]
            found[-1] = DayRange(before.first, day, before.days + 1, before.rows + rows)
        else:
            found.append(DayRange(day, day, 1, rows))
            follows = True
    return found
