"""Where the lake's files are, and how DuckDB reads them. Importing this module does not import Arrow."""

from __future__ import annotations

import glob
import os
import re
import tempfile
from contextlib import suppress
from datetime import date
from pathlib import Path

import duckdb

from tastemaker.data.merged_files import current_files
from tastemaker.util.atomic_files import plain_path

_OLD_IMPRESSIONS = re.compile(r"served-[0-9a-f]{16}-\d{12,}")
"""Event files in which an earlier release wrote impressions, past validation."""

_NO_PATTERN = re.compile(r"[^][?*\\\ud800-\udfff]*")
_NO_SURROGATES = re.compile(r"[^\ud800-\udfff]*", re.DOTALL)
"""Paths whose bytes are UTF-8: Python has surrogates in the place of other bytes."""

MEMORY_LIMIT = "1500MB"
"""DuckDB spills to disk beyond this, so that millions of events fit beside Python."""


def table_files(root: Path, table: str, *, part: str = "*", since: date = date.min) -> list[Path]:
    """Return a table's files, in the order of their days, without those that a merged file replaces.

    Impressions that an earlier release wrote into `events` are deleted: `requests` has them.

    Args:
        root: The lake's folder.
        table: The name of the table.
        part: The name of the file without its suffix, such as a source's name; a pattern.
        since: The first day whose folder is listed.
    """
    folders = (root / table, *day_folders(root, table, since))
    found = current_files(sorted(path for folder in folders for path in folder.glob(f"{part}.parquet")))
    return found if table != "events" else [path for path in found if not _is_old_impressions(path)]


def day_folders(root: Path, table: str, since: date = date.min) -> list[Path]:
    """Return the folders of a table's days from one day on, in their order.

    Args:
        root: The lake's folder.
        table: The name of the table; one that does not exist has no folders.
        since: The first day whose folder is listed.
    """
    return sorted(path for path in (root / table).glob("day=*") if path.name >= f"day={since.isoformat()}")


def day_of(path: Path) -> date:
    """Return the day of a file in a table by day."""
    return date.fromisoformat(path.parent.name.removeprefix("day="))


def open_duckdb(database: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open DuckDB with time zone UTC and bounded memory."""
    connection = duckdb.connect(":memory:" if database is None else str(database))
    connection.execute("SET TimeZone='UTC'")
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(True,)]:
        connection.execute("SET enable_progress_bar=false")  # in Jupyter, where it is off, this may raise
    connection.execute("SET memory_limit=?", [MEMORY_LIMIT])
    connection.execute("SET temp_directory=?", [tempfile.gettempdir()])
    return connection


def literal(path: Path) -> str:
    """Escape a path for DuckDB, so that brackets, `?` and `*` in a name are not a pattern."""
    absolute = os.path.abspath(path)  # since DuckDB takes a leading ~ for the home folder
    escaped = glob.escape(absolute)
    # Within a pattern, DuckDB splits folders at a backslash; and it refuses bytes that are not UTF-8.
    if (escaped != absolute and "\\" in absolute) or not _NO_SURROGATES.fullmatch(absolute):
        return str(plain_path(path, plain=_NO_PATTERN))
    return escaped


def quoted(name: str) -> str:
    """Quote the name of a column or table for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _is_old_impressions(path: Path) -> bool:
    if not _OLD_IMPRESSIONS.fullmatch(path.stem):
        return False
    with suppress(OSError):  # a lake that is only read keeps the file, which is not read as events either
        path.unlink()
    return True
