"""Days that are computed once: Parquet by day, each with a digest of everything that it was computed from.

A day is computed again when its digest changes: when a file that it was read from was written again, as
ingestion, late feedback and `tastemaker forget` do, or when a setting that it depends on changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from tastemaker.data.lake import Lake, file_metadata, parquet_writer
from tastemaker.data.lake_files import day_of
from tastemaker.product.shop_days import ONE_DAY, ShopDays, days_between

USER_DAYS, ITEM_DAYS, ACTIVITY = "user_days", "item_days", "activity"
"""The tables: users and items in lists, and the users who did something."""

Files = Mapping[date, Collection[Path]]
"""Day in UTC -> the files of the lake that have rows of it."""


def dated_files(lake: Lake, table: str) -> dict[date, list[Path]]:
    """Return the files of a table by day in UTC, oldest day first; files without a day are left out.

    Args:
        lake: Has the table.
        table: The name of the table, such as `requests`.
    """
    days: dict[date, list[Path]] = defaultdict(list)
    for path in lake.files(table):
        if path.parent.name.startswith("day="):
            days[day_of(path)].append(path)
    return dict(days)


def view(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: str, schema: pa.Schema, files: Sequence[Path]
) -> None:
    """Create a view of some files of a table; without files it is empty.

    Args:
        connection: Gets the view.
        lake: Has the table.
        table: The name of the table and of the view.
        schema: The table's columns, which the view has if there are no files.
        files: Those of its files to read.
    """
    rows = lake.scan(connection, table, files)
    if rows is None:
        connection.register(table, schema.empty_table())
    else:
        rows.create_view(table)


def days_with_gaps(utc_days: Iterable[date], days: ShopDays) -> Iterator[date]:
    """Yield the shop's days from the first to the last that share time with some days in UTC.

    Args:
        utc_days: Days in UTC, in any order; none yields none.
        days: Says which days of the shop a day in UTC overlaps.
    """
    overlapping = [day for utc_day in utc_days for day in days.overlapping(utc_day)]
    if overlapping:
        yield from days_between(min(overlapping), max(overlapping))


def state_of(path: Path) -> str:
    """Return what changes whenever a file is written again."""
    found = path.stat()
    return f"{path.parent.name}/{path.name} {found.st_size} {found.st_mtime_ns} {found.st_ino}"


def digest_of(causes: Iterable[str]) -> str:
    """Return a hash of everything that a day depends on."""
    return hashlib.sha256("\n".join(causes).encode()).hexdigest()


def digests(root: Lake, table: str) -> dict[date, str]:
    """Return the digests of the computed days of a table, by day of the shop.

    Args:
        root: The folder of product metrics.
        table: The name of the table, such as USER_DAYS.
    """
    return {day_of(path): file_metadata(path)["digest"] for path in root.files(table)}


def write_days(root: Lake, table: str, rows: pa.Table, wanted: Mapping[date, str]) -> None:
    """Replace days of a table; a day without rows gets an empty file, so that it is known to be computed.

    Args:
        root: The folder of product metrics.
        table: The name of the table.
        rows: The rows of all these days, in the order of `day`.
        wanted: Day -> digest.
    """
    places = rows["day"].cast(pa.int32()).to_numpy()
    for day, digest in wanted.items():
        number = (day - date(1970, 1, 1)) // ONE_DAY
        first, end = places.searchsorted(number), places.searchsorted(number, side="right")
        with parquet_writer(root.path(table, day), rows.schema, {"digest": digest}) as writer:
            writer.write_table(rows.slice(first, end - first))


def drop_days(root: Lake, tables: Iterable[str], days: Iterable[date]) -> None:
    """Delete computed days; those that have no file are skipped.

    Args:
        root: The folder of product metrics.
        tables: Names of tables.
        days: The days to delete from each of them.
    """
    for day in days:
        for table in tables:
            root.path(table, day).unlink(missing_ok=True)
