"""The table of all figures of a period, which is a page's CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from tastemaker.dashboard.content import DataTable, TableCell, TableColumn
from tastemaker.dashboard.measured import is_number, missing
from tastemaker.dashboard.periods import Pair, difference, last_day
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.version_charts import kind_of
from tastemaker.product.definitions import DEFINITIONS

_TITLES = {"slice": "Only"}


def metric_title(metric: str) -> str:
    """Return a metric's title; a foreign metric has only its name."""
    return DEFINITIONS[metric].title if metric in DEFINITIONS else metric


def figure_columns(unit: str) -> list[TableColumn]:
    """Return the columns of a figure with its interval."""
    of = {"value": "Value", "low": "Low (95 %)", "high": "High (95 %)"}
    return [TableColumn(name, title, *kind_of(unit)) for name, title in of.items()]


def figure_table(reader: DashboardReader, found: Sequence[Pair], *names: str) -> DataTable:
    """Return a table with a row per figure, its interval, users and window, and the figure before.

    Args:
        reader: Has the shop's time zone.
        found: The figures, each beside that of the period before, in the order of the rows.
        names: Columns of `measurements` in which they differ, such as model and version.
    """
    return DataTable(
        name="figures",
        title="All figures",
        columns=[
            *(TableColumn(name, _TITLES.get(name, name.capitalize())) for name in names),
            TableColumn("figure", "Figure", "name"),
            TableColumn("value", "Value", "number"),
            TableColumn("low", "Low (95 %)", "number"),
            TableColumn("high", "High (95 %)", "number"),
            TableColumn("unit", "Unit"),
            TableColumn("users", "Users", "number"),
            TableColumn("before", "Before", "number"),
            TableColumn("difference_low", "Change, low", "number"),
            TableColumn("difference_high", "Change, high", "number"),
            TableColumn("first", "First day", "day"),
            TableColumn("last", "Last day", "day"),
        ],
        rows=[_row(pair, reader.timezone, names) for pair in found],
        note="Before: the figure of the period before. Where the interval from the change's low to its high "
        "end does not contain 0, the figure has changed. Changes of shares are percentage points.",
    )


def _row(pair: Pair, zone: ZoneInfo, names: Sequence[str]) -> list[Any]:
    now, before = pair
    change = difference(pair)
    changes = [change.low, change.high] if change else [None, None]
    return [
        *(getattr(now, name) for name in names),
        TableCell(metric_title(now.metric), link=f"/definitions#{now.metric}"),
        value_cell(now),
        *(TableCell(end, unit=now.unit) for end in (now.low, now.high)),
        now.unit,
        now.n,
        TableCell(before.value if before else None, unit=now.unit),
        *(TableCell(end, unit=now.unit) for end in changes),
        now.window_start.astimezone(zone).date(),
        last_day(now, zone),
    ]


def value_cell(row: Row[Any]) -> TableCell:
    """Return a figure as a cell: grey where there is too little data for one."""
    if not is_number(row.value):
        return TableCell(None, small=missing(row), look="too_little")
    return TableCell(row.value, unit=row.unit)
