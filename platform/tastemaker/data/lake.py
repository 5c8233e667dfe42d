"""The lake: one folder per table, Parquet, by day or whole; a file appears whole or not at all.

    lake/events/day=2011-12-09/part.parquet      a table by day
    lake/items/part.parquet                      a whole table

A table may hold parts of several origins (`part="online_retail"`), each replaced separately. Which rows
belong in a table is decided in `tastemaker.data.ingest` and `tastemaker.data.validation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tastemaker.data.lake_files import day_of, literal, open_duckdb, quoted, table_files
from tastemaker.data.tables import (
    EVENTS,
    EXPOSURES,
    FEEDBACK,
    ITEMS,
    QUARANTINE,
    REQUESTS,
    SHADOW_ANSWERS,
    USERS,
    completed,
)
from tastemaker.errors import SourceError
from tastemaker.util.atomic_files import atomic_write

SCHEMAS = {"events": EVENTS, "items": ITEMS, "users": USERS, "quarantine": QUARANTINE}
LOG_SCHEMAS = {
    "requests": REQUESTS,
    "feedback": FEEDBACK,
    "exposures": EXPOSURES,
    "shadow_answers": SHADOW_ANSWERS,
}
"""Tables whose files may lack columns: an earlier release wrote them beside today's."""

IMPRESSIONS = """
    CREATE VIEW IF NOT EXISTS impressions AS
    SELECT request_id, occurred_at, user_id, unnest(item_ids) AS item_id,
        unnest(range(len(item_ids)))::INTEGER AS position, unnest(scores) AS score,
        unnest(propensities) AS propensity, model, version, fallback, experiment, epoch, variant,
        variant_probability, variant_served, plan_digest, unit, unnest(teams) AS team
    FROM requests QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
"""
"""One row per item shown; a request that was logged twice counts once, as in `event_log.drain.read_log`."""

UNDATED = date.min
"""The day of rows whose time can't be read."""

EPOCH = date(1970, 1, 1)


class Lake:
    """Parquet tables under a root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def source_has_ended(self) -> bool:
        """Whether the source brings no newer events, as of the last ingestion."""
        return self._ended.exists()

    @source_has_ended.setter
    def source_has_ended(self, has_ended: bool) -> None:
        if has_ended:
            self.root.mkdir(parents=True, exist_ok=True)
            self._ended.touch()
        else:
            self._ended.unlink(missing_ok=True)

    @property
    def _ended(self) -> Path:
        return self.root / ".source_ended"

    def path(self, table: str, day: date | None = None, *, part: str = "part") -> Path:
        """Return the path of a part of a table, whether it exists or not.

        Args:
            table: The name of the table.
            day: The day, of a table by day.
            part: The name of the file without its suffix, such as a source's name.
        """
        folder = self.root / table
        return (folder if day is None else folder / f"day={day.isoformat()}") / f"{part}.parquet"

    def files(self, table: str, *, part: str = "*", since: date = date.min) -> list[Path]:
        """Return the table's files, in the order of their days: see `table_files`.

        Args:
            table: The name of the table.
            part: The name of the file without its suffix, such as a source's name; a pattern.
            since: The first day whose folder is listed.
        """
        return table_files(self.root, table, part=part, since=since)

    def days(self, table: str, *, part: str = "*") -> list[date]:
        """Return the days for which the table has files, oldest first.

        Args:
            table: The name of the table; a whole table has no days.
            part: The name of the file without its suffix, such as a source's name; a pattern.
        """
        dated = (path for path in self.files(table, part=part) if path.parent.name.startswith("day="))
        return sorted({day_of(path) for path in dated})

    def write(self, table: str, rows: pa.Table, *, part: str = "part") -> None:
        """Replace a whole table, or a part of it. A file that holds these rows already is not written.

        Args:
            table: The name of the table.
            rows: The new rows.
            part: The name of the part, as in `path`.
        """
        path, rows = self.path(table, part=part), _fitted(table, rows)
        if path.exists() and pq.read_table(path).equals(rows):
            return
        _write(path, rows)

    def write_day(self, table: str, day: date, rows: pa.Table, *, part: str = "part") -> None:
        """Replace a day of a table, or a part of that day.

        Args:
            table: The name of the table.
            day: The day of all rows.
            rows: The new rows.
            part: The name of the part, as in `path`.
        """
        _write(self.path(table, day, part=part), _fitted(table, rows))

    def read(self, table: str) -> pa.Table:
        """Return the whole table in memory; a missing table that has a schema is empty."""
        with self.connect() as connection:
            rows = connection.table(table).to_arrow_table()
        schema = SCHEMAS.get(table)
        return rows if schema is None else rows.cast(schema)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return DuckDB with one view per table, and `impressions`, the items of all logged requests.

        Its variable `source_has_ended` is that of the lake.

        The canonical tables and those of the log exist even before their first row. Landed tables have no
        view: only validation reads them.
        """
        connection = open_duckdb()
        folders = [path.name for path in self.root.glob("[!.]*") if path.is_dir()]
        schemas = SCHEMAS | LOG_SCHEMAS
        for table in sorted({*schemas, *(name for name in folders if not name.startswith("landed_"))}):
            if (rows := self.scan(connection, table)) is not None:
                rows.create_view(table)
            elif table in schemas:
                connection.register(table, schemas[table].empty_table())
        connection.execute(IMPRESSIONS)
        connection.execute("SET VARIABLE source_has_ended = ?", [self.source_has_ended])
        return connection

    def scan(
        self, connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[Path] | None = None
    ) -> duckdb.DuckDBPyRelation | None:
        """Return the table's rows, unread and with all columns of its schema.

        Args:
            connection: Reads the files.
            table: The name of the table.
            files: Those of its files to read; None for all of them.

        Returns:
            The rows; None if there is no file.
        """
        paths = list(map(literal, self.files(table) if files is None else files))
        if not paths:
            return None
        schema = (SCHEMAS | LOG_SCHEMAS).get(table)
        rows = connection.read_parquet(paths, union_by_name=table not in SCHEMAS, hive_partitioning=False)
        return rows if schema is None else _completed(connection, rows, schema)


def by_day(rows: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """Yield the events of each day (UTC), of rows in the order of days; those without a time are UNDATED."""
    if len(rows) == 0:
        return
    days = pc.fill_null(pc.cast(rows.column("occurred_at"), pa.date32()), UNDATED).cast(pa.int32()).to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
    for start, stop in pairwise(starts):
        yield EPOCH + timedelta(days=int(days[start])), rows.slice(start, stop - start)


@contextmanager
def parquet_writer(
    path: Path, schema: pa.Schema, metadata: Mapping[str, str] | None = None
) -> Iterator[pq.ParquetWriter]:
    """Write a Parquet file in pieces. It appears when the block ends; after an error nothing remains.

    Args:
        path: The file; an older one is replaced.
        schema: The columns of every piece.
        metadata: Texts to store in the file: see `file_metadata`.

    Yields:
        The writer, to whose file pieces are appended.
    """
    with atomic_write(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        if metadata:
            writer.add_key_value_metadata(dict(metadata))
        yield writer


def file_metadata(path: Path) -> dict[str, str]:
    """Return the metadata given to `parquet_writer`. Raise SourceError for a damaged file."""
    try:
        noted = pq.read_metadata(path).metadata or {}
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{path} is damaged: {error}",
            fix="remove this file and run again: its day is read from the source again",
        ) from error
    return {key.decode(): value.decode() for key, value in noted.items() if key != b"ARROW:schema"}


def _fitted(table: str, rows: pa.Table) -> pa.Table:
    schema = SCHEMAS.get(table)
    return rows if schema is None else completed(rows, schema).select(schema.names).cast(schema)


def _completed(
    connection: duckdb.DuckDBPyConnection, rows: duckdb.DuckDBPyRelation, schema: pa.Schema
) -> duckdb.DuckDBPyRelation:
    """As `tables.completed`, without reading the rows."""
    empty = connection.from_arrow(schema.empty_table())
    absent = [
        f"CAST(NULL AS {kind}) AS {quoted(name)}"
        for name, kind in zip(empty.columns, empty.types, strict=True)
        if name not in rows.columns
    ]
    return rows.project(", ".join(["*", *absent])) if absent else rows


def _write(path: Path, rows: pa.Table) -> None:
    with parquet_writer(path, rows.schema) as writer:
        writer.write_table(rows)
