"""What a new project needs to know of the user's data: its columns, event types and days."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tastemaker.errors import SourceError, TastemakerError

PREFERRED = ("purchase", "order", "buy", "sale", "transaction")
"""Event types that are the goal where the data has them."""
TEST_SHARE = 5
"""A fifth of the days is the test period, where the default is longer."""


class Examined(NamedTuple):
    """What was found in the data."""

    event_types: dict[str, int]
    """Event type -> rows, most frequent first."""
    days: int
    """From the first day to the last."""
    warnings: tuple[str, ...]

    @property
    def goal(self) -> str:
        """The event type that the problem counts: a preferred one, else the most frequent."""
        return next((one for one in PREFERRED if one in self.event_types), next(iter(self.event_types)))


def examine(path: Path, source: str, columns: Mapping[str, str]) -> Examined:
    """Read the user's data once, as the source reads it.

    Args:
        path: The file.
        source: A source that reads files, such as table.
        columns: Canonical column -> the file's own column.

    Returns:
        The event types with their rows, the days from the first event to the last, and the reader's warnings.

    Raises:
        TastemakerError: If the file can't be read, lacks a column that is needed, or has no dated event.
    """
    import pyarrow.compute as pc

    from tastemaker.data.lake import UNDATED
    from tastemaker.data.sources import open_source
    from tastemaker.settings import SourceSettings

    try:
        opened = open_source(SourceSettings(name=source, path=path, columns=dict(columns)))
    except SourceError as error:
        if "has no column" not in error.problem:
            raise
        raise TastemakerError(
            error.problem,
            fix="say which of its columns is which, such as --column user_id=customer --column item_id=sku "
            "--column occurred_at=ordered",
        ) from error
    found = [day for day in opened.days() if day != UNDATED]
    counts: Counter[str] = Counter()
    for table in opened.read(None, 250_000):
        for each in pc.value_counts(table["event_type"]).to_pylist():
            if each["values"] is not None:
                counts[each["values"]] += each["counts"]
    if not found or not counts:
        raise TastemakerError(
            f"{path} has no event with a readable time and an event type",
            fix=f"see what is wrong with its rows: tastemaker data check {path}",
        )
    span = (max(found) - min(found)).days + 1
    warnings = tuple(warning for reading in opened.readings for warning in reading.warnings)
    return Examined(dict(counts.most_common()), span, warnings)


def test_days(days: int, default: int) -> int:
    """Return the length of the test period in days for data of so many days: a fifth of them, at least 1.

    Args:
        days: From the first day of the data to the last.
        default: The greatest length: the problem's, where the data is long enough.
    """
    return max(1, min(default, days // TEST_SHARE))


def relative(path: Path, folder: Path) -> str:
    """Return the path as seen from the folder, so that both can be moved together.

    Args:
        path: A file, which need not be below the folder; links are followed.
        folder: The folder that the path is relative to. On another drive, the path is absolute.
    """
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
