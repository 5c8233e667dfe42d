"""The values of an indexed column, and the newest row of each, found by steps through the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, Column, ColumnElement, Select, func, select


def distinct_values(column: ColumnElement[str], *where: ColumnElement[bool]) -> CTE:
    """Return the query of a column's values in their order, and a null at the end.

    It takes a step per value, where DISTINCT and GROUP BY read every row.

    Args:
        column: The column. An index begins with it, or with those that `where` fixes and then with it.
        where: Which rows count.

    Returns:
        A common table expression with the column `name`.
    """
    steps = select(func.min(column).label("name")).where(*where).cte(recursive=True)
    following = select(func.min(column)).where(column > steps.c.name, *where).scalar_subquery()
    return steps.union_all(select(following).where(steps.c.name.is_not(None)))


def distinct_keys(columns: Sequence[Column[str]], *where: ColumnElement[bool]) -> CTE:
    """Return the query of the combinations of values that some columns have.

    It takes a step per combination and column. A row whose last value is null is not a combination.

    Args:
        columns: The columns. An index begins with those that `where` fixes, and has them next.
        where: Which rows count.

    Returns:
        A common table expression with the names of the columns.

    Raises:
        ValueError: There is no column.
    """
    found: CTE | None = None
    for column in columns:
        found = _with_next(found, column, where)
    if found is None:
        raise ValueError("columns is empty; give at least one column")
    return found


def _with_next(found: CTE | None, column: Column[str], where: Sequence[ColumnElement[bool]]) -> CTE:
    """Return the combinations with one column more: each with each value that follows it in the index."""
    known = [] if found is None else list(found.c)
    table = column.table.c

    def with_smallest(values: Sequence[ColumnElement[str]], *more: ColumnElement[bool]) -> Select[Any]:
        same = [table[value.name] == value for value in values]
        smallest = select(func.min(column)).where(*where, *same, *more).scalar_subquery()
        return select(*values, smallest.label(column.name)).where(*(one.is_not(None) for one in values[-1:]))

    steps = with_smallest(known).cte(recursive=True)
    *values, last = steps.c
    return steps.union_all(with_smallest(values, column > last).where(last.is_not(None)))


def any_value(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Return a condition that every value of a column meets, for an index that begins with the column.

    The database looks up each value, and then what the index has next; without it, it would read every row.
    """
    values = distinct_values(column)
    return column.in_(select(values.c.name).where(values.c.name.is_not(None)))


def newest_ids(identity: ColumnElement[int], column: ColumnElement[str]) -> Select[tuple[int]]:
    """Return the query of the largest id of each value of a column; a maximum per group would read every row.

    Args:
        identity: The id.
        column: The column. An index has it and then the id.
    """
    values = distinct_values(column)
    newest = select(func.max(identity)).where(column == values.c.name).scalar_subquery()
    return select(newest).where(values.c.name.is_not(None))
