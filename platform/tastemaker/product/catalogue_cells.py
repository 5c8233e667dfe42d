"""Figures of what the lists of windows showed of the catalogue, from `item_days`.

They are computed from arrays, since SQL would take longer. The definitions' SQL says what they are, and
`tests/unit/product/test_random_lists.py` compares both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from itertools import chain

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.product.cell import Cell, Group, Level, MetricWindow, WindowEnds
from tastemaker.product.day_files import ITEM_DAYS
from tastemaker.product.groups import create_groups
from tastemaker.product.items_shown import DaysOfItems, ItemsShown
from tastemaker.stats.bootstrap import Interval

CATEGORIES = 20
"""Categories with figures of their own: those that were shown most, and whose names fit into a slice's."""
_TOP = """
    SELECT category FROM item_days WHERE length(category) BETWEEN 1 AND 150 GROUP BY category
    ORDER BY sum(impressions) DESC, category LIMIT ?
"""
_ITEMS = """
    SELECT group_number, day, item_id::BIGINT AS item_id, impressions, new_impressions,
        coalesce(list_position($top, category), 0)::BIGINT AS category,
        coalesce(epoch_us(first_seen_at), $never) AS first_seen
    FROM grouped ORDER BY day
"""
_VERSIONS = Level(("model", "version"))
_NEVER = np.iinfo(np.int64).max


class CatalogueCells:
    """The figures of one shop, whose tables `item_days` and `ends` a connection has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def of(
        self, windows: Sequence[WindowEnds], users: Mapping[tuple[MetricWindow, Group], int]
    ) -> Iterator[Cell]:
        """Yield the figures of windows, for all lists and by model and version.

        Args:
            windows: The windows, in runs of consecutive ones.
            users: The number of users who were answered, by window and group.
        """
        for group, days in self._groups():
            for window, shown in chain.from_iterable(map(days.windows, windows)):
                yield from self._cells(window, group, shown, users[window, group])

    def _groups(self) -> Iterator[tuple[Group, DaysOfItems]]:
        versions = create_groups(self._connection, ITEM_DAYS, _VERSIONS)
        given = {"top": self._top, "never": _NEVER}
        rows = self._connection.sql(_ITEMS, params=given).to_arrow_table()
        numbers: dict[Group, list[int]] = defaultdict(list)
        for number, version in enumerate(versions):
            for group in (Group(), Group(version.model), version):
                numbers[group].append(number)
        for group, some in numbers.items():
            own = rows.filter(pc.is_in(rows["group_number"], pa.array(some)))
            yield group, DaysOfItems(own, self._item_count)

    def _cells(self, window: MetricWindow, group: Group, shown: ItemsShown, users: int) -> Iterator[Cell]:
        impressions = float(shown.impressions.sum())
        for metric, slice_, value in self._figures(window.last, shown, impressions):
            found = Interval(value, math.nan, math.nan, users)
            yield Cell.estimate(metric, window, group, found, impressions, is_complete=True, slice=slice_)

    def _figures(self, last: date, shown: ItemsShown, impressions: float) -> Iterator[tuple[str, str, float]]:
        """Yield metric, slice and value."""
        ends_at, known = self._ends[last]
        catalogue = known + np.count_nonzero(shown.first_seen >= ends_at)
        top = -(-catalogue // 100)
        most = np.partition(shown.impressions, -top)[-top:] if top < len(shown.item_id) else shown.impressions
        yield "catalogue_coverage", "", len(shown.item_id) / catalogue
        yield "top_1_percent_share", "", most.sum() / impressions
        yield "new_item_share", "", shown.new_impressions.sum() / impressions
        exposure = np.bincount(shown.category, shown.impressions, len(self._top) + 1)[1:]
        for category, exposed in zip(self._top, exposure.tolist(), strict=True):
            if exposed:
                yield "exposure_share", f"category={category}", exposed / impressions

    @cached_property
    def _top(self) -> list[str]:
        return [name for (name,) in self._connection.execute(_TOP, [CATEGORIES]).fetchall()]

    @cached_property
    def _item_count(self) -> int:
        (row,) = self._connection.table("item_days").aggregate("coalesce(max(item_id) + 1, 0)").fetchall()
        return int(row[0])

    @cached_property
    def _ends(self) -> dict[date, tuple[int, int]]:
        """Day -> its end, in microseconds since 1970 UTC, and the number of items known until then."""
        return {
            last: (ends_at, items)
            for last, ends_at, items in self._connection.execute(
                "SELECT last, epoch_us(ends_at), items FROM ends"
            ).fetchall()
        }
