"""Merges of the log's files: the parts of a finished day become few files.

    requests/day=…/served-SPOOL-FIRST.parquet         a part, which a drain wrote
    requests/day=…/served-SPOOL-FIRST-LAST.parquet    a merged file, which replaces the parts of these numbers

A drain writes a file per table every few minutes, and each file costs every reader of the whole log about a
millisecond. A merge changes no record and no order:

- A merged file appears by one rename. Readers that listed its parts before can read these for KEPT_SECONDS;
  the next merge deletes them. One that is killed leaves replaced parts, or a temporary file, to the next.
- The newest part of a spool is not merged, whatever its day: a drain that was killed writes it again, perhaps
  with more records. An older one never is, and a part that comes late has a larger number than those merged.
- A merged file names its origins, the parts, with their sizes and times: a version of the log, or a copy of
  it, that depends on them is not changed by a merge.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.data.lake import Lake, file_metadata
from tastemaker.data.lake_files import day_folders
from tastemaker.data.merged_files import RecordRange, current_files, range_of
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import BATCH_RECORDS
from tastemaker.util.atomic_files import atomic_write, remove_abandoned
from tastemaker.util.file_lock import file_lock

LOG_TABLES = ("requests", "feedback", "exposures", "shadow_answers", "item_changes", "user_changes")
"""What the services' logs become in the lake."""
LOCK = ".merge.lock"
"""File in the lake whose lock a merge holds, and what rewrites or deletes files of the log."""
MOST_ROWS = 100_000
"""Rows of a merged file at most: a merge and an erasure have them in memory together."""
KEPT_SECONDS = 21_600.0
"""How long a replaced file remains, for readers that listed it before."""
_ORIGINS = "origins"


class Merged(NamedTuple):
    """Number of files that a merge wrote, replaced and deleted."""

    written: int = 0
    replaced: int = 0
    deleted: int = 0
    """Files that an earlier merge replaced."""


class FileState(NamedTuple):
    """What changes whenever a file is written again."""

    name: str
    size: int
    """Bytes."""
    modified: int
    """Nanoseconds since 1970 UTC."""


def merge(lake: Lake, *, today: date | None = None, kept_seconds: float = KEPT_SECONDS) -> Merged:
    """Merge the log's files of the days before today, and delete what an earlier merge replaced.

    Args:
        lake: Has the log.
        today: The current day in UTC; None for the clock's.
        kept_seconds: How long ago a file that is deleted was replaced, at least.

    Returns:
        What was done.

    Raises:
        TastemakerError: A file is damaged. Nothing of it was replaced.
    """
    unfinished = f"day={(today or datetime.now(UTC).date()).isoformat()}"
    with file_lock(lake.root / LOCK):
        for table in LOG_TABLES:
            remove_abandoned(lake.root / table)
        # All folders are listed before the first is listed for its merge: what is older than the newest part
        # was written before, so that the second list has all of it.
        newest = _newest_parts(lake)
        folders = [folder for folder in _folders(lake) if folder.name < unfinished]
        deleted = sum(_delete_replaced(folder, time.time() - kept_seconds) for folder in folders)
        groups = [group for folder in folders for group in _merge_folder(folder, newest)]
    return Merged(len(groups), sum(map(len, groups)), deleted)


def origins(path: Path) -> list[FileState]:
    """Return the parts that a file was merged from, as they were; a file that was not merged is its own part.

    A merged file has the time of its newest part. One that has another time was written again, as an erasure
    does, and is its own part, too.
    """
    status = path.stat()
    own = FileState(path.name, status.st_size, status.st_mtime_ns)
    numbers = range_of(path)
    if numbers is None or not numbers.is_merged:
        return [own]
    parts = [FileState(*part) for part in json.loads(file_metadata(path).get(_ORIGINS, "[]"))]
    return parts if parts and own.modified == _newest_time(parts) else [own]


def _folders(lake: Lake) -> list[Path]:
    return [folder for table in LOG_TABLES for folder in day_folders(lake.root, table)]


def _numbered(folder: Path) -> dict[Path, RecordRange]:
    """Return the files of a folder that drains and merges wrote, replaced ones too."""
    named = ((path, range_of(path)) for path in folder.glob("served-*.parquet"))
    return {path: numbers for path, numbers in named if numbers is not None}


def _newest_parts(lake: Lake) -> dict[str, int]:
    """Return the largest number of each spool's parts in any table."""
    newest: dict[str, int] = defaultdict(int)
    for numbers in chain.from_iterable(_numbered(folder).values() for folder in _folders(lake)):
        newest[numbers.spool] = max(newest[numbers.spool], numbers.last)
    return newest


def _delete_replaced(folder: Path, before: float) -> int:
    """Delete the files that were replaced before a time (seconds since 1970), and return their number."""
    files = _numbered(folder)
    # The time of the last change of a file's state is that of its rename, since its own is that of a part.
    old = [numbers for path, numbers in files.items() if numbers.is_merged and path.stat().st_ctime < before]
    gone = [path for path, numbers in files.items() if any(one.replaces(numbers) for one in old)]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _merge_folder(folder: Path, newest: dict[str, int]) -> Iterator[list[Path]]:
    """Merge a day's files, and yield those that each merged file has replaced."""
    files = _numbered(folder)
    by_spool: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(current_files(files), key=lambda path: files[path]):
        if files[path].last < newest[files[path].spool]:
            by_spool[files[path].spool].append(path)
    for group in chain.from_iterable(map(_groups, by_spool.values())):
        _write(folder / files[group[0]]._replace(last=files[group[-1]].last).name, group)
        yield group


def _groups(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield neighbouring files that have at most MOST_ROWS together; a file alone is left as it is."""
    group: list[Path] = []
    rows = 0
    for path in paths if len(paths) > 1 else ():
        here = _readable(path).num_rows
        if group and rows + here > MOST_ROWS:
            if len(group) > 1:
                yield group
            group, rows = [], 0
        group.append(path)
        rows += here
    if len(group) > 1:
        yield group


def _readable(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise TastemakerError(
            f"{path} is damaged: {error}",
            fix="restore it from a backup, or move it away: the log is read without its records then",
        ) from error


def _write(path: Path, group: Sequence[Path]) -> None:
    """Write the rows of a group, in its order. The columns are those of any, as for a reader of them all."""
    parts = [state for each in group for state in origins(each)]
    tables = [pq.read_table(each, partitioning=None).replace_schema_metadata() for each in group]
    rows = pa.concat_tables(tables, promote_options="permissive")
    newest = _newest_time(parts)
    with atomic_write(path) as partial:
        with pq.ParquetWriter(partial, rows.schema, compression="zstd") as writer:
            writer.add_key_value_metadata({_ORIGINS: json.dumps(parts)})
            # As many rows as in a part: the search for an id reads the row groups that may have it.
            writer.write_table(rows, row_group_size=BATCH_RECORDS)
        os.utime(partial, ns=(newest, newest))


def _newest_time(parts: Sequence[FileState]) -> int:
    return max(part.modified for part in parts)
