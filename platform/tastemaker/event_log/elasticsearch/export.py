"""The copy of a lake's log to a cluster: every file once, and again if it has changed.

The file `.exported/…db` in the lake notes each file whose documents the cluster has. A copy that was killed
is continued by the next one; documents that it sent before are left as they are.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.data.lake import LOG_SCHEMAS, Lake
from tastemaker.data.lake_files import day_of
from tastemaker.data.tables import completed
from tastemaker.event_log.elasticsearch.cluster import Cluster, Written
from tastemaker.event_log.elasticsearch.indices import TABLES, documents, put_templates
from tastemaker.settings import Settings
from tastemaker.util.file_lock import file_lock

LOCK = ".export.lock"
"""File in the lake whose lock a copy holds, and an erasure: none copies what the other erases."""
_BATCH_ROWS = 2_000
_CREATE = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, modified INTEGER, size INTEGER)"


class Exporter:
    """Copies the log of a home's lake to the cluster that the settings name."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._prefix = settings.elasticsearch.prefix
        self._has_templates = False

    def copy(self, *, progress: Callable[[Written], None] = lambda written: None) -> Written:
        """Copy what is new in the lake.

        Args:
            progress: Called with the total after each file.

        Returns:
            What became of the documents. A file with a rejected document is copied again next time.

        Raises:
            ClusterUnavailable: The cluster does not accept documents now. What it has is noted.
            TastemakerError: The cluster refuses the templates or the documents.
        """
        lake, total = Lake(self._settings.lake), Written()
        with file_lock(lake.root / LOCK), self._noted(lake) as noted:
            for table in TABLES:
                for path in self._new_files(lake, table, noted):
                    if not self._has_templates:
                        put_templates(self._cluster, self._prefix, self._settings.privacy.log_days)
                        self._has_templates = True
                    stamp = _stamp(path)
                    written = Written()
                    for rows in _read(path, table):
                        written = written.plus(self._cluster.write(documents(rows, table, self._prefix)))
                    if not written.rejected:
                        with noted:
                            values = (_name(lake, path), *stamp)
                            noted.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", values)
                    total = total.plus(written)
                    progress(total)
        return total

    def _new_files(self, lake: Lake, table: str, noted: sqlite3.Connection) -> Iterator[Path]:
        """Yield the files of days that are kept and that the cluster does not have as they are now."""
        first = _first_day(self._settings.privacy.log_days)
        known = {name: tuple(stamp) for name, *stamp in noted.execute("SELECT * FROM files")}
        files = lake.files(table)
        gone = known.keys() - {_name(lake, path) for path in files}
        with noted:
            mine = [(name,) for name in gone if name.startswith(f"{table}/")]
            noted.executemany("DELETE FROM files WHERE path = ?", mine)
        for path in files:
            is_kept = path.parent.name.startswith("day=") and day_of(path) >= first
            if is_kept and known.get(_name(lake, path)) != _stamp(path):
                yield path

    @contextmanager
    def _noted(self, lake: Lake) -> Iterator[sqlite3.Connection]:
        place = f"{self._cluster.host}/{self._prefix}"
        name = hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
        folder = lake.root / ".exported"
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(folder / f"{name}.db")) as connection:
            connection.execute(_CREATE)
            yield connection


def _read(path: Path, table: str) -> Iterator[pa.Table]:
    schema = LOG_SCHEMAS[table]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            rows = completed(pa.Table.from_batches([batch]), schema)
            yield rows.select(schema.names).cast(schema)


def _first_day(days: int | None) -> date:
    """Return the first day that is kept, as `privacy.retention` counts."""
    return date.min if days is None else datetime.now(UTC).date() - timedelta(days=days - 1)


def _name(lake: Lake, path: Path) -> str:
    return path.relative_to(lake.root).as_posix()


def _stamp(path: Path) -> tuple[int, int]:
    """Return the time of the last change, in nanoseconds, and the size in bytes."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size
