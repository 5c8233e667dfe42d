"""One report: its figures, and its documents in a sandboxed frame."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard import report_tables, stored_reports
from tastemaker.dashboard.content import Frame, Notes, PageBlock, PageContent, TableCell
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.stored_reports import PATH, TITLES
from tastemaker.dashboard.viewer import Viewer
from tastemaker.errors import TastemakerError
from tastemaker.monitoring.report_archive import PAGE as OWN_PAGE
from tastemaker.monitoring.report_archive import documents

NO_VERDICT = (
    "The documents by Evidently show distributions. Evidently's own verdict on a whole data set is left out: "
    "it is that more than half of the columns drifted, whatever is usual."
)


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return a report, and one of its documents if the address names one."""
    row = stored_reports.report(reader, filters.path["number"])
    names = documents(reader.settings.reports, row.path)
    blocks = report_tables.BY_KIND[row.kind](row.summary) if row.kind in report_tables.BY_KIND else []
    subject = " ".join(filter(None, [row.model, row.version_id]))
    return PageContent(
        title=f"{TITLES.get(row.kind, row.kind)}: {subject}" if subject else TITLES.get(row.kind, row.kind),
        answer=row.verdict or "This report has no verdict.",
        as_of=row.created_at,
        blocks=[*_frame(row, filters.query.get("document", ""), names), *blocks, _documents(row, names)],
    )


def _frame(row: Row[Any], name: str, names: Collection[str]) -> list[PageBlock]:
    if not name:
        return []
    if name not in names:
        raise TastemakerError(f"this report has no document {name[:100]!r}", fix=f"open {PATH}/{row.id}")
    return [Frame(f"{PATH}/{row.id}/documents/{name}", title_of(name))]


def title_of(name: str) -> str:
    """Return the title of a document by the name of its file.

    >>> title_of("users-evidently.html"), title_of("report.html")
    ('users, by Evidently', 'The whole report')
    """
    return (
        "The whole report"
        if name == OWN_PAGE
        else name.removesuffix(".html").replace("-evidently", ", by Evidently")
    )


def _documents(row: Row[Any], names: Collection[str]) -> PageBlock:
    links = [TableCell(title_of(name), link=f"{PATH}/{row.id}?document={name}") for name in names]
    if not links:
        return Notes([f"The documents of this report are not on this machine: {row.path}"], title="Documents")
    return Notes([NO_VERDICT], links, title="Documents")


PAGE = DashboardPage(
    path=f"{PATH}/{{number:int}}",
    title="Report",
    question="What did this report find?",
    load=_load,
    in_navigation=False,
)
