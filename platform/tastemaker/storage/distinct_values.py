"""The values of an indexed column, each found by a step through the index."""

from __future__ import annotations

from sqlalchemy import CTE, ColumnElement, func, select


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
