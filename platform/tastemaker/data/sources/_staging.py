"""Staging: a source's rows in canonical columns, on disk in the order of their days until they are read."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterator
from datetime import date
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa

from tastemaker.data.lake import UNDATED
from tastemaker.data.lake_files import open_duckdb, quoted
from tastemaker.data.tables import EVENTS, nullable


class Staging:
    """Temporary DuckDB database, deleted with its owner."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tastemaker-"))
        self.connection = open_duckdb(self.folder / "staged.duckdb")
        self.close = weakref.finalize(self, _remove, self.connection, self.folder)

    def keep(self, rows: duckdb.DuckDBPyRelation) -> None:
        """Store a source's rows in place of earlier ones. They have `row`, their number in the source."""
        self.connection.execute("DROP TABLE IF EXISTS staged")
        day = f"coalesce(CAST(occurred_at AT TIME ZONE 'UTC' AS DATE), DATE '{UNDATED.isoformat()}') AS day"
        rows.project(f"*, {day}").order("day, row").create("staged")

    @property
    def staged(self) -> duckdb.DuckDBPyRelation:
        """Return the stored rows, with `row` and `day`."""
        return self.connection.table("staged")

    def days(self) -> dict[date, str]:
        """Return the digest of each day's values, which does not depend on the order of the source."""
        digests = self.connection.sql(
            "SELECT day, count(*), CAST(sum(CAST(hash(*COLUMNS(* EXCLUDE (row))) AS HUGEINT)) AS HUGEINT) "
            "FROM staged GROUP BY day ORDER BY day"
        ).fetchall()
        return {day: f"{rows:x}-{total:x}" for day, rows, total in digests}

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of some days, as `Source.read` specifies."""
        kept = self.connection.table("staged").project("* EXCLUDE (row)")
        for first, last in _ranges(list(self.days()), days):
            between = f"day BETWEEN DATE '{first.isoformat()}' AND DATE '{last.isoformat()}'"
            for batch in kept.filter(between).project("* EXCLUDE (day)").to_arrow_reader(rows):
                yield canonical_types(pa.Table.from_batches([batch]))


def _ranges(known: list[date], wanted: Collection[date] | None) -> Iterator[tuple[date, date]]:
    """Return the wanted days as few ranges of known days: unlike a join, a range keeps the order of rows."""
    flags = [wanted is None or day in wanted for day in known]
    for is_wanted, run in groupby(zip(flags, known, strict=True), key=itemgetter(0)):
        if is_wanted:
            days = [day for _, day in run]
            yield days[0], days[-1]


def canonical_types(rows: pa.Table) -> pa.Table:
    """Return a projection onto EVENTS with its types, nullable, since the rows are not validated."""
    known = nullable(EVENTS)
    fields = [known.field(field.name) if field.name in known.names else field for field in rows.schema]
    return rows.cast(pa.schema([field.remove_metadata() for field in fields]))


def as_text(rows: duckdb.DuckDBPyRelation) -> str:
    """Return a projection of every column as text."""
    return ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in rows.columns)


def as_raw(rows: duckdb.DuckDBPyRelation) -> str:
    """Return a projection of every column as text, with the prefix raw_."""
    return ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS {quoted('raw_' + name)}" for name in rows.columns)


def _remove(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    connection.close()
    shutil.rmtree(folder, ignore_errors=True)
