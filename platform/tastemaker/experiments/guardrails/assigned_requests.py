"""The requests of experiments, each once: those of the lake, and those that are not there yet.

Each call of `read` adds what is new, so that a check each minute costs as little after a million requests. It
is a table in memory: a guard that was killed reads the lake again. A request that comes twice, as from the
spool and then from the lake, counts once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import open_duckdb
from tastemaker.event_log import postgres, spool_file
from tastemaker.event_log.drain import BATCH_RECORDS
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import request_rows
from tastemaker.settings import Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

MODEL_SHORT = "model_short"
"""Why a list is short though the service has no fault: fewer items were allowed."""
OVERLAP_SECONDS = 60.0
"""How much of what was read is read again: records may be stored while a call reads."""
FILES_AT_ONCE = 25
"""Files of the lake that are in memory together."""
_CREATE = """
    CREATE TABLE assigned (
        request UBIGINT, experiment VARCHAR, epoch BIGINT, unit UBIGINT, variant VARCHAR, asked_at DOUBLE,
        fallback BOOLEAN, empty BOOLEAN, short BOOLEAN, slow BOOLEAN, version VARCHAR
    )
"""
_COLUMNS = f"""
    hash(request_id) AS request, experiment, epoch, hash(coalesce(unit, user_id)) AS unit, variant,
    epoch_us(occurred_at) / 1e6 AS asked_at,
    variant_served IS DISTINCT FROM variant OR coalesce(fallback, '{MODEL_SHORT}') <> '{MODEL_SHORT}'
        AS fallback,
    len(item_ids) = 0 AS empty, len(item_ids) < k AS short,
    CASE WHEN NOT isnan(latency_ms) THEN latency_ms > {{slow_ms:f}} END AS slow,
    CASE WHEN variant_served = variant THEN version END AS version
"""
_ADD = """
    INSERT INTO assigned
    SELECT DISTINCT ON (request) * FROM fresh
    WHERE request NOT IN (SELECT request FROM assigned) ORDER BY asked_at
"""


class AssignedRequests:
    """The requests that experiments assigned. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        """Begin without a request."""
        self._settings = settings
        self._lake = Lake(settings.lake)
        self._read: dict[Path, tuple[int, int]] = {}
        self._undrained_until = float("-inf")
        self._columns = _COLUMNS.format(slow_ms=1_000 * settings.alerts.slow.seconds)
        self.connection = open_duckdb()
        """Has the table `assigned`, whose units and requests are hashes."""
        self.connection.execute(_CREATE)

    def close(self) -> None:
        """Free the memory."""
        self.connection.close()

    def read(self, since: float) -> None:
        """Add the requests that are new in the log.

        Args:
            since: Seconds since 1970 UTC; days of the lake before it are not read.

        Raises:
            SpoolError: The spool can't be read.
            DatabaseUnavailable: The log database does not answer.
            duckdb.Error: A file of the lake can't be read.
        """
        now = time.time()
        # What is not drained first: a drain that runs meanwhile moves it to files, which are read then.
        undrained = self._undrained(max(since, self._undrained_until - OVERLAP_SECONDS))
        while records := list(islice(undrained, BATCH_RECORDS)):
            self._add(self.connection.from_arrow(request_rows(records)))
        self._read_lake(since)
        self._undrained_until = now

    def keep(self, epochs: Collection[tuple[str, int]]) -> None:
        """Drop all requests except those of some experiments' epochs."""
        kept = pa.table({"experiment": [name for name, _ in epochs], "epoch": [epoch for _, epoch in epochs]})
        self.connection.register(
            "kept", kept.cast(pa.schema({"experiment": pa.string(), "epoch": pa.int64()}))
        )
        self.connection.execute("DELETE FROM assigned WHERE (experiment, epoch) NOT IN (FROM kept)")
        self.connection.unregister("kept")

    def _read_lake(self, since: float) -> None:
        paths = self._lake.files("requests", since=datetime.fromtimestamp(since, UTC).date())
        found = {path: (stat.st_mtime_ns, stat.st_size) for path in paths for stat in [path.stat()]}
        changed = [path for path, stamp in found.items() if self._read.get(path) != stamp]
        for first_file in range(0, len(changed), FILES_AT_ONCE):
            files = changed[first_file : first_file + FILES_AT_ONCE]
            if (rows := self._lake.scan(self.connection, "requests", files)) is not None:
                self._add(rows)
        self._read = found

    def _undrained(self, since: float) -> Iterator[Record]:
        for stored_at, record in spool_file.newest(self._settings.spool / spool_file.FILE_NAME, Record):
            if stored_at < since:
                break
            yield record
        if self._settings.log.target == "postgres":
            yield from postgres.newest(
                self._settings.log_url,
                Record,
                after=postgres.pulled(self._settings.log_url, self._lake.root),
                since=datetime.fromtimestamp(since, UTC),
            )

    def _add(self, requests: DuckDBPyRelation) -> None:
        assigned = requests.filter("experiment IS NOT NULL AND variant_probability IS NOT NULL")
        assigned.project(self._columns).create_view("fresh")
        self.connection.execute(_ADD)
