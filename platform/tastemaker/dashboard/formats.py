"""Numbers, times and CSV as readers see them."""

from __future__ import annotations

import csv
import io
import math
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tastemaker.dashboard.content import DataTable, Figure, TableCell, TableColumn

NO_FIGURE = "–"
COUNTED = ("requests", "items", "users", "lists", "events", "hours", "days")
"""Units that are counted: one of them has no s."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def number(value: float | None, unit: str = "") -> str:
    """Return a figure with its unit; a share in per cent.

    Args:
        value: The figure; None, NaN and infinite ones are written as `NO_FIGURE`.
        unit: What is written behind it; `share` for a value from 0 to 1. Empty: nothing.

    >>> number(0.11234, "share"), number(1234.5, "GBP"), number(12_345)
    ('11.2 %', '1,234 GBP', '12,345')
    """
    if value is None or not math.isfinite(value):
        return NO_FIGURE
    if unit == "share":
        return f"{_per_cent(value)} %"
    return f"{_digits(value)} {_one(unit) if value == 1 else unit}".strip()


def interval(figure: Figure) -> str:
    """Return a figure's interval, such as `10.6 to 11.8 %`; empty without one."""
    return span(figure.low, figure.high, figure.unit)


def span(low: float | None, high: float | None, unit: str = "") -> str:
    """Return an interval, such as `10.6 to 11.8 %`; the unit is beside the figure. Empty without an interval.

    Args:
        low: Lower end.
        high: Upper end.
        unit: Unit of both.
    """
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high):
        return ""
    if unit == "share":
        return f"{_per_cent(low)} to {_per_cent(high)} %"
    return f"{_digits(low)} to {_digits(high)}"


def time_text(value: datetime, timezone: ZoneInfo) -> str:
    """Return a time to the minute, such as `2 Jul 2026 00:30 CEST`.

    Args:
        value: An aware time, in any time zone.
        timezone: The shop's time zone, in which it is written.
    """
    return f"{value.astimezone(timezone):%-d %b %Y %H:%M %Z}"


def day(value: date) -> str:
    """Return a day, such as `28 Nov 2026`."""
    return f"{value:%-d %b %Y}"


def shown(value: Any, column: TableColumn, timezone: ZoneInfo, unit: str = "") -> str:
    """Return a cell's value as text.

    Args:
        value: The value of a cell, not the `TableCell`; None is written as NO_FIGURE.
        column: Its kind and unit say how the value is written.
        timezone: The shop's time zone, in which times are written.
        unit: The cell's own unit; empty: the column's.
    """
    if value is None:
        return NO_FIGURE
    if column.kind == "time" and isinstance(value, datetime):
        return time_text(value, timezone)
    if column.kind == "day" and isinstance(value, date):
        return day(value)
    if column.kind in ("number", "share") and isinstance(value, (int, float)):
        return number(value, unit or ("share" if column.kind == "share" else column.unit))
    return str(value)


def as_csv(table: DataTable) -> str:
    """Return a table as CSV with full figures.

    Text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([[_safe(value) for value in record.values()] for record in table.records()])
    return written.getvalue()


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _one(unit: str) -> str:
    """Return the unit of a single thing, such as `day`."""
    return unit.removesuffix("s") if unit in COUNTED else unit


def _per_cent(share: float) -> str:
    """Return a share in per cent with three significant digits; 0 and 100 % are exact."""
    if share in (0, 1):
        return f"{100 * share:.0f}"
    decimals = max(1, 2 - math.floor(math.log10(abs(share * 100))))
    return f"{share * 100:,.{min(decimals, 6)}f}"


def _digits(value: float) -> str:
    """Return three significant digits, and whole numbers in full."""
    if value == 0:
        return "0"
    if float(value).is_integer() or abs(value) >= 1_000:
        return f"{value:,.0f}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"


def cell(value: Any) -> TableCell:
    """Return a value as a cell."""
    return value if isinstance(value, TableCell) else TableCell(value)
