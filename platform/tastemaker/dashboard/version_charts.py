"""Charts of versions by day: in one chart, or as small multiples that share their scales.

Days without a figure are rows without a value, so that lines have a gap there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row

from tastemaker.dashboard import in_service, measured
from tastemaker.dashboard.charts.specs import ChartTick, lines
from tastemaker.dashboard.content import Chart, ColumnKind, DataTable, TableColumn
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.measured import VersionKey
from tastemaker.dashboard.reader import DashboardReader

ByVersion = Mapping[VersionKey, Sequence[Row[Any]]]
"""Daily rows of each version, oldest first."""


class ChartDays(NamedTuple):
    """The days of a chart, and what happened on them."""

    first: date
    last: date
    ticks: Sequence[ChartTick]

    @classmethod
    def of(cls, reader: DashboardReader, filters: PageFilters) -> ChartDays:
        """Return the whole days of the filters' period until yesterday, with the deploys.

        Args:
            reader: Has the present time and the shop's time zone; reads the promotions.
            filters: The period in days; its other restrictions do not matter.
        """
        last = reader.now.astimezone(reader.timezone).date() - timedelta(days=1)
        first = last - timedelta(days=filters.period - 1)
        deploys = in_service.deploys(reader, reader.now - timedelta(days=filters.period + 1))
        return cls(first, last, [one for one in deploys if first <= one.day <= last])

    def in_words(self) -> str:
        """Return what a chart's label says about the deploys."""
        if not self.ticks:
            return ""
        return f" Vertical lines: {len(self.ticks)} deploy{'s' if len(self.ticks) > 1 else ''}."


def shared_chart(
    reader: DashboardReader,
    metric: str,
    title: str,
    rows: ByVersion,
    names: Mapping[VersionKey, str],
    days: ChartDays,
) -> Chart:
    """Return one chart with a line per version.

    Args:
        reader: Has the shop's time zone.
        metric: Name of the metric that is drawn, and of the chart's table.
        title: The chart's title, to which the unit is added.
        rows: Daily rows of at most `MOST_SERIES` versions, the most important one first.
        names: Short names of the versions.
        days: First and last day of the axis, and the deploys.
    """
    unit = unit_of(rows, metric)
    data = [
        [day, names[key], key[1], *figures]
        for key, mine in rows.items()
        for day, *figures in with_gaps(reader, mine, metric)
    ]
    columns = [
        TableColumn("day", "Day", "day"),
        TableColumn("series", "Model"),
        TableColumn("version", "Version", "name"),
        *_ends(unit),
    ]
    return Chart(
        title=with_unit(title, unit),
        label=f"{title}: {', '.join(names[key] for key in rows)}; with 95 % intervals.{days.in_words()}",
        spec=lines(
            "day", "value", unit=unit, series="series", low="low", high="high",
            days=(days.first, days.last), ticks=days.ticks,
        ),
        table=DataTable(metric, title, columns, data, empty="No figures by day yet."),
    )  # fmt: skip


def multiples(
    reader: DashboardReader, metric: str, rows: ByVersion, names: Mapping[VersionKey, str], days: ChartDays
) -> list[Chart]:
    """Return a chart per version, all with the same axes.

    Args:
        reader: Has the shop's time zone.
        metric: Name of the metric that is drawn; with a number from 1, that of each chart's table.
        rows: Daily rows of the versions, also of other metrics.
        names: Short names of the versions, which are the charts' titles.
        days: First and last day of the axis, and the deploys.

    Returns:
        Charts in the order of `rows`; the axis of figures includes all values and ends of intervals.
    """
    unit = unit_of(rows, metric)
    by_version = {key: with_gaps(reader, mine, metric) for key, mine in rows.items()}
    seen = [one for data in by_version.values() for _, *ends in data for one in ends if one is not None]
    return [
        single_chart(
            f"{metric}_{number}",
            names[key],
            data,
            unit,
            days,
            domain=(min(seen), max(seen)) if seen else None,
        )
        for number, (key, data) in enumerate(by_version.items(), 1)
    ]


def single_chart(
    name: str,
    title: str,
    data: Sequence[Sequence[Any]],
    unit: str,
    days: ChartDays,
    *,
    domain: tuple[float, float] | None = None,
) -> Chart:
    """Return a chart of one line.

    Args:
        name: Name of its table, unique on a page.
        title: What the line shows, such as the version's name.
        data: What `with_gaps` returned.
        unit: Unit of the figures; a share is written in per cent.
        days: First and last day of the axis, and the deploys.
        domain: Lowest and highest figure of the axis; None: from the data.
    """
    return Chart(
        title=title,
        label=f"{title} by day, with 95 % intervals.{days.in_words()}",
        spec=lines(
            "day", "value", unit=unit, low="low", high="high", domain=domain,
            days=(days.first, days.last), ticks=days.ticks,
        ),
        table=DataTable(
            name, title, [TableColumn("day", "Day", "day"), *_ends(unit)], data,
            empty="No figures by day yet.",
        ),
    )  # fmt: skip


def with_gaps(reader: DashboardReader, rows: Sequence[Row[Any]], metric: str) -> list[list[Any]]:
    """Return the figures of a metric day by day; days without a figure between others have nulls.

    Args:
        reader: Has the shop's time zone.
        rows: Daily rows of one series, also of other metrics, at most one per metric and day.
        metric: Name of the metric.

    Returns:
        [day, value, low, high] of each day from the first to the last one with a row; empty without one.
    """
    by_day = {measured.day_of(reader, row): row for row in rows if row.metric == metric}
    if not by_day:
        return []
    first, last = min(by_day), max(by_day)
    days = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    return [[day, *_figures(by_day.get(day))] for day in days]


def unit_of(rows: ByVersion, metric: str) -> str:
    """Return the unit of a metric's rows; empty without rows.

    Args:
        rows: Daily rows of versions, also of other metrics.
        metric: Name of the metric.
    """
    return next((row.unit for mine in rows.values() for row in mine if row.metric == metric), "")


def with_unit(title: str, unit: str) -> str:
    """Return a title with the unit of its figures.

    Args:
        title: The title without a unit.
        unit: The unit; that of a share is not added, since the axis shows per cent. Empty: nothing is added.
    """
    return title if unit in ("", "share") else f"{title} ({unit})"


def kind_of(unit: str) -> tuple[ColumnKind, str]:
    """Return the kind of a column of figures, and its unit."""
    return ("share", "") if unit == "share" else ("number", unit)


def _figures(row: Row[Any] | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if row is None else (row.value, row.low, row.high)


def _ends(unit: str) -> list[TableColumn]:
    return [TableColumn(end, end.title(), *kind_of(unit)) for end in ("value", "low", "high")]
