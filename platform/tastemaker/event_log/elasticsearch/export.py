"""The copy of a lake's log to a cluster: every file once, and again if it was written again.

The file `.exported/…db` in the lake notes each file whose documents the cluster has. A copy that was killed
is continued by the next one; documents that it sent before are left as they are. A merged file stands for the
files that it was merged from: it is copied if the cluster lacks one of them. Of a file that was copied, only
the documents that the cluster rejected are sent again: their ids are noted beside it.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tastemaker.data.lake import LOG_SCHEMAS, Lake
from tastemaker.data.lake_files import day_folders, day_of
from tastemaker.data.merged_files import current_files
from tastemaker.data.tables import completed
from tastemaker.event_log.elasticsearch.cluster import Cluster, Written
from tastemaker.event_log.elasticsearch.indices import TABLES, documents, put_templates
from tastemaker.event_log.merge import origins
from tastemaker.settings import Settings
from tastemaker.util.file_lock import file_lock

LOCK = ".export.lock"
"""File in the lake whose lock a copy holds, and an erasure: none copies what the other erases."""
_BATCH_ROWS = 2_000
_SETTLED_NS = 10_000_000_000
"""How old a folder's last change must be: until then, one more may have the same time."""
_CREATE = """
    CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, modified INTEGER, size INTEGER);
    CREATE TABLE IF NOT EXISTS rejected (path TEXT, id TEXT, PRIMARY KEY (path, id)) WITHOUT ROWID;
"""
_OF_FOLDER = "SELECT * FROM {table} WHERE path > :folder || '/' AND path < :folder || '0'"
"""The character after a slash is 0."""


class Exporter:
    """Copies the log of a home's lake to the cluster that the settings name."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        """Prepare to copy the log to a cluster.

        Args:
            settings: Name the lake and the prefix of the indices, and say how many days of the log are kept.
            cluster: What the documents are copied to.
        """
        self._settings, self._cluster = settings, cluster
        self._prefix = settings.elasticsearch.prefix
        self._has_templates = False
        self._copied: dict[Path, int] = {}
        """Folder -> when a file was last added to it or removed, of folders that the cluster has whole."""

    def copy(self, *, progress: Callable[[Written], None] = lambda written: None) -> Written:
        """Copy what is new in the lake.

        Args:
            progress: Called with the total after each file.

        Returns:
            What became of the documents. A rejected document is sent again next time.

        Raises:
            ClusterUnavailable: The cluster does not accept documents now. What it has is noted.
            TastemakerError: The cluster refuses the templates or the documents.
        """
        lake, total = Lake(self._settings.lake), Written()
        with file_lock(lake.root / LOCK), self._noted(lake) as noted:
            for table in TABLES:
                for folder in day_folders(lake.root, table):
                    for written in self._copy_folder(lake, table, folder, noted):
                        total = total.plus(written)
                        progress(total)
        return total

    def _copy_folder(
        self, lake: Lake, table: str, folder: Path, noted: sqlite3.Connection
    ) -> Iterator[Written]:
        """Copy the new files of a day, and yield what became of each; a day without changes is not listed."""
        changed_at = folder.stat().st_mtime_ns
        if self._copied.get(folder) == changed_at:
            return
        is_whole = time.time_ns() - changed_at > _SETTLED_NS
        for path, rejected in self._new_files(lake, folder, noted):
            written = self._copy_file(lake, table, path, noted, rejected)
            is_whole &= not written.rejected
            yield written
        if is_whole:
            self._copied[folder] = changed_at

    def _copy_file(
        self, lake: Lake, table: str, path: Path, noted: sqlite3.Connection, only: Collection[str] | None
    ) -> Written:
        """Copy a file, or those of its documents whose ids are given, and note what the cluster has of it."""
        if not self._has_templates:
            put_templates(self._cluster, self._prefix, self._settings.privacy.log_days)
            self._has_templates = True
        stamps = _stamps(lake, path)
        written = Written()
        for rows in _read(path, table, only):
            written = written.plus(self._cluster.write(documents(rows, table, self._prefix)))
        _note(noted, stamps, {one.id for one in written.rejected})
        return written

    def _new_files(
        self, lake: Lake, folder: Path, noted: sqlite3.Connection
    ) -> Iterator[tuple[Path, set[str] | None]]:
        """Yield a day's files that the cluster does not have as they are now, if the day is kept.

        With each come the ids of the documents that it lacks; None: it may lack all.
        """
        of_folder = {"folder": _name(lake, folder)}
        known = {name: tuple(stamp) for name, *stamp in noted.execute(_of("files"), of_folder)}
        rejected: dict[str, set[str]] = {}
        for name, document_id in noted.execute(_of("rejected"), of_folder):
            rejected.setdefault(name, set()).add(document_id)
        files = {path: _stamps(lake, path) for path in current_files(sorted(folder.glob("*.parquet")))}
        gone = known.keys() - {name for stamps in files.values() for name in stamps}
        with noted:
            _forget(noted, gone)
        first = _first_day(self._settings.privacy.log_days)
        for path, stamps in files.items():
            lacking = set().union(*(rejected.get(name, ()) for name in stamps))
            is_known = stamps.items() <= known.items()
            if day_of(path) >= first and (lacking or not is_known):
                yield path, lacking if is_known else None

    @contextmanager
    def _noted(self, lake: Lake) -> Iterator[sqlite3.Connection]:
        place = f"{self._cluster.host}/{self._prefix}"
        name = hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
        folder = lake.root / ".exported"
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(folder / f"{name}.db")) as connection:
            connection.executescript(_CREATE)
            yield connection


def _of(table: str) -> str:
    """Return the query of the rows that are noted of a folder's files."""
    return _OF_FOLDER.format(table=table)


def _forget(noted: sqlite3.Connection, names: Collection[str]) -> None:
    """Delete what is noted of files."""
    for table in ("files", "rejected"):
        delete = f"DELETE FROM {table} WHERE path = ?"  # noqa: S608 - our own names
        noted.executemany(delete, [(name,) for name in names])


def _note(
    noted: sqlite3.Connection, stamps: Mapping[str, tuple[int, int]], rejected: Collection[str]
) -> None:
    """Note that the cluster has a file except for some documents, in place of what was noted of it.

    Args:
        noted: The notes.
        stamps: Of each part of the file.
        rejected: Ids; those of a merged file are noted beside one of its parts.
    """
    with noted:
        _forget(noted, stamps)
        values = [(name, *stamp) for name, stamp in stamps.items()]
        noted.executemany("INSERT INTO files VALUES (?, ?, ?)", values)
        noted.executemany("INSERT INTO rejected VALUES (?, ?)", [(min(stamps), one) for one in rejected])


def _read(path: Path, table: str, only: Collection[str] | None) -> Iterator[pa.Table]:
    """Yield the rows of a file, or those of them whose ids are given."""
    schema, (key, _) = LOG_SCHEMAS[table], TABLES[table]
    ids = None if only is None else pa.array(sorted(only), pa.string())
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            rows = completed(pa.Table.from_batches([batch]), schema)
            rows = rows.select(schema.names).cast(schema)
            yield rows if ids is None else rows.filter(pc.is_in(rows[key], value_set=ids))


def _first_day(days: int | None) -> date:
    """Return the first day that is kept, as `privacy.retention` counts."""
    return date.min if days is None else datetime.now(UTC).date() - timedelta(days=days - 1)


def _name(lake: Lake, path: Path) -> str:
    return path.relative_to(lake.root).as_posix()


def _stamps(lake: Lake, path: Path) -> dict[str, tuple[int, int]]:
    """Return the name of each part of a file: the time of its last change, in nanoseconds, and its bytes."""
    folder = _name(lake, path.parent)
    return {f"{folder}/{part.name}": (part.modified, part.size) for part in origins(path)}
