"""Rows of Python values as a Parquet file of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from tastemaker.data.lake import parquet_writer

CHUNK_ROWS = 100_000


def write_text(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of any values as a Parquet file of text, in bounded memory.

    Args:
        path: Of the file.
        columns: The names of the columns.
        rows: A value per column.
    """
    schema = pa.schema([(name, pa.string()) for name in columns])
    remaining = iter(rows)
    with parquet_writer(path, schema) as writer:
        while chunk := list(islice(remaining, CHUNK_ROWS)):
            texts = [pa.array([_text(row[i]) for row in chunk], pa.string()) for i in range(len(columns))]
            writer.write_table(pa.table(texts, schema))


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()  # as DuckDB writes what it reads from Parquet
    if isinstance(value, Decimal):
        return format(value, "f")  # never 1E+2
    return value if value is None or isinstance(value, str) else str(value)
