"""The requests of experiments, each once: those of the lake, and those that are not there yet.

Each call of `read` adds what is new, so that a check each minute costs as little after a million requests. It
is a table in memory: a guard that was killed reads the lake again. A request that comes twice, as from the
spool and then from the lake, counts once.

Where a file that was read has changed or is gone, as after `tastemaker forget`, all requests of its day are
removed and read again. A request that was read before it was drained is removed once neither the lake nor the
spool or the log database has it. What was added or removed later has a higher number in the column `added`,
so that `serving_units` counts no other units again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import day_of, open_duckdb
from tastemaker.event_log import postgres, spool_file
from tastemaker.event_log.drain import BATCH_RECORDS
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import request_rows
from tastemaker.experiments.guardrails.serving_units import CREATE_COUNTED
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
    CREATE SEQUENCE change;
    CREATE TABLE assigned (
        request UBIGINT, experiment VARCHAR, epoch BIGINT, unit UBIGINT, variant VARCHAR, asked_at DOUBLE,
        fallback BOOLEAN, empty BOOLEAN, short BOOLEAN, slow BOOLEAN, version VARCHAR,
        undrained BOOLEAN DEFAULT false, added BIGINT DEFAULT nextval('change')
    );
    CREATE TABLE removed (
        experiment VARCHAR, epoch BIGINT, unit UBIGINT, added BIGINT DEFAULT nextval('change')
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
    INSERT INTO assigned BY NAME
    SELECT DISTINCT ON (request) * FROM fresh
    WHERE request NOT IN (SELECT request FROM assigned WHERE request IN (SELECT request FROM fresh))
    ORDER BY asked_at
"""
_NOTE_DRAINED = """
    UPDATE assigned SET undrained = false
    WHERE undrained AND request IN (SELECT request FROM fresh WHERE NOT undrained)
"""
_REMOVE = (
    "INSERT INTO removed BY NAME SELECT DISTINCT experiment, epoch, unit FROM assigned WHERE {which}",
    "DELETE FROM assigned WHERE {which}",
)
_OF_DAYS = "floor(asked_at / 86400) * 86400 IN (SELECT unnest($days))"
_ERASED = "undrained AND request NOT IN (SELECT hash(request_id) FROM undrained_ids)"
_BY_EPOCH = ("assigned", "removed", "counted_epochs", "counted_units")
"""Tables whose rows belong to epochs."""


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
        self.connection.execute(CREATE_COUNTED)

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
        while True:
            # What is not drained first: a drain that runs meanwhile moves it to files, which are read then.
            undrained = self._undrained(max(since, self._undrained_until - OVERLAP_SECONDS))
            while records := list(islice(undrained, BATCH_RECORDS)):
                self._add(self.connection.from_arrow(request_rows(records)), undrained=True)
            ids = self._undrained_ids()  # before the lake: what is drained meanwhile is in one of both
            found = self._files(since)
            days = {day_of(path) for path, stamp in self._read.items() if found.get(path, stamp) != stamp}
            days |= {day_of(path) for path in self._read.keys() - found.keys()}
            days = {day for day in days if day >= _date(since)}
            if not days:
                break
            self._remove(days)
        self._read_lake(found)
        self._remove_erased(ids)
        self._undrained_until = now

    def keep(self, epochs: Collection[tuple[str, int]]) -> None:
        """Drop all requests except those of some experiments' epochs."""
        kept = pa.table({"experiment": [name for name, _ in epochs], "epoch": [epoch for _, epoch in epochs]})
        self.connection.register(
            "kept", kept.cast(pa.schema({"experiment": pa.string(), "epoch": pa.int64()}))
        )
        for table in _BY_EPOCH:
            others = f"DELETE FROM {table} WHERE (experiment, epoch) NOT IN (FROM kept)"  # noqa: S608
            self.connection.execute(others)
        self.connection.unregister("kept")

    def _files(self, since: float) -> dict[Path, tuple[int, int]]:
        """Return the files of the lake, each with its time of change and its size."""
        paths = self._lake.files("requests", since=_date(since))
        return {path: (stat.st_mtime_ns, stat.st_size) for path in paths for stat in [path.stat()]}

    def _remove(self, days: Collection[date]) -> None:
        """Remove the requests of some days, so that their files and all that is undrained are read again."""
        first = [datetime.combine(day, datetime.min.time(), UTC).timestamp() for day in days]
        for statement in _REMOVE:
            self.connection.execute(statement.format(which=_OF_DAYS), {"days": first})
        self._read = {path: stamp for path, stamp in self._read.items() if day_of(path) not in days}
        self._undrained_until = float("-inf")

    def _remove_erased(self, undrained_ids: pa.Table) -> None:
        """Remove the requests that were read undrained and are in no place of the log any more."""
        self.connection.register("undrained_ids", undrained_ids)
        for statement in _REMOVE:
            self.connection.execute(statement.format(which=_ERASED))
        self.connection.unregister("undrained_ids")

    def _undrained_ids(self) -> pa.Table:
        """Return the ids of the requests that are not in the lake yet; some may have come there meanwhile."""
        ids = spool_file.keys(self._settings.spool / spool_file.FILE_NAME, Record)
        if self._settings.log.target == "postgres":  # after the spool, from which they are shipped there
            url = self._settings.log_url
            ids += postgres.request_ids(url, after=postgres.pulled(url, self._lake.root))
        return pa.table({"request_id": pa.array(ids, pa.string())})

    def _read_lake(self, found: Mapping[Path, tuple[int, int]]) -> None:
        new = [path for path in found if path not in self._read]
        for first_file in range(0, len(new), FILES_AT_ONCE):
            files = new[first_file : first_file + FILES_AT_ONCE]
            if (rows := self._lake.scan(self.connection, "requests", files)) is not None:
                self._add(rows, undrained=False)
        self._read = dict(found)

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

    def _add(self, requests: DuckDBPyRelation, *, undrained: bool) -> None:
        assigned = requests.filter("experiment IS NOT NULL AND variant_probability IS NOT NULL")
        assigned.project(f"{self._columns}, {undrained} AS undrained").create("fresh")
        try:
            self.connection.execute(_ADD)
            self.connection.execute(_NOTE_DRAINED)
        finally:
            self.connection.execute("DROP TABLE fresh")


def _date(seconds: float) -> date:
    """Return the day of a time in seconds since 1970 UTC."""
    return datetime.fromtimestamp(seconds, UTC).date()
