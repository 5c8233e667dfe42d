"""The reference page of tables: the lake's, from Arrow schemas, the metadata database's, and its views."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
from sqlalchemy import Column, Table

from site_build.markdown import code, heading, page, table
from tastemaker.data import tables
from tastemaker.event_log.attribution import ATTRIBUTED, FLAGGED_FEEDBACK
from tastemaker.storage.tables import metadata
from tastemaker.storage.views import views

INTRODUCTION = """# Tables

The lake keeps events and logs as Parquet files, one folder per table in `.tastemaker/lake`. The metadata
database (SQLite in the home folder, or [`database_url`](settings.md#database_url)) keeps versions,
backtests, promotions and reports. BI tools read its views.
"""
VIEWS = """[Superset, Metabase and SQL](../how-to/bi.md) read views. They have no ids of users. A view only
gains columns, at its end; a change that would break readers is a new view with the next number. Times are in
UTC."""


HEAD = ("Column", "Type", "Meaning")


class LakeTable(NamedTuple):
    """A table of the lake."""

    name: str
    meaning: str
    schema: pa.Schema


LAKE = (
    LakeTable("events", "What users did, after validation.", tables.EVENTS),
    LakeTable("items", "The catalogue, after validation.", tables.ITEMS),
    LakeTable("users", "The users, after validation.", tables.USERS),
    LakeTable("quarantine", "Rows that failed a rule, each with the rule.", tables.QUARANTINE),
    LakeTable("requests", "One row per logged request, with its answer.", tables.REQUESTS),
    LakeTable("feedback", "Events that callers of the service reported.", tables.FEEDBACK),
    LakeTable("exposures", "Units that saw a variant of a flag in the shop's own code.", tables.EXPOSURES),
    LakeTable("shadow_answers", "Answers to copies of requests, which no user saw.", tables.SHADOW_ANSWERS),
    LakeTable("item_changes", "Items that callers of the service changed.", tables.ITEM_CHANGES),
    LakeTable(tables.HISTORY, "Changes of items that no source has, one row each.", tables.ITEM_CHANGES),
    LakeTable("user_changes", "Users that callers of the service changed.", tables.USER_CHANGES),
    LakeTable("attributed_impressions", "One row per item shown, with its credited reward.", ATTRIBUTED),
    LakeTable(
        "attributed_feedback", "One row per reported event, with the impression credited.", FLAGGED_FEEDBACK
    ),
)


def tables_page() -> str:
    """Return the page: one section per table, one row per column."""
    known = {
        field.name: _meaning(field) for one in LAKE for field in reversed(list(one.schema)) if _meaning(field)
    }
    return page(
        INTRODUCTION,
        "## Lake",
        *(_lake_table(one, known) for one in LAKE),
        "## Metadata database",
        *(_database_table(one) for one in metadata.sorted_tables),
        "## Views",
        VIEWS,
        *(_view(one) for one in views.tables.values()),
    )


def _lake_table(one: LakeTable, known: dict[str, str]) -> str:
    rows = [
        [code(field.name), _arrow_type(field), _meaning(field) or known.get(field.name, "")]
        for field in one.schema
    ]
    return page(heading(3, code(one.name), f"lake-{one.name}"), one.meaning, table(HEAD, rows))


def _database_table(one: Table) -> str:
    rows = [[code(column.name), _sql_type(column), _sql_meaning(column)] for column in one.columns]
    return page(heading(3, code(one.name), f"database-{one.name}"), table(HEAD, rows))


def _view(one: Table) -> str:
    rows = [[code(column.name), _sql_type(column), _sql_meaning(column)] for column in one.columns]
    return page(heading(3, code(one.name), f"view-{one.name}"), str(one.comment), table(HEAD, rows))


def _meaning(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"description", b"").decode())


def _arrow_type(field: pa.Field) -> str:
    return code(field.type) + (" or null" if field.nullable else "")


def _sql_type(column: Column[object]) -> str:
    return code(getattr(column.type, "impl", column.type)) + (" or null" if column.nullable else "")


def _sql_meaning(column: Column[object]) -> str:
    found = ["primary key"] if column.primary_key else []
    found += [f"references {code(key.target_fullname)}" for key in sorted(column.foreign_keys, key=str)]
    return "; ".join([*found, *([column.doc] if column.doc else [])])
