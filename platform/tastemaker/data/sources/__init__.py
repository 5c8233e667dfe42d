"""Sources of events. A source is an entry point in the group `tastemaker.sources`.

The entry point names a function `open(settings: SourceSettings) -> Source`. A source says what its rows mean
in canonical columns; whether a row is sound is the gate's to say, so a source never drops one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from tastemaker.errors import SourceError
from tastemaker.plugins.installed import installed
from tastemaker.settings import SourceSettings

GROUP = "tastemaker.sources"


class Reading(NamedTuple):
    """Report of how a table of a source was read."""

    table: str
    """events, items or users"""
    name: str
    """The file, or the table or SELECT of a database."""
    facts: dict[str, Any]
    """Label -> value: encoding, delimiter, formats, columns."""
    warnings: tuple[str, ...] = ()
    """Warnings of values that may have been read differently than meant."""


class Source(Protocol):
    """Provider of events by day, and of tables of items and users."""

    @property
    def name(self) -> str:
        """Name of its entry point, such as online_retail."""

    @property
    def identity(self) -> str:
        """Identity of the data: rows of two identities are never in the same lake."""

    @property
    def readings(self) -> Sequence[Reading]:
        """Reports of the tables read so far; empty for a source without tables."""

    def days(self) -> dict[date, str]:
        """Return the digest of each day's rows, oldest first; rows without a readable time are UNDATED."""

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of some days as tables, in the order of the days.

        The columns are those of EVENTS, null where the source's own value can't be read as such; `raw_...`,
        the original values as text; and the columns that the source's own validation rules use.

        Args:
            days: The days to read; None: all.
            rows: The maximal number of rows of a table.
        """

    def items(self) -> pa.Table:
        """Return ITEMS, in which any column but item_id may be null; may be empty."""

    def users(self) -> pa.Table:
        """Return USERS, in which any column but user_id may be null; may be empty."""


def source_names() -> list[str]:
    """Return the names of the installed sources, sorted."""
    return sorted({one.entry.name for one in installed(GROUP)})


def open_source(settings: SourceSettings) -> Source:
    """Open the source that the settings name. Raise SourceError if it does not exist or can't be read."""
    found = {one.entry.name: one.entry for one in installed(GROUP)}
    if settings.name not in found:
        raise SourceError(
            f"there is no source named {settings.name!r}", fix=f"choose one of: {', '.join(sorted(found))}"
        )
    open_it: Callable[[SourceSettings], Source] = found[settings.name].load()
    return open_it(settings)
