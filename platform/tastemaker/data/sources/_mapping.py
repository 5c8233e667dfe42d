"""Mapping of a source's columns to canonical ones, and conversion of values to ids, times and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import duckdb
import pyarrow as pa

from tastemaker.data.lake_files import quoted
from tastemaker.data.sources import _numbers, _times
from tastemaker.data.sources._numbers import NumberForm
from tastemaker.data.sources._time_sql import EARLIEST, LATEST
from tastemaker.data.sources._times import FRACTIONS, TimeForm
from tastemaker.errors import SourceError
from tastemaker.settings import SourceSettings
from tastemaker.snapshot.canonical_ids import MAX_EXACT, canonical_sql
from tastemaker.util.canonical_texts import canonical_text_sql

IDS = ("user_id", "item_id")
MAX_EXACT_FLOAT = 1 << 24
"""As MAX_EXACT, for floating point of 32 bits."""
TIMES = ("occurred_at", "first_seen_at")
TEXTS = ("event_type", "title", "category", "country")
"""Canonical columns whose values are compared and shown. Ids of events and requests stay as written."""
NUMBERS = ("value", "price")
"""Canonical columns whose form may have to be detected."""


@dataclass(frozen=True)
class Forms:
    """Forms of the columns of a table."""

    settings: SourceSettings
    times: TimeForm
    """Form of the column of times, from the settings or detected."""
    numbers: Mapping[str, NumberForm] = field(default_factory=dict)
    """Canonical column -> its form."""

    @classmethod
    def of(cls, settings: SourceSettings) -> Forms:
        """Return the forms that the settings name, with defaults for the others."""
        return cls(settings, _times.form_of(settings.time_format))

    def number(self, name: str) -> NumberForm:
        """Return the form of a canonical column of numbers."""
        return self.numbers.get(name, NumberForm(self.settings.decimal))


def own_columns(
    columns: Iterable[str],
    schema: pa.Schema,
    mapping: Mapping[str, str],
    required: tuple[str, ...],
    what: str,
) -> dict[str, str]:
    """Return canonical column -> own column, of the columns that the table has.

    The own column is the one that `mapping` names, else the one of the same name.

    Args:
        columns: The table's own columns.
        schema: The canonical columns.
        mapping: Canonical column -> own column.
        required: Canonical columns that the table must have.
        what: The name of the table in messages.

    Raises:
        SourceError: A column that is mapped or required is missing.
    """
    there = list(columns)
    own = {name: mapping.get(name, name) for name in schema.names}
    asked = {name for name in schema.names if name in mapping or name in required}
    missing = {name: own[name] for name in schema.names if name in asked and own[name] not in there}
    if missing:
        wanted = ", ".join(
            name if name == column else f"{name} (as {column})" for name, column in missing.items()
        )
        raise SourceError(
            f"{what} has no column {wanted}; it has {', '.join(there)}", fix=_naming(there, list(missing))
        )
    return {name: column for name, column in own.items() if column in there}


def _naming(columns: Sequence[str], missing: Sequence[str]) -> str:
    """Return the fix for columns that a table lacks: the present ones that may be meant."""
    if len(columns) == 1:
        return (
            "the first line must be the header; if another character parts the fields of a file, name it: "
            "source.delimiter"
        )
    if any(re.fullmatch("[0-9][-0-9.,:/TZ+ ]*", column) for column in columns):
        return f"the first line must be the header: put column names above it, such as {', '.join(missing)}"
    bare = {re.sub(r"[\W_]+", "", column.lower()): column for column in columns}
    meant = {name: bare.get(name.replace("_", ""), "...") for name in missing}
    listed = ", ".join(f'{name} = "{column}"' for name, column in meant.items())
    in_python = ", ".join(f'"{name}": "{column}"' for name, column in meant.items())
    return (
        f"name the column that holds each in tastemaker.toml, under [source]: columns = {{ {listed} }}; in a "
        f"notebook: load(..., columns={{{in_python}}})"
    )


def project(rows: duckdb.DuckDBPyRelation, schema: pa.Schema, own: Mapping[str, str], forms: Forms) -> str:
    """Return SQL for a projection of rows onto the columns of a schema.

    Times without a zone are read in the connection's TimeZone.

    Args:
        rows: The rows, with their own columns.
        schema: The canonical columns. A value is null where the own value can't be read as such.
        own: Canonical column -> own column.
        forms: The forms of times and numbers.
    """
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    return ", ".join(
        f"{_expression(each, own.get(each.name), types, forms)} AS {quoted(each.name)}" for each in schema
    )


def _expression(wanted: pa.Field, column: str | None, types: Mapping[str, str], forms: Forms) -> str:
    kind = wanted.type
    is_time, is_text = pa.types.is_timestamp(kind), pa.types.is_string(kind)
    sql_type = "INTEGER" if pa.types.is_int32(kind) else "DOUBLE"
    if column is None:
        return f"CAST(NULL AS {'TIMESTAMPTZ' if is_time else 'VARCHAR' if is_text else sql_type})"
    name, own_type = quoted(column), types[column]
    if is_time:
        return forms.times.sql(name, own_type)
    if wanted.name in IDS:
        settings = forms.settings
        return canonical_sql(_id_text(name, own_type), settings.ids, settings.missing_ids)
    if is_text:
        text = as_text(name, own_type)
        return canonical_text_sql(text) if wanted.name in TEXTS else text
    return forms.number(wanted.name).sql(name, own_type, sql_type)


def as_text(name: str, own_type: str) -> str:
    """Return SQL for text; floating point values of whole numbers (17850.0) lose their fraction."""
    if own_type not in FRACTIONS:
        return f"CAST({name} AS VARCHAR)"
    whole = f"CASE WHEN {name} = trunc({name}) THEN CAST(try_cast({name} AS HUGEINT) AS VARCHAR) END"
    return f"coalesce({whole}, CAST({name} AS VARCHAR))"


def _id_text(name: str, own_type: str) -> str:
    """Return SQL as `as_text`, but rounded floating point values show it (1.2e+17); infinity is null."""
    if own_type.startswith("DECIMAL"):
        return f"regexp_replace(CAST({name} AS VARCHAR), '[.]0+$', '')"
    if own_type not in FRACTIONS:
        return as_text(name, own_type)
    limit, digits = (MAX_EXACT_FLOAT, 6) if own_type == "FLOAT" else (MAX_EXACT, 14)
    rounded = f"printf('%.{digits}e', CAST({name} AS DOUBLE))"
    is_exact = f"abs({name}) <= {limit}"
    return f"CASE WHEN {is_exact} THEN {as_text(name, own_type)} WHEN isfinite({name}) THEN {rounded} END"


def found_forms(
    texts: duckdb.DuckDBPyRelation, own: Mapping[str, str], forms: Forms, columns: Iterable[str], what: str
) -> Forms:
    """Return forms that also read the values that the given forms can't read.

    Args:
        texts: The own columns, as text.
        own: Canonical column -> own column.
        forms: The forms so far. A form that the settings name is kept.
        columns: The canonical columns with values that `forms` can't read.
        what: The name of the table in messages.

    Raises:
        SourceError: A column has several readings.
    """
    times, numbers = forms.times, dict(forms.numbers)
    for name in columns:
        if name in TIMES and forms.settings.time_format is None:
            times = _times.find_form(texts, quoted(own[name]), own[name], what)
        elif name in NUMBERS and forms.settings.decimal is None:
            numbers[name] = _numbers.find_form(texts, quoted(own[name]), own[name], what)
    return replace(forms, times=times, numbers=numbers)


def number_warnings(
    texts: duckdb.DuckDBPyRelation, own: Mapping[str, str], forms: Forms, what: str
) -> tuple[str, ...]:
    """Return warnings of columns of plain numbers that have a second reading.

    Args:
        texts: The own columns, as text.
        own: Canonical column -> own column.
        forms: The forms of the columns. There are no warnings if the settings name the decimal sign.
        what: The name of the table in messages.
    """
    if forms.settings.decimal is not None:
        return ()
    plain = (own[name] for name in NUMBERS if name in own and forms.number(name).decimal is None)
    said = (_numbers.thousands_warning(texts, quoted(column), column, what) for column in plain)
    return tuple(filter(None, said))


def doubtful(own: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return canonical column -> SQL condition that holds for a row whose own value was not read.

    Args:
        own: Canonical column -> own column.
        prefix: The prefix of the columns that hold the own values.
    """
    conditions = {name: f"{quoted(name)} IS NULL" for name in (*TIMES, *NUMBERS)}
    for name in TIMES:
        conditions[name] = f"({quoted(name)} IS NULL OR {quoted(name)} NOT BETWEEN {EARLIEST} AND {LATEST})"
    return {
        name: f"{conditions[name]} AND trim({quoted(prefix + column)}) <> ''"
        for name, column in own.items()
        if name in conditions
    }
