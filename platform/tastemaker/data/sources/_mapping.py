"""From a source's own columns to canonical ones: which is which, and how values become ids and times."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from tastemaker.data.lake import quoted
from tastemaker.errors import SourceError

NUMBERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
}
FRACTIONS = {"FLOAT", "DOUBLE"}
MILLISECONDS_FROM = 100_000_000_000
"""A bare number below this counts seconds since 1970 (until the year 5138), from here on milliseconds."""


def project(
    rows: duckdb.DuckDBPyRelation,
    schema: pa.Schema,
    mapping: Mapping[str, str],
    *,
    required: tuple[str, ...],
    what: str,
) -> str:
    """A projection of `rows` onto the columns of `schema`; null where the own value can't be read as such.

    A column is the one that `mapping` names, else the one of the same name, else null. Times without a zone
    are read in the connection's TimeZone.
    """
    own = {name: mapping.get(name, name) for name in schema.names}
    asked = {name for name in schema.names if name in mapping or name in required}
    missing = {name: own[name] for name in schema.names if name in asked and own[name] not in rows.columns}
    if missing:
        wanted = ", ".join(
            name if name == column else f"{name} (as {column})" for name, column in missing.items()
        )
        key = next(iter(missing))
        raise SourceError(
            f"{what} has no column {wanted}; it has {', '.join(rows.columns)}",
            fix=f'name the column that holds it in tastemaker.toml, under [source.columns]: {key} = "..."; '
            f'in a notebook: load(..., columns={{"{key}": "..."}})',
        )
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    return ", ".join(
        f"{_expression(own[field.name], types.get(own[field.name]), field.type)} AS {quoted(field.name)}"
        for field in schema
    )


def _expression(column: str, own_type: str | None, kind: pa.DataType) -> str:
    name = quoted(column)
    if pa.types.is_timestamp(kind):
        return "CAST(NULL AS TIMESTAMPTZ)" if own_type is None else _time(name, own_type)
    if pa.types.is_string(kind):
        return "CAST(NULL AS VARCHAR)" if own_type is None else as_text(name, own_type)
    sql_type = "INTEGER" if pa.types.is_int32(kind) else "DOUBLE"
    return f"CAST(NULL AS {sql_type})" if own_type is None else f"try_cast({name} AS {sql_type})"


def as_text(name: str, own_type: str) -> str:
    """Text; ids that became floating point for want of a null (17850.0) are whole numbers again."""
    if own_type not in FRACTIONS:
        return f"CAST({name} AS VARCHAR)"
    whole = f"CASE WHEN {name} = trunc({name}) THEN CAST(try_cast({name} AS HUGEINT) AS VARCHAR) END"
    return f"coalesce({whole}, CAST({name} AS VARCHAR))"


def _time(name: str, own_type: str) -> str:
    if own_type in NUMBERS | FRACTIONS:
        moment = _since_1970(name)
    elif own_type == "VARCHAR":
        digits = f"CASE WHEN regexp_full_match({name}, '[0-9]{{9,16}}') THEN try_cast({name} AS DOUBLE) END"
        moment = f"coalesce(try_cast({name} AS TIMESTAMPTZ), {_since_1970(digits)})"
    else:
        moment = f"try_cast({name} AS TIMESTAMPTZ)"
    return f"CASE WHEN year({moment}) BETWEEN 2 AND 9998 THEN {moment} END"


def _since_1970(number: str) -> str:
    seconds = f"CASE WHEN {number} < {MILLISECONDS_FROM} THEN {number} ELSE {number} / 1000.0 END"
    return f"CASE WHEN {number} BETWEEN 0 AND 2.5e14 THEN to_timestamp({seconds}) END"
