"""The groups whose lists figures are computed of, by number: numbers are compared faster than names."""

from __future__ import annotations

import duckdb

from tastemaker.product.cell import Group, Level, group_of

_GROUPS = """
    CREATE OR REPLACE TEMP TABLE groups AS
    SELECT *, (row_number() OVER () - 1)::INTEGER AS group_number FROM (
        SELECT {keys}count(*) AS row_count FROM {table} WHERE {where}
        GROUP BY ALL HAVING row_count > 0 ORDER BY ALL
    )
"""
_GROUPED = """
    CREATE OR REPLACE TEMP VIEW grouped AS SELECT group_number, {table}.* FROM {table} JOIN groups ON {same}
"""


def create_groups(connection: duckdb.DuckDBPyConnection, table: str, level: Level) -> list[Group]:
    """Create the view `grouped`, a table's rows with a `group_number`, and return the groups by number.

    Args:
        connection: Has the table.
        table: Name of the table.
        level: The columns whose values are a group, and which rows belong to any.
    """
    same = " AND ".join(f"{table}.{key} = groups.{key}" for key in level.keys) or "true"
    connection.execute(_GROUPS.format(table=table, keys=level.columns, where=level.where))
    connection.execute(_GROUPED.format(table=table, same=same))
    rows = connection.sql("FROM groups ORDER BY group_number").to_arrow_table().to_pylist()
    return [group_of(level, row) for row in rows]
