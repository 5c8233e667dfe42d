"""The shop's own columns of users, such as a segment: kept are those that `source.user_columns` names."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from tastemaker.data.lake import quoted
from tastemaker.data.sources._mapping import as_text
from tastemaker.data.sources._times import FRACTIONS
from tastemaker.data.tables import OWN, USERS
from tastemaker.errors import SourceError
from tastemaker.problem.rules import SLICES
from tastemaker.settings import SourceSettings

_BLANKS = r"e' \t\r\n'"


def refuse_own_columns(settings: SourceSettings) -> None:
    """Raise SourceError where a source that has none is asked for own columns."""
    if settings.user_columns:
        raise SourceError(
            f"source.user_columns names {', '.join(settings.user_columns)}, but of the source "
            f"{settings.name} no more of users is known than their country",
            fix="remove it, or read the users with the source table or sql",
        )


def refuse_unsound_own_columns(settings: SourceSettings) -> None:
    """Raise SourceError for own columns that can't be kept under their names, or that no table has."""
    names = settings.user_columns
    for place, name in enumerate(names):
        if name in names[:place]:
            raise SourceError(f"source.user_columns names {name!r} twice", fix="remove one")
        if name in USERS.names:
            raise SourceError(
                f"source.user_columns names {name!r}, which the table users has anyway", fix="remove it"
            )
        if name in SLICES:
            raise SourceError(
                f"source.user_columns names {name!r}, which is the name of other slices",
                fix=f'give it another name, under [source.columns]: user_{name} = "{name}"',
            )
    if names and settings.users is None:
        raise SourceError(
            f"source.user_columns names {', '.join(names)}, but no table of users is named",
            fix="name the file, table or SELECT that has a row a user: source.users in tastemaker.toml; in a "
            "notebook: load(..., users=...)",
        )


def project_own(
    rows: duckdb.DuckDBPyRelation, names: tuple[str, ...], mapping: Mapping[str, str], what: str
) -> str:
    """A projection of `rows` onto OWN: name -> value as text, null where it is blank; null without names.

    A column is the one that `mapping` names, else the one of the same name.
    """
    columns = {name: mapping.get(name, name) for name in names}
    absent = [column for column in columns.values() if column not in rows.columns]
    if absent:
        raise SourceError(
            f"{what} has no column {', '.join(absent)}, which source.user_columns names; it has "
            f"{', '.join(rows.columns)}",
            fix="name columns that it has; to give one another name, under [source.columns]: "
            f'{next(name for name in names if columns[name] in absent)} = "..."',
        )
    ids = mapping.get("user_id", "user_id")
    if ids in columns.values():
        raise SourceError(
            f"source.user_columns names {ids!r}, which holds the user ids",
            fix="remove it; for slices, name columns that groups of users share",
        )
    if not names:
        return f"CAST(NULL AS MAP(VARCHAR, VARCHAR)) AS {OWN}"
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    keys = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    values = ", ".join(_value(quoted(column), types[column]) for column in columns.values())
    return f"MAP([{keys}], [{values}]) AS {OWN}"


def _value(name: str, own_type: str) -> str:
    text = f"nullif(trim({as_text(name, own_type)}, {_BLANKS}), '')"
    return f"CASE WHEN NOT isnan({name}) THEN {text} END" if own_type in FRACTIONS else text
