"""Names of the log's files, by which a merged file replaces those that it was made from.

    served-0123456789abcdef-000000000001.parquet                 a part, which a drain wrote
    served-0123456789abcdef-000000000001-000000000288.parquet    a merged file

The first number is that of a spool, the others are those of records. A merged file has the rows of all parts
of its day and spool from the first number to the last. What it replaces remains for some hours, for readers
that listed it before, and is left out of later lists: which files are current follows from their names alone,
so that the rename by which a merged file appears is the whole change. `tastemaker.event_log.merge` writes it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"served-(?P<spool>[0-9a-f]{16})-(?P<first>\d{12,})(-(?P<last>\d{12,}))?\.parquet")


class RecordRange(NamedTuple):
    """The numbers by which a file of the log is named."""

    spool: str
    first: int
    """The first number of the first part."""
    last: int
    """The first number of the last part: the same for a part, larger for a merged file."""

    @property
    def is_merged(self) -> bool:
        """Whether the file replaces others."""
        return self.first < self.last

    @property
    def name(self) -> str:
        """The file's name."""
        numbers = (self.first, self.last) if self.is_merged else (self.first,)
        return f"served-{self.spool}-{'-'.join(f'{number:012d}' for number in numbers)}.parquet"

    def replaces(self, other: RecordRange) -> bool:
        """Return whether a file with these numbers replaces another of its folder."""
        is_within = self.first <= other.first and other.last <= self.last
        return self.spool == other.spool and is_within and self != other


def range_of(path: Path) -> RecordRange | None:
    """Return the numbers in a file's name; None for a file that is not of the log."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    first, last = int(found["first"]), int(found["last"] or found["first"])
    return RecordRange(found["spool"], first, last)


def current_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files that no merged file beside them replaces, in the same order.

    Args:
        paths: All files of some folders.
    """
    files = [(path, range_of(path)) for path in paths]
    merged: dict[Path, list[RecordRange]] = defaultdict(list)
    for path, numbers in files:
        if numbers is not None and numbers.is_merged:
            merged[path.parent].append(numbers)
    return [
        path
        for path, numbers in files
        if numbers is None or not any(one.replaces(numbers) for one in merged.get(path.parent, ()))
    ]
