"""Small multiples: charts of each version or variant, on scales that all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard.charts.bars import place_bars
from tastemaker.dashboard.charts.specs import MOST_SERIES, lines
from tastemaker.dashboard.content import Chart, DataTable, TableColumn
from tastemaker.dashboard.figure_table import figure_columns, metric_title
from tastemaker.dashboard.measured import in_words, is_number
from tastemaker.dashboard.periods import Pair, sentence
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.series import SeriesKey
from tastemaker.dashboard.version_charts import ChartDays, with_gaps, with_unit


def by_day(
    reader: DashboardReader,
    metric: str,
    rows: Sequence[Row[Any]],
    series: SeriesKey,
    place: int,
    days: ChartDays,
    *,
    pair: Pair | None,
    period: str,
) -> Chart:
    """Return a line of a metric over days; one per slice, if it has slices.

    Args:
        reader: Has the shop's time zone.
        metric: Name of the metric, also part of the chart's name.
        rows: Its rows by day, of all series: they share a scale.
        series: Whose chart it is.
        place: Number of the series on the page, from 1: part of the chart's name.
        days: The days of the axis.
        pair: The figure of the whole period, beside that before; None: there is none.
        period: Its length, such as `28 days`.
    """
    own = [row for row in rows if SeriesKey.of(row) == series]
    slices = sorted({row.slice for row in own})[:MOST_SERIES]
    title, unit = metric_title(metric), own[0].unit if own else ""
    named = f"{title} of {series.name}"
    data = [
        [day, series.name, slice_name(one), *figures]
        for one in slices
        for day, *figures in with_gaps(reader, [row for row in own if row.slice == one], metric)
    ]
    columns = [TableColumn("day", "Day", "day"), TableColumn("series", "Of"), TableColumn("slice", "Only")]
    said = sentence(pair, named, period) if pair else f"{named} by day; the table has the figures."
    return Chart(
        title=with_unit(title, unit),
        label=said + days.in_words(),
        spec=lines(
            "day", "value", unit=unit, low="low", high="high", series="slice" if slices[1:] else None,
            domain=_domain(rows), days=(days.first, days.last), ticks=days.ticks,
        ),
        table=DataTable(
            f"{metric}_{place}", named, [*columns, *figure_columns(unit)], data,
            empty="No figures by day yet.",
        ),
    )  # fmt: skip


def by_position(rows: Sequence[Row[Any]], series: SeriesKey, place: int, period: str) -> Chart:
    """Return a bar of the click-through rate of each position.

    Args:
        rows: Rows of all series, one per position.
        series: Whose chart it is.
        place: Number of the series on the page, from 1.
        period: Its length, such as `28 days`.
    """
    own = [row for row in rows if SeriesKey.of(row) == series and slice_name(row.slice).isdecimal()]
    own.sort(key=lambda row: int(slice_name(row.slice)))
    title, unit = f"{metric_title('ctr_by_position')} of {series.name}", own[0].unit if own else ""
    domain = _domain(rows)
    return Chart(
        title=metric_title("ctr_by_position"),
        label=f"{title}, {period}: {_first_and_last(own)}.",
        spec=place_bars(
            "position", "value", title="Position in the list", unit=unit, low="low", high="high",
            top=domain[1] if domain else None,
        ),
        table=DataTable(
            f"ctr_by_position_{place}",
            title,
            [TableColumn("position", "Position", "number"), *figure_columns(unit)],
            [[int(slice_name(row.slice)), row.value, row.low, row.high] for row in own],
            empty="No figures by position yet.",
        ),
    )  # fmt: skip


def slice_name(slice_: str) -> str:
    """Return what a slice is restricted to: `purchase` of `event_type=purchase`."""
    return slice_.partition("=")[2]


def _first_and_last(rows: Sequence[Row[Any]]) -> str:
    known = [f"{in_words(row)} at position {slice_name(row.slice)}" for row in rows if is_number(row.value)]
    return ", ".join([*known[:1], *known[1:][-1:]]) or "there is no figure"


def _domain(rows: Iterable[Row[Any]]) -> tuple[float, float] | None:
    """Return the lowest and the highest end of all rows."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if is_number(end)]
    return (min(ends), max(ends)) if ends else None
