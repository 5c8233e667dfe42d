"""The length of an interval between two columns, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class days_between(FunctionElement[float]):  # noqa: N801: it is written like a function of SQL
    """Days from one `Moment` to another, as a fraction, on SQLite and Postgres."""

    type = Float()
    inherit_cache = True


@compiles(days_between, "sqlite")
def _of_sqlite(element: days_between, compiler: Any, **kwargs: Any) -> str:
    start, end = (compiler.process(one, **kwargs) for one in element.clauses)
    return f"(julianday({end}) - julianday({start}))"


@compiles(days_between, "postgresql")
def _of_postgres(element: days_between, compiler: Any, **kwargs: Any) -> str:
    start, end = (compiler.process(one, **kwargs) for one in element.clauses)
    return f"(extract(epoch FROM {end} - {start}) / 86400.0)"
