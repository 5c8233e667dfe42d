"""JSON: an array of objects, or an object per line; every value as text, so that 27 and "27" are the same."""

from __future__ import annotations

from pathlib import Path

import duckdb

from tastemaker.data.lake import literal, quoted


def read(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """The keys of all objects as columns of text; null where an object lacks the key."""
    rows = connection.read_json(
        literal(path), sample_size=-1, maximum_depth=1, hive_partitioning=False, union_by_name=False
    )
    types = zip(rows.columns, map(str, rows.types), strict=True)
    return rows.project(
        ", ".join(
            f"json_extract_string({quoted(name)}, '$') AS {quoted(name)}"
            if kind == "JSON"
            else f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}"
            for name, kind in types
        )
    )
