"""Drift: did something change in who comes, what is asked for, what is shown and what users choose?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, Row, exists, select

from tastemaker.dashboard import report_tables, stored_reports
from tastemaker.dashboard.charts.usual import line_over_usual
from tastemaker.dashboard.content import (
    Chart,
    Charts,
    DataTable,
    Figure,
    Figures,
    Notes,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.paging import page_links
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.monitoring.drift_sides import SIDES, TITLES
from tastemaker.storage.tables import reports, versions

PATH = "/drift"
MOST_REPORTS = 90
"""Reports in a chart, the newest: one for each night of the longest period."""
STATES = ("changed", "as usual", "not evaluated")
NONE_YET = "No drift report has been made yet: the asset drift_report makes one each night."


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the newest report's columns, their distances over time, and the list of reports."""
    newest = stored_reports.newest(reader, "drift", filters)
    statement = stored_reports.selected("drift", filters)
    found = stored_reports.shown(reader, statement, filters)
    listing = stored_reports.listing("reports", "Reports", found, empty=NONE_YET)
    links = page_links(PATH, filters, stored_reports.count(reader, statement))
    models, ids = _names(reader, versions.c.model), _names(reader, versions.c.id)
    if newest is None:
        return PageContent(NONE_YET, None, [listing, *links], models=models, versions=ids)
    return PageContent(
        answer=f"{newest.verdict} This is the newest report, about {newest.model} {newest.version_id}.",
        as_of=newest.created_at,
        blocks=[
            Figures(_figures(newest)),
            *_charts(_history(reader, filters, newest.model), newest.summary),
            *report_tables.drift(newest.summary),
            Notes([], [TableCell("This report, with histograms", link=f"{stored_reports.PATH}/{newest.id}")]),
            listing,
            *links,
        ],
        models=models,
        versions=ids,
    )


def _names(reader: DashboardReader, column: Column[str]) -> list[str]:
    """Return the models or versions that have drift reports, for a filter."""
    about = exists().where(reports.c.version_id == versions.c.id, reports.c.kind == "drift")
    return [row[0] for row in reader.rows(select(column).where(about).distinct().order_by(column))]


def _figures(newest: Row[Any]) -> list[Figure]:
    summary = newest.summary
    columns = [one for one in summary["columns"] if one["threshold"] is not None]
    days = summary["days"]
    window = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "no whole day with enough requests"
    changed = sum(one["alarm"] for one in columns)
    return [
        Figure(
            "", "Columns that changed", float(changed) if columns else None, "", window, n=len(columns),
            counted="columns compared", as_of=newest.created_at,
            missing=summary["note"] or "too few days before",
        ),
        Figure(
            "", "Requests", float(summary["requests"]), "", window, as_of=newest.created_at,
            comparison=f"compared with {_reference(summary)}",
        ),
    ]  # fmt: skip


def _reference(summary: Mapping[str, Any]) -> str:
    spans = summary["reference_days"].values()
    return f"{min(span[0] for span in spans)} to {max(span[1] for span in spans)}" if spans else "nothing yet"


def _history(reader: DashboardReader, filters: PageFilters, model: str) -> Sequence[Row[Any]]:
    """Return a model's reports in the period, oldest first, whichever of its versions they are about."""
    statement = (
        stored_reports.selected("drift", filters)
        .add_columns(reports.c.summary)
        .where(versions.c.model == model)
        .where(reports.c.created_at > reader.now - timedelta(days=filters.period))
        .limit(MOST_REPORTS)
    )
    return reader.rows(statement)[::-1]


def _charts(history: Sequence[Row[Any]], newest: Mapping[str, Any]) -> list[Charts]:
    """Return a group of charts per side, a chart per column."""
    points: dict[tuple[str, str], list[list[Any]]] = {}
    for row in history:
        for one in row.summary["columns"]:
            point = [
                row.created_at,
                one["distance"],
                one["threshold"],
                report_tables.state(one),
                row.version_id,
            ]
            points.setdefault((one["side"], one["column"]), []).append(point)
    now = {(one["side"], one["column"]): one for one in newest["columns"]}
    found = []
    for side in SIDES:
        keys = [key for key in now if key[0] == side and key in points]
        charts = [_chart(f"{side}_{at}", now[key], points[key]) for at, key in enumerate(keys)]
        if charts:
            found.append(
                Charts(charts, TITLES[side], "Grey: as far as days usually differ. A triangle: changed.")
            )
    return found


def _chart(name: str, newest: Mapping[str, Any], points: list[list[Any]]) -> Chart:
    title = report_tables.phrase(newest).capitalize()
    columns = [
        TableColumn("made_at", "Made", "time"),
        TableColumn("distance", "Distance", "number"),
        TableColumn("usual_up_to", "Usual up to", "number"),
        TableColumn("state", "State"),
        TableColumn("version", "Version"),
    ]
    return Chart(
        title=title,
        label=f"{title}: distance from the reference by report, and what is usual. {newest['sentence']}.",
        spec=line_over_usual("made_at", "distance", usual="usual_up_to", state="state", states=STATES),
        table=DataTable(name, title, columns, points),
    )


PAGE = DashboardPage(
    path=PATH,
    title="Drift",
    question="Did something change in who comes, what is asked for, what is shown and what users choose?",
    load=_load,
    filters=("model", "version", "period"),
)
