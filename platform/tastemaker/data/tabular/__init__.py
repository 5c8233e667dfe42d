"""Files of tables as DuckDB relations: delimited text, JSON, Parquet and XLSX, also packed.

Columns are under their own names and in the file's own order of rows; text formats and XLSX hold text, so
that what a value means is decided in one place (`tastemaker.data.sources`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet as pq

from tastemaker.data.lake_files import literal
from tastemaker.data.tabular import delimited, json_rows, sheets
from tastemaker.data.tabular.packed import PACKED, unpack
from tastemaker.data.tabular.text import as_utf8
from tastemaker.errors import SourceError

TEXT = (".csv", ".tsv", ".txt")
JSON = (".json", ".jsonl", ".ndjson")
SHEETS = (".xlsx", ".xlsm")
SUFFIXES = (*TEXT, *JSON, ".parquet", *SHEETS)

_MAGIC = {b"PK\x03\x04": ".xlsx or .zip", b"\x1f\x8b": ".gz", b"PAR1": ".parquet"}


class Table(NamedTuple):
    """An opened file; its rows are read when the relation is executed."""

    rows: duckdb.DuckDBPyRelation
    facts: dict[str, Any]
    """Label -> value of how it was read."""
    warnings: tuple[str, ...]
    explain: Callable[[duckdb.Error], SourceError]
    """Return the error to raise when the relation fails."""


def read_table(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    folder: Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Table:
    """Open a file as a table.

    Args:
        connection: The connection that reads the file.
        path: The file; its suffix says what it is.
        folder: Where unpacked or converted copies are written.
        encoding: The encoding of a text file; None: detected.
        delimiter: The delimiter of a text file; None: detected.

    Returns:
        The table, whose rows are not read yet: they need the connection and the folder.

    Raises:
        SourceError: The file can't be read as a table.
    """
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
        raise SourceError(what, fix="name a file (source.path in tastemaker.toml)")
    suffix = path.suffix.lower()
    facts: dict[str, Any] = {}
    inner = path
    if suffix in PACKED:
        inner, member = unpack(path, folder, SUFFIXES)
        facts["unpacked"] = member
        suffix = inner.suffix.lower()
    if suffix not in SUFFIXES:
        raise SourceError(
            f"{path} is of no known kind",
            fix=f"give a file that ends in {', '.join(SUFFIXES)}, or in one of these and {', '.join(PACKED)}",
        )
    _refuse_other_kind(path, inner, suffix)
    table = _opened(connection, path, inner, suffix, folder, encoding, delimiter)
    return table._replace(facts={**facts, **table.facts})


def _opened(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    inner: Path,
    suffix: str,
    folder: Path,
    encoding: str | None,
    delimiter: str | None,
) -> Table:
    def explain(error: Exception) -> SourceError:
        return _unreadable(path, error)

    try:
        if suffix in SHEETS:
            sheet = sheets.unpack(inner, folder, path)
            rows = connection.read_parquet(literal(sheet.path), hive_partitioning=False)
            return Table(rows, sheet.facts, sheet.warnings, explain)
        if suffix == ".parquet":
            rows = connection.read_parquet(literal(inner), hive_partitioning=False)
            return Table(rows, {}, delimited.repeated(pq.read_schema(inner).names, path), explain)
        text = as_utf8(inner, folder, encoding, path, with_mark=suffix not in JSON)
        facts: dict[str, Any] = {"encoding": text.encoding}
        if suffix in JSON:
            return Table(json_rows.read(connection, text.path, path), facts, text.warnings, explain)
        form = delimited.Form.of(text.path, path, delimiter)
        facts["delimiter"] = form.name
        return Table(form.read(connection), facts, (*text.warnings, *form.warnings), form.explain)
    except duckdb.Error as error:
        raise explain(error) from error


def _unreadable(what: object, error: Exception) -> SourceError:
    """Return the error to raise when a library can't read a file."""
    reason = " ".join(str(error).split()).partition(" Try setting '")[0][:300]
    return SourceError(
        f"{what} can't be read as a table: {reason}",
        fix="look at the place named; save it again as Parquet or as CSV in UTF-8",
    )


def _refuse_other_kind(path: Path, inner: Path, suffix: str) -> None:
    """Raise SourceError for an empty file, or one whose first bytes are of another kind than its name."""
    with inner.open("rb") as file:
        head = file.read(4)
    if not head:
        raise SourceError(f"{path} is empty: 0 bytes", fix="export it again, with a header line")
    if suffix in (*TEXT, *JSON):
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
        if kind is not None:
            raise SourceError(
                f"{path} is a {kind} file, by its first bytes", fix="give it the name that fits"
            )
