"""Figures of active, new and lost users, from `activity` and `firsts`, by the SQL of their definitions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tastemaker.product.cell import Cell, Group, MetricWindow, WindowEnds, rows_of_windows
from tastemaker.product.growth_metrics import AROUND_DAYS, GROWTH, GrowthMetric, users_around
from tastemaker.stats.ratios import ratio_interval
from tastemaker.stats.shares import median_interval, wilson


def _columns() -> Iterator[str]:
    """Yield the SQL of what the cells are made of, over the rows of `users_around`."""
    for one in GROWTH:
        yield f"count(*) FILTER ({one.among}) AS {one.name}_among"
        if one.figure == "share":
            yield f"count(*) FILTER (({one.among}) AND ({one.of})) AS {one.name}_share"
        elif one.figure != "count":
            yield f"coalesce(list(({one.of})::DOUBLE) FILTER ({one.among}), []) AS {one.name}_values"


_QUERY = f"""
    SELECT last, {", ".join(_columns())}
    FROM ({users_around(rows_of_windows("activity"))}) GROUP BY last ORDER BY last"""  # noqa: S608 - our own


class GrowthCells:
    """The figures of one shop, whose tables `activity` and `firsts` a connection has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, first_day: date) -> None:
        """Use a connection.

        Args:
            connection: Has the tables `activity` and `firsts`.
            first_day: The first day of activity that is known.
        """
        self._connection, self._first_day = connection, first_day

    def of(self, first: date, last: date) -> Iterator[Cell]:
        """Yield the figures of windows that end on consecutive days, where enough days before are known.

        Args:
            first: The first day on which a window ends.
            last: The last one, which is included.
        """
        ends = WindowEnds(first, last, AROUND_DAYS)
        rows = self._connection.sql(_QUERY, params=ends.parameters).to_arrow_table()
        lists = {name: rows[name] for name in rows.column_names if name.endswith("_values")}
        for number, row in enumerate(rows.drop_columns(list(lists)).to_pylist()):
            row |= {name: values[number] for name, values in lists.items()}
            for metric in GROWTH:
                if row["last"] - timedelta(days=metric.needs_days - 1) >= self._first_day:
                    yield _cell(metric, row)


def _cell(metric: GrowthMetric, row: dict[str, Any]) -> Cell:
    window, among = MetricWindow.ending(row["last"], metric.days), int(row[f"{metric.name}_among"])
    if metric.figure == "count":
        return Cell(metric.name, window, Group(), among, None, None, among, is_complete=True)
    if metric.figure == "share":
        found = wilson(int(row[f"{metric.name}_share"]), among)
    else:
        listed: pa.ListScalar = row[f"{metric.name}_values"]
        values = listed.values.to_numpy()
        found = (
            median_interval(values)
            if metric.figure == "median"
            else ratio_interval(values, np.ones_like(values))
        )
    return Cell.estimate(metric.name, window, Group(), found, among, is_complete=True)
