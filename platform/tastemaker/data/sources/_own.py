"""Custom columns: those that `source.item_columns` and `source.user_columns` name are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import pyarrow as pa

from tastemaker.data.lake_files import quoted
from tastemaker.data.sources._mapping import as_text
from tastemaker.data.sources._times import FRACTIONS
from tastemaker.data.tables import ITEMS, OWN, USERS
from tastemaker.errors import SourceError
from tastemaker.problem.rules import SLICES
from tastemaker.settings import SourceSettings
from tastemaker.util.canonical_texts import canonical_text_sql


class Owned(NamedTuple):
    """A table that may have custom columns."""

    table: str
    setting: str
    """The setting that names the kept columns."""
    names: tuple[str, ...]
    schema: pa.Schema
    known: str
    """What a source without custom columns has."""

    @property
    def key(self) -> str:
        """Name of the column of ids."""
        return f"{self.table.removesuffix('s')}_id"


def owned(settings: SourceSettings) -> tuple[Owned, Owned]:
    """Return the tables of items and users, with the columns that the settings keep."""
    return (
        Owned("items", "source.item_columns", settings.item_columns, ITEMS, "title, category and price"),
        Owned("users", "source.user_columns", settings.user_columns, USERS, "country"),
    )


def refuse_own_columns(settings: SourceSettings) -> None:
    """Raise SourceError if custom columns are requested of a source without any."""
    for one in owned(settings):
        if one.names:
            raise SourceError(
                f"{one.setting} names {', '.join(one.names)}, but of the source {settings.name} no more of "
                f"{one.table} is known than their {one.known}",
                fix=f"remove it, or read the {one.table} with the source table or sql",
            )


def refuse_unsound_own_columns(settings: SourceSettings) -> None:
    """Raise SourceError for custom columns that can't be kept under their names, or that do not exist."""
    for one, named in zip(owned(settings), (settings.items, settings.users), strict=True):
        for place, name in enumerate(one.names):
            if name in one.names[:place]:
                raise SourceError(f"{one.setting} names {name!r} twice", fix="remove one")
            if name in one.schema.names:
                raise SourceError(
                    f"{one.setting} names {name!r}, which the table {one.table} has anyway", fix="remove it"
                )
            if one.table == "users" and name in SLICES:
                raise SourceError(
                    f"{one.setting} names {name!r}, which is the name of other slices",
                    fix=f'give it another name, under [source.columns]: user_{name} = "{name}"',
                )
        if one.names and named is None:
            raise SourceError(
                f"{one.setting} names {', '.join(one.names)}, but no table of {one.table} is named",
                fix=f"name the file, table or SELECT that has a row for each of the {one.table}: "
                f"source.{one.table} in tastemaker.toml; in a notebook: load(..., {one.table}=...)",
            )


def project_own(rows: duckdb.DuckDBPyRelation, own: Owned, mapping: Mapping[str, str], what: str) -> str:
    """Return SQL for a projection of rows onto OWN: custom column -> value as text, null where it is blank.

    A column is the one that `mapping` names, else the one of the same name. Without
    custom columns OWN is null.

    Args:
        rows: The rows, with their own columns.
        own: The table and its custom columns.
        mapping: Name -> own column.
        what: The name of the table in messages.

    Raises:
        SourceError: A custom column does not exist, or it holds the ids.
    """
    columns = {name: mapping.get(name, name) for name in own.names}
    absent = [column for column in columns.values() if column not in rows.columns]
    if absent:
        raise SourceError(
            f"{what} has no column {', '.join(absent)}, which {own.setting} names; it has "
            f"{', '.join(rows.columns)}",
            fix="name columns that it has; to give one another name, under [source.columns]: "
            f'{next(name for name in own.names if columns[name] in absent)} = "..."',
        )
    ids = mapping.get(own.key, own.key)
    if ids in columns.values():
        raise SourceError(
            f"{own.setting} names {ids!r}, which holds the {own.table.removesuffix('s')} ids",
            fix="remove it: ids are kept anyway",
        )
    if not own.names:
        return f"CAST(NULL AS MAP(VARCHAR, VARCHAR)) AS {OWN}"
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    keys = ", ".join("'" + name.replace("'", "''") + "'" for name in own.names)
    values = ", ".join(_value(quoted(column), types[column]) for column in columns.values())
    return f"MAP([{keys}], [{values}]) AS {OWN}"


def _value(name: str, own_type: str) -> str:
    text = f"nullif({canonical_text_sql(as_text(name, own_type))}, '')"
    return f"CASE WHEN NOT isnan({name}) THEN {text} END" if own_type in FRACTIONS else text
