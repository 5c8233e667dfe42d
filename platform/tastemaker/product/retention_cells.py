"""Retention of weekly cohorts, from `activity` and the users' starts, by the SQL of the definitions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb

from tastemaker.product.cell import Cell, Level, MetricWindow, group_of
from tastemaker.product.retention_metrics import RETENTION, WEEKS
from tastemaker.stats.shares import wilson

COHORT_DAYS = 7
FOLLOWED_DAYS = COHORT_DAYS * WEEKS
"""For so many days after their start, users are looked at."""


_PLAIN = [("", one) for one in RETENTION if not one.slice]
_METRICS = [
    *_PLAIN,
    *((f"{one.slice}={n}", one.of_slice(str(n))) for one in RETENTION if one.slice for n in range(WEEKS)),
]
"""Slice and metric of every share."""


def _query(starts: str, level: Level) -> str:
    """Return the SQL of the counts of cohorts: who is followed long enough, and who of them came back."""
    came = ", ".join(f"{one.came_back} AS came_{n}" for n, (_, one) in enumerate(_METRICS))
    counts = ", ".join(
        f"count(*) FILTER (first_day + {one.last} <= $known_until) AS followed_{n}, "
        f"count(*) FILTER (first_day + {one.last} <= $known_until AND came_{n}) AS came_{n}, "
        f"monday + {COHORT_DAYS - 1} + {one.last} <= $known_until AS complete_{n}"
        for n, (_, one) in enumerate(_METRICS)
    )
    return f"""
        SELECT {level.columns}monday, {counts}
        FROM (
            SELECT {level.columns}date_trunc('week', first_day)::DATE AS monday, first_day, {came}
            FROM ({starts}) AS starts LEFT JOIN activity
                ON activity.user_id = starts.user_id AND day BETWEEN first_day AND first_day + {FOLLOWED_DAYS}
            WHERE first_day BETWEEN $first AND $last AND {level.where}
            GROUP BY {level.columns}starts.user_id, first_day
        ) GROUP BY {level.columns}monday ORDER BY {level.columns}monday"""  # noqa: S608 - our own


class RetentionCells:
    """The cohorts of one shop, whose table `activity` a connection has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def of(self, starts: str, level: Level, first: date, last: date, known_until: date) -> Iterator[Cell]:
        """Yield the retention of cohorts, each of a week from Monday to Sunday.

        Args:
            starts: SQL of one row per user and group: the columns of `level`, `user_id`, and `first_day`.
            level: The columns by whose values users are grouped.
            first: The Monday of the first cohort.
            last: The last day on which a user of a cohort may start, which is included.
            known_until: The last day whose activity is known.
        """
        days = {"first": first, "last": last, "known_until": known_until}
        for row in self._connection.sql(_query(starts, level), params=days).to_arrow_table().to_pylist():
            window = MetricWindow.ending(row["monday"] + timedelta(days=COHORT_DAYS - 1), COHORT_DAYS)
            group = group_of(level, row)
            for n, (slice_, one) in enumerate(_METRICS):
                found, is_complete = wilson(row[f"came_{n}"], row[f"followed_{n}"]), row[f"complete_{n}"]
                yield Cell.estimate(
                    one.name, window, group, found, found.users, is_complete=is_complete, slice=slice_
                )
