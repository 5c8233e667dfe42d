"""Where events come from. A source is an entry point in the group `tastemaker.sources`.

The entry point names a function `open(settings: SourceSettings) -> Source`. A source says what its rows mean
in canonical columns; whether a row is sound is the gate's to say, so a source never drops one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from importlib.metadata import entry_points
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings

GROUP = "tastemaker.sources"


class Reading(NamedTuple):
    """How a table of a source was read, for people."""

    table: str
    """events, items or users"""
    name: str
    """The file, or the table or SELECT of a database."""
    facts: dict[str, Any]
    """Label -> value: encoding, delimiter, formats, columns."""
    warnings: tuple[str, ...] = ()
    """What may have been read otherwise than meant."""


class Source(Protocol):
    """Events by day, and what is known of items and users."""

    @property
    def name(self) -> str:
        """As its entry point, such as online_retail."""

    @property
    def identity(self) -> str:
        """Whose events these are: rows of two identities never share a lake."""

    @property
    def readings(self) -> Sequence[Reading]:
        """How the tables that were read so far were read; empty for a source that reads no tables."""

    def days(self) -> dict[date, str]:
        """Day (UTC) -> digest of its rows, oldest first; rows without a readable time are UNDATED."""

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        """The rows of some days (None: all), in the order of their days, at most `rows` at once.

        Columns: those of EVENTS, null where the row's own value can't be read as such; `raw_...`, the row as
        it came, as text; and whatever the source's own suite of rules looks at.
        """

    def items(self) -> pa.Table:
        """What the source says of items: ITEMS, any column but item_id may be null. May be empty."""

    def users(self) -> pa.Table:
        """What the source says of users: USERS, any column but user_id may be null. May be empty."""


def source_names() -> list[str]:
    """Return the names of the installed sources, sorted."""
    return sorted(entry_points(group=GROUP).names)


def open_source(settings: SourceSettings) -> Source:
    """The source that the settings name. Raises SourceError if there is none, or it can't be read."""
    if settings.name not in source_names():
        raise SourceError(
            f"there is no source named {settings.name!r}", fix=f"choose one of: {', '.join(source_names())}"
        )
    open_it: Callable[[SourceSettings], Source] = entry_points(group=GROUP)[settings.name].load()
    return open_it(settings)
