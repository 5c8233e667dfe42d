"""Exposures that the plan in force does not explain, such as those that a shop's own code reports wrongly.

They are counted at each look and shown beside the result. `tastemaker experiment replay` lists them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from duckdb import ColumnExpression as _column
from duckdb import ConstantExpression as _value

from tastemaker.event_log.exposures import exposures
from tastemaker.experiments.assignment_sql import count_disagreements
from tastemaker.experiments.plan_file import read_archive

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def unexplained(connection: DuckDBPyConnection, name: str, started_at: float, folder: Path) -> str | None:
    """Return in a sentence how many exposures are not as their plan says; None if all are.

    Args:
        connection: Of the lake. It gets temporary tables.
        name: The experiment's name.
        started_at: Seconds since 1970 UTC: earlier exposures are not counted.
        folder: The plans' folder; without a plan in it, nothing is compared.

    Raises:
        TastemakerError: A plan of the archive can't be read.
    """
    plans = read_archive(folder)
    if not plans:
        return None
    since = _value(datetime.fromtimestamp(started_at, UTC))
    mine = (_column("experiment") == _value(name)) & (_column("occurred_at") >= since)
    counts = count_disagreements(connection, exposures(connection).filter(mine), plans, folder)
    if not counts:
        return None
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
    return (
        f"{sum(counts.values()):,} exposures are not as their plan says ({reasons}): they may be reported "
        "wrongly. tastemaker experiment replay lists them."
    )
