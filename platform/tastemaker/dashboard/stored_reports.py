"""Reads of the table `reports` that several pages share, and the documents that it lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, func, select

from tastemaker.dashboard.content import DataTable, TableCell, TableColumn
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.paging import PER_PAGE, first_row
from tastemaker.dashboard.path_parts import row_number
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.errors import UnknownNameError
from tastemaker.monitoring.report_archive import ReportKind, documents
from tastemaker.storage.tables import reports, versions

PATH = "/reports"
TITLES: dict[ReportKind, str] = {
    "drift": "Drift",
    "data_quality": "Data quality",
    "ranking": "Recommendation quality",
    "ablation": "Features left out",
}
DOCUMENT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Content-Security-Policy of a report's document: its scripts have an own origin and load nothing."""
_R = reports.c


def selected(kind: str, filters: PageFilters) -> Select[Any]:
    """Return a selection of reports without their summaries, the newest first.

    Args:
        kind: A kind of report; empty for all.
        filters: Model and version restrict it.
    """
    statement = select(
        _R.id, _R.kind, _R.created_at, _R.window_start, _R.window_end, _R.path, versions.c.model,
        _R.version_id, _R.summary["verdict"].as_string().label("verdict"),
    ).join(versions, versions.c.id == _R.version_id, isouter=True)  # fmt: skip
    if kind:
        statement = statement.where(_R.kind == kind)
    if filters.model:
        statement = statement.where(versions.c.model == filters.model)
    if filters.version:
        statement = statement.where(_R.version_id == filters.version)
    return statement.order_by(_R.created_at.desc(), _R.id.desc())


def count(reader: DashboardReader, statement: Select[Any]) -> int:
    """Return the number of reports in a selection, on all pages.

    Args:
        reader: Reads the table `reports`.
        statement: From `selected`.
    """
    ids = statement.order_by(None).with_only_columns(_R.id, maintain_column_froms=True)
    found: int = reader.rows(select(func.count()).select_from(ids.subquery()))[0][0]
    return found


def shown(reader: DashboardReader, statement: Select[Any], filters: PageFilters) -> Sequence[Row[Any]]:
    """Return the rows of a selection that a page shows, at most `PER_PAGE`.

    Args:
        reader: Reads the table `reports`.
        statement: From `selected`, which orders the rows.
        filters: Which page of the list is shown.
    """
    return reader.rows(statement.limit(PER_PAGE).offset(first_row(filters)))


def newest(reader: DashboardReader, kind: ReportKind, filters: PageFilters) -> Row[Any] | None:
    """Return the newest report of a kind, with its summary; None if there is none.

    Args:
        reader: Reads the table `reports`.
        kind: The kind, such as drift.
        filters: Model and version restrict it.
    """
    found = reader.rows(selected(kind, filters).add_columns(_R.summary).limit(1))
    return found[0] if found else None


def report(reader: DashboardReader, number: str) -> Row[Any]:
    """Return the row of a report, with its summary.

    Args:
        reader: Reads the table `reports`.
        number: The report's id, as the address has it.

    Raises:
        UnknownNameError: There is no report of this number.
        TastemakerError: It is not a number.
    """
    by_number = selected("", PageFilters()).add_columns(_R.summary).where(_R.id == row_number(number))
    found = reader.rows(by_number)
    if not found:
        raise UnknownNameError(f"there is no report {number[:20]}", fix=f"choose one of the list: {PATH}")
    return found[0]


def document(reader: DashboardReader, number: str, name: str) -> Path:
    """Return the file of a report's document, which is in the folder of reports.

    Args:
        reader: Reads the table `reports`; knows the folder of reports.
        number: The report's id, as the address has it.
        name: The file's name, such as `report.html`.

    Raises:
        UnknownNameError: There is no such report, or it has no document of this name.
        TastemakerError: The number is not one.
    """
    found = documents(reader.settings.reports, report(reader, number).path)
    if name not in found:
        raise UnknownNameError(
            f"report {number[:20]} has no document {name[:100]!r}",
            fix=f"choose one of its page: {PATH}/{number}",
        )
    return found[name]


def listing(name: str, title: str, rows: Sequence[Row[Any]], *, empty: str) -> DataTable:
    """Return reports as a table with a link to each.

    Args:
        name: Name of the table and of its CSV file.
        title: What is written above the table.
        rows: Rows of `selected`, in the order of the table.
        empty: What is shown instead without any.
    """
    return DataTable(
        name,
        title,
        [
            TableColumn("made_at", "Made", "time"),
            TableColumn("report", "Report"),
            TableColumn("model", "Model"),
            TableColumn("version", "Version"),
            TableColumn("verdict", "What it says", "sentence"),
        ],
        [
            [
                TableCell(row.created_at, link=f"{PATH}/{row.id}"),
                TITLES.get(row.kind, row.kind),
                row.model,
                row.version_id,
                row.verdict,
            ]
            for row in rows
        ],
        empty=empty,
    )
