"""The length of an interval between two columns, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class DaysBetween(FunctionElement[float]):
    """Days from one `UtcDateTime` to another, as a fraction, on SQLite and Postgres."""

    type = Float()
    inherit_cache = True


@compiles(DaysBetween, "sqlite")
def _of_sqlite(element: DaysBetween, compiler: Any, **kwargs: Any) -> str:
    start, end = (compiler.process(one, **kwargs) for one in element.clauses)
    return f"(julianday({end}) - julianday({start}))"


@compiles(DaysBetween, "postgresql")
def _of_postgres(element: DaysBetween, compiler: Any, **kwargs: Any) -> str:
    start, end = (compiler.process(one, **kwargs) for one in element.clauses)
    return f"(extract(epoch FROM {end} - {start}) / 86400.0)"
