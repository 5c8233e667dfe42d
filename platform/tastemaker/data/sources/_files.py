"""Reading a CSV, Parquet or XLSX file as a DuckDB relation, row by row in the file's own order."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import duckdb
import pyarrow as pa

from tastemaker.data.lake import parquet_writer
from tastemaker.errors import SourceError

SUFFIXES = (".csv", ".parquet", ".xlsx")
CHUNK_ROWS = 100_000


def read_file(connection: duckdb.DuckDBPyConnection, path: Path, folder: Path) -> duckdb.DuckDBPyRelation:
    """The columns under their own names; CSV and XLSX hold text. `folder` takes what must be unpacked."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SourceError(
            f"{path} is of no known kind", fix=f"give a file that ends in {', '.join(SUFFIXES)}"
        )
    if not path.is_file():
        raise SourceError(f"there is no file {path}", fix="check the path (source.path in tastemaker.toml)")
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty: 0 bytes", fix="export it again, with a header line")
    try:
        if suffix == ".csv":
            return connection.read_csv(str(path), header=True, all_varchar=True, encoding=_encoding(path))
        if suffix == ".xlsx":
            unpacked = folder / f"{path.stem}.parquet"
            _unpack_sheet(path, unpacked)
            return connection.read_parquet(str(unpacked))
        return connection.read_parquet(str(path))
    except (duckdb.Error, BadZipFile, KeyError) as error:
        raise unreadable(path, error) from error


def unreadable(what: object, error: Exception) -> SourceError:
    """What to say when a library can't read a file."""
    reason = " ".join(str(error).split())[:300]
    return SourceError(
        f"{what} can't be read as a table: {reason}",
        fix="look at the place named; save it again as Parquet or as CSV in UTF-8",
    )


def write_text(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of any values as a Parquet file of text, in bounded memory."""
    schema = pa.schema([(name, pa.string()) for name in columns])
    remaining = iter(rows)
    with parquet_writer(path, schema) as writer:
        while chunk := list(islice(remaining, CHUNK_ROWS)):
            texts = [pa.array([_text(row[i]) for row in chunk], pa.string()) for i in range(len(columns))]
            writer.write_table(pa.table(texts, schema))


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()  # as DuckDB writes what it reads from Parquet
    return value if value is None or isinstance(value, str) else str(value)


def _encoding(path: Path) -> str:
    """UTF-8 if every byte of the file says so, else Latin-1, the usual other one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while chunk := file.read(1 << 22):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _unpack_sheet(path: Path, unpacked: Path) -> None:
    """The first sheet, whose first line names the columns, as a Parquet file of text."""
    from openpyxl import load_workbook

    with closing(load_workbook(path, read_only=True)) as book:
        rows: Iterator[tuple[Any, ...]] = book.worksheets[0].iter_rows(values_only=True)
        header = next(rows, ())
        width = next((i for i, name in enumerate(header) if name is None), len(header))
        if width == 0:
            raise SourceError(f"{path}: the first sheet has no header line", fix="put column names in row 1")
        filled = (row[:width] for row in rows if any(value is not None for value in row))
        write_text(unpacked, [str(name) for name in header[:width]], filled)
