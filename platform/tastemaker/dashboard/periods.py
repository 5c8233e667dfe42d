"""Figures of a period beside those of the period before, and in words whether they rose or fell.

A figure has risen or fallen where the 95 % interval of the difference does not contain 0. Figures without an
interval are counts of what happened: each difference is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from tastemaker.dashboard import measured
from tastemaker.dashboard.content import Figure
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import number
from tastemaker.dashboard.measured import (
    DAY,
    M,
    MeasuredWindow,
    VersionKey,
    figure,
    in_words,
    is_number,
    missing,
    newest_windows,
    of_versions,
    restricted,
    within,
)
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.interval_difference import interval_difference

KEY = ("source", "problem", "model", "version", "experiment", "variant", "slice", "metric")
"""Columns that identify a figure, besides its window."""
Trend = Literal["higher", "lower", "same", "unknown"]


class Pair(NamedTuple):
    """A figure, and that of the period before."""

    now: Row[Any]
    before: Row[Any] | None


def pairs(
    reader: DashboardReader,
    metrics: Sequence[str],
    filters: PageFilters,
    *,
    names: Sequence[str] = (),
    days: int | None = None,
    versions: Sequence[VersionKey] | None = None,
) -> list[Pair]:
    """Return the newest figures over a period, each beside that of the period before.

    Args:
        reader: Reads the table `measurements`; has the shop's time zone.
        metrics: Names of metrics.
        filters: Restrictions, and the period in days.
        names: Columns that may have any value, such as model and version.
        days: Length of the period; None: the filters'.
        versions: Only of these; None: of all.
    """
    length = days or filters.period
    newest = newest_windows(reader, metrics, length)
    if not newest:
        return []
    before = {window: _before(window, length, reader.timezone) for window in newest}
    wanted = [*newest, *(one for found in before.values() for one in found)]
    statement = restricted(filters, names=names).where(within(wanted), of_versions(versions))
    rows = reader.rows(statement)
    by_key = {(*_key(row), _window(row)): row for row in rows}
    return [
        Pair(row, _first(by_key, [(*_key(row), one) for one in before[_window(row)]]))
        for row in rows
        if _window(row) in before
    ]


def _before(window: MeasuredWindow, days: int, zone: ZoneInfo) -> list[MeasuredWindow]:
    """Return the window before: as long in days of the shop, or in days of 24 hours."""
    start = window.start
    midnight = datetime.combine(start.astimezone(zone).date() - days * DAY, time(), zone)
    starts = {midnight.astimezone(start.tzinfo), start - days * DAY}
    return [window._replace(start=one, end=start) for one in sorted(starts)]


def _window(row: Row[Any]) -> MeasuredWindow:
    return MeasuredWindow(row.source, row.metric, row.window_start, row.window_end)


def _key(row: Row[Any]) -> tuple[str, ...]:
    return tuple(getattr(row, name) for name in KEY)


def _first(rows: dict[tuple[Any, ...], Row[Any]], keys: Sequence[tuple[Any, ...]]) -> Row[Any] | None:
    return next((rows[key] for key in keys if key in rows), None)


def history(
    reader: DashboardReader, metrics: Sequence[str], filters: PageFilters, *, days: int, count: int
) -> Sequence[Row[Any]]:
    """Return the figures of consecutive windows without overlap, newest first.

    Args:
        reader: Reads the table `measurements`; has the shop's time zone.
        metrics: Names of metrics.
        filters: Restrictions; their period does not matter.
        days: Length of each window, in days.
        count: Number of windows.
    """
    windows = last = newest_windows(reader, metrics, days)
    for _ in range(count - 1):
        last = [one for window in last for one in _before(window, days, reader.timezone)]
        windows = [*windows, *last]
    statement = restricted(filters, names=()).where(within(windows))
    return reader.rows(statement.order_by(M.window_end.desc()))


def difference(pair: Pair) -> Interval | None:
    """Return by how much a figure differs from that before; None: one of them is missing."""
    now, before = pair
    if before is None or not (is_number(now.value) and is_number(before.value)):
        return None
    return interval_difference(_interval(now), _interval(before))


def trend(pair: Pair) -> Trend:
    """Return whether a figure is higher or lower than before, or not distinguishable."""
    found = difference(pair)
    if found is None:
        return "unknown"
    if math.isnan(found.low):
        return "same" if found.value == 0 else "higher" if found.value > 0 else "lower"
    return "higher" if found.low > 0 else "lower" if found.high < 0 else "same"


def compared(pair: Pair, period: str) -> str:
    """Return the comparison of a figure with that before.

    Args:
        pair: The figure, and that of the period before.
        period: The length of the period, such as `28 days`.

    Returns:
        Such as `lower than in the 28 days before: 12 % (difference -3 points, -3.5 to -2.5)`.
    """
    found, direction = difference(pair), trend(pair)
    if found is None or pair.before is None:
        return f"no figure of the {period} before"
    said = "about as" if direction == "same" else f"{direction} than"
    before = number(pair.before.value, pair.now.unit)
    return f"{said} in the {period} before: {before} (difference {_signed(found, pair.now.unit)})"


def _signed(found: Interval, unit: str) -> str:
    """Return a difference with its interval; shares differ by points, not by per cent of each other."""
    if unit == "share":
        largest = 100 * max(abs(end) for end in found if math.isfinite(end))
        decimals = 1 if largest >= 1 else 3
        value, low, high = (f"{100 * end:+.{decimals}f}" for end in found)
    else:
        value, low, high = (f"{'+' if end > 0 else ''}{number(end)}" for end in found)
    name = "points" if unit == "share" else unit
    return f"{value} {name}".rstrip() + ("" if math.isnan(found.low) else f", {low} to {high}")


def _interval(row: Row[Any]) -> Interval:
    low, high = (float(end) if is_number(end) else math.nan for end in (row.low, row.high))
    return Interval(float(row.value), low, high)


def last_day(row: Row[Any], zone: ZoneInfo) -> date:
    """Return the last day of a row's window.

    Args:
        row: A row of `measurements`; its window ends at a midnight, which is not included.
        zone: The shop's time zone.
    """
    noon: datetime = row.window_end - DAY / 2
    return noon.astimezone(zone).date()


def compared_figure(reader: DashboardReader, pair: Pair, title: str, period: str) -> Figure:
    """Return a figure with its window and its comparison with the period before.

    Args:
        reader: Has the shop's time zone.
        pair: The figure, and that of the period before.
        title: What is written above the figure.
        period: The length of the period, such as `28 days`.
    """
    return figure(pair.now, title, measured.window(reader, pair.now), comparison=compared(pair, period))


def sentence(pair: Pair, title: str, period: str) -> str:
    """Return how a figure is and whether it has changed, as a sentence.

    Args:
        pair: The figure, and that of the period before.
        title: What the figure is, such as `Click-through rate per list of als v1`.
        period: The length of the period, such as `28 days`.

    Returns:
        Such as `Click-through rate per list of als v1 fell from 12 % to 9 % (8.8 to 9.2 %).`
    """
    now = pair.now
    if not is_number(now.value):
        return f"{title}: too little data ({missing(now)})."
    said, direction = in_words(now), trend(pair)
    if pair.before is None or direction == "unknown":
        return f"{title} is {said}; there is no figure of the {period} before."
    before = number(pair.before.value, now.unit)
    if direction == "same":
        return f"{title} is {said}, about as in the {period} before ({before})."
    verb = "rose" if direction == "higher" else "fell"
    return f"{title} {verb} from {before} to {said} against the {period} before."


def than_before(pair: Pair, period: str, subject: str = "That") -> str:
    """Return the comparison with the period before as a sentence of its own.

    Args:
        pair: The figure, and that of the period before.
        period: The length of the period, such as `28 days`.
        subject: What the sentence is about, such as `Churn`: its first word.
    """
    said = compared(pair, period)
    return f"There is {said}." if trend(pair) == "unknown" else f"{subject} is {said}."
