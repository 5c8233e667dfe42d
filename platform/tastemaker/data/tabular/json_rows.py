"""JSON: an array of objects, or an object per line; every value as text, so that 27 and "27" are the same."""

from __future__ import annotations

from pathlib import Path

import duckdb

from tastemaker.data.lake_files import literal, quoted
from tastemaker.errors import SourceError


def read(connection: duckdb.DuckDBPyConnection, path: Path, named: Path) -> duckdb.DuckDBPyRelation:
    """Return the keys of all objects as columns of text; null where an object lacks the key.

    Args:
        connection: The connection that reads the file.
        path: The file to read, unpacked and in UTF-8.
        named: The name of the file in messages.

    Raises:
        SourceError: The JSON has another structure.
    """
    rows = connection.read_json(
        literal(path), sample_size=-1, maximum_depth=1, hive_partitioning=False, union_by_name=False
    )
    _refuse_other_structure(rows, named)
    types = zip(rows.columns, map(str, rows.types), strict=True)
    return rows.project(
        ", ".join(
            f"json_extract_string({quoted(name)}, '$') AS {quoted(name)}"
            if kind == "JSON"
            else f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}"
            for name, kind in types
        )
    )


def _refuse_other_structure(rows: duckdb.DuckDBPyRelation, named: Path) -> None:
    """Raise SourceError if the values are not objects, or if an object holds all rows in its arrays."""
    must = "it must be an array of objects, or an object per line"
    fix = 'write [{"user_id": "u1", "item_id": "i1", ...}, ...]'
    if rows.columns == ["json"]:  # DuckDB's name for values other than objects
        raise SourceError(f"{named} holds no objects: {must}", fix=fix)
    kinds = ", ".join(f"json_structure(to_json({quoted(name)}))" for name in rows.columns)
    values = rows.project(kinds).limit(2).fetchall()
    arrays = (
        [name for name, kind in zip(rows.columns, values[0], strict=True) if str(kind).startswith("[")]
        if len(values) == 1
        else []
    )
    of_objects = any(str(kind).startswith("[{") for kind in values[0]) if values else False
    if arrays and (of_objects or len(arrays) == len(rows.columns)):
        raise SourceError(f"{named} is one object, with arrays under {', '.join(arrays)}: {must}", fix=fix)
