"""What the lists of windows showed of the catalogue, from `item_days`, by the SQL of the definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import duckdb

from tastemaker.product.catalogue_metrics import CATALOGUE, items_shown
from tastemaker.product.cell import (
    LEVELS,
    Cell,
    Group,
    Level,
    MetricWindow,
    WindowEnds,
    group_of,
    rows_of_windows,
)
from tastemaker.stats.bootstrap import Interval

CATEGORIES = 20
"""Categories with figures of their own: those that were shown most, and whose names fit into a slice's."""
_TOP = """
    SELECT category FROM item_days WHERE length(category) BETWEEN 1 AND 150 GROUP BY category
    ORDER BY sum(impressions) DESC, category LIMIT ?
"""


class CatalogueCells:
    """The figures of one shop, whose tables `item_days` and `ends` a connection has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def of(self, ends: WindowEnds, users: Mapping[tuple[MetricWindow, Group], int]) -> Iterator[Cell]:
        """Yield the figures of windows, for all lists and by model and version.

        Args:
            ends: The windows.
            users: The number of users who were answered, by window and group.
        """
        for level in LEVELS:
            if "variant" not in level.keys:
                yield from self._of_level(level, ends, users)

    def _of_level(
        self, level: Level, ends: WindowEnds, users: Mapping[tuple[MetricWindow, Group], int]
    ) -> Iterator[Cell]:
        top = [name for (name,) in self._connection.execute(_TOP, [CATEGORIES]).fetchall()]
        plain = {("", one.name): one.value for one in CATALOGUE if not one.slice}
        sliced = {
            (f"{one.slice}={name}", one.name): one.value.replace(f"${one.slice}", f"$category_{n}")
            for one in CATALOGUE
            if one.slice
            for n, name in enumerate(top)
        }
        values = plain | sliced
        columns = ", ".join(f"({sql})::DOUBLE AS value_{n}" for n, sql in enumerate(values.values()))
        shown = items_shown(rows_of_windows("item_days"), level.columns)
        sql = f"""
            SELECT {level.columns}last, sum(impressions) AS impressions, {columns}
            FROM ({shown}) GROUP BY {level.columns}last ORDER BY {level.columns}last"""  # noqa: S608 - our own
        parameters = ends.parameters | {f"category_{n}": name for n, name in enumerate(top)}
        for row in self._connection.sql(sql, params=parameters).to_arrow_table().to_pylist():
            window, group = ends.window(row["last"]), group_of(level, row)
            for n, (slice_, name) in enumerate(values):
                found = Interval(row[f"value_{n}"], math.nan, math.nan, users[window, group])
                if found.value is not None:
                    yield Cell.estimate(
                        name, window, group, found, row["impressions"], is_complete=True, slice=slice_
                    )
