"""What the lists of a window showed of each item, for windows that move by a day.

Most items are shown in every long window, and on many days of it. So the counts of a window are kept in
arrays over all items: the day that enters it is added, and the day that leaves it is subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.product.cell import MetricWindow, WindowEnds
from tastemaker.product.shop_days import ONE_DAY, days_between

Int64 = NDArray[np.int64]


class ItemsShown(NamedTuple):
    """Items that lists showed, int64[n] each."""

    item_id: Int64
    """The item's number."""
    impressions: Int64
    new_impressions: Int64
    """Those while the item was new."""
    category: Int64
    """The category's number, as known on the last day on which the item was shown."""
    first_seen: Int64
    """Microseconds since 1970 UTC, as known on that day."""

    def slice(self, first: int, end: int) -> Self:
        """Return the items at some consecutive places; the arrays are views.

        Args:
            first: The first place, from 0.
            end: The place after the last one.
        """
        return type(self)(*(column[first:end] for column in self))


class DaysOfItems:
    """The items that the lists of one group showed on each day."""

    def __init__(self, rows: pa.Table, item_count: int) -> None:
        """Use some rows.

        Args:
            rows: The columns of ItemsShown and `day`, in the order of days.
            item_count: Items are numbered from 0 to before this.
        """
        self._days = rows["day"].to_numpy()
        self._rows = ItemsShown(*(rows[name].to_numpy() for name in ItemsShown._fields))
        self._item_count = item_count

    def windows(self, ends: WindowEnds) -> Iterator[tuple[MetricWindow, ItemsShown]]:
        """Yield windows that showed any item, with what they showed."""
        totals = ItemsShown(np.arange(self._item_count), *np.zeros((4, self._item_count), np.int64))
        for last in days_between(ends.window(ends.first).first, ends.last):
            _add(totals, self._on(last))
            window = ends.window(last)
            if last >= ends.first:
                shown = np.flatnonzero(totals.impressions)
                if len(shown):
                    yield window, ItemsShown(*(column[shown] for column in totals))
                _remove(totals, self._on(window.first))

    def _on(self, day: date) -> ItemsShown:
        first, end = self._days.searchsorted([np.datetime64(day), np.datetime64(day + ONE_DAY)])
        return self._rows.slice(first, end)


def _add(totals: ItemsShown, day: ItemsShown) -> None:
    np.add.at(totals.impressions, day.item_id, day.impressions)
    np.add.at(totals.new_impressions, day.item_id, day.new_impressions)
    totals.category[day.item_id] = day.category
    totals.first_seen[day.item_id] = day.first_seen


def _remove(totals: ItemsShown, day: ItemsShown) -> None:
    np.subtract.at(totals.impressions, day.item_id, day.impressions)
    np.subtract.at(totals.new_impressions, day.item_id, day.new_impressions)
