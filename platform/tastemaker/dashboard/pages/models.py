"""Models: how does each model and version do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard import measured
from tastemaker.dashboard.access.viewer import Viewer
from tastemaker.dashboard.charts.specs import MOST_SERIES, lines
from tastemaker.dashboard.content import (
    Chart,
    Charts,
    ColumnKind,
    DataTable,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import number
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader

METRICS = {
    "ctr_list": "Clicked lists",
    "ctr_impression": "Clicked items",
    "reward_per_request": "Reward per request",
}
"""Metric -> its column's title."""
PER_PAGE = 100
BY_VERSION = ("model", "version")


def load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the table of versions, and a chart per metric of those with most users."""
    rows = [row for row in measured.latest(reader, tuple(METRICS), filters, names=BY_VERSION) if row.version]
    versions = sorted({(row.model, row.version): row.n or 0 for row in rows}.items(), key=lambda one: -one[1])
    return PageContent(
        answer=_answer(len(versions), filters.period),
        as_of=min((row.computed_at for row in rows), default=None),
        blocks=[_charts(reader, filters, [key for key, _ in versions]), _table(rows, versions, filters)],
        models=measured.names_of(reader, "model", filters),
        versions=measured.names_of(reader, "version", filters),
    )


def _answer(versions: int, period: int) -> str:
    if not versions:
        return f"No version has answered requests in the last {period} days, as far as figures were computed."
    return f"{versions:,} versions answered requests in the last {period} days."


def _table(
    rows: Sequence[Row[Any]], versions: Sequence[tuple[tuple[str, str], int]], filters: PageFilters
) -> DataTable:
    by_key = {(row.model, row.version, row.metric): row for row in rows}
    start = (filters.page - 1) * PER_PAGE
    return DataTable(
        name="versions",
        title="Versions",
        columns=[
            TableColumn("model", "Model"),
            TableColumn("version", "Version"),
            TableColumn("users", "Users", "number"),
            *(TableColumn(name, title, *_kind(rows, name)) for name, title in METRICS.items()),
        ],
        rows=[
            [model, version, users, *(_cell(by_key.get((model, version, name))) for name in METRICS)]
            for (model, version), users in versions[start : start + PER_PAGE]
        ],
        note="Different users at different times: only an experiment shows which version is better.",
    )


def _cell(row: Row[Any] | None) -> TableCell:
    if row is None or row.value is None:
        return TableCell(None, small="too little data", look="too_little")
    small = "" if row.low is None else f"{number(row.low, row.unit)} to {number(row.high, row.unit)}"
    return TableCell(row.value, small=small)


def _kind(rows: Sequence[Row[Any]], metric: str) -> tuple[ColumnKind, str]:
    """Return the kind of a metric's column and its unit."""
    unit = next((row.unit for row in rows if row.metric == metric), "")
    return ("share", "") if unit == "share" else ("number", unit)


def _charts(reader: DashboardReader, filters: PageFilters, versions: Sequence[tuple[str, str]]) -> Charts:
    shown = list(versions[:MOST_SERIES])
    rows = [
        row
        for row in measured.daily(reader, tuple(METRICS), filters, names=BY_VERSION)
        if (row.model, row.version) in shown
    ]
    by_metric = {name: [row for row in rows if row.metric == name] for name in METRICS}
    return Charts(
        title="Day by day",
        charts=[_chart(name, title, by_metric[name]) for name, title in METRICS.items()],
    )


def _chart(name: str, title: str, rows: Sequence[Row[Any]]) -> Chart:
    unit = rows[0].unit if rows else ""
    columns = [
        TableColumn("day", "Day", "day"),
        TableColumn("version", "Version"),
        *(TableColumn(end, end.title(), *_kind(rows, name)) for end in ("value", "low", "high")),
    ]
    data = [[row.window_start.date(), row.version, row.value, row.low, row.high] for row in rows]
    return Chart(
        title=title,
        label=f"{title} by day and version, with 95 % intervals; the table has the figures.",
        spec=lines("day", "value", unit=unit, series="version", low="low", high="high"),
        table=DataTable(name, title, columns, data, empty="No figures by day yet."),
    )


PAGE = DashboardPage(
    path="/models",
    title="Models",
    question="How does each model and version do?",
    load=load,
    filters=("model", "version", "period"),
)
