"""Reports: those of each night, by version and date."""

from __future__ import annotations

from tastemaker.dashboard import stored_reports
from tastemaker.dashboard.content import ActionForm, FormField, PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.paging import page_links
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.stored_reports import PATH, TITLES
from tastemaker.dashboard.viewer import Viewer
from tastemaker.errors import TastemakerError


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the list of reports."""
    kind = filters.query.get("kind", "")
    if kind not in ("", *TITLES):
        raise TastemakerError(f"kind is {kind[:50]!r}, must be one of {', '.join(TITLES)}", fix="choose one")
    statement = stored_reports.selected(kind, filters)
    n, rows = stored_reports.count(reader, statement), stored_reports.shown(reader, statement, filters)
    return PageContent(
        answer=f"There are {n:,} reports." if n != 1 else "There is one report.",
        as_of=None,
        blocks=[
            ActionForm(
                PATH,
                "Show",
                [
                    FormField("kind", "Kind", "select", kind, options=("", *TITLES)),
                    FormField("model", "Model", "search", filters.model),
                    FormField("version", "Version", "search", filters.version),
                ],
                method="get",
            ),
            stored_reports.listing("reports", "Reports", rows, empty="There is no such report."),
            *page_links(PATH, filters, n),
        ],
    )


PAGE = DashboardPage(
    path=PATH,
    title="Reports",
    question="Which reports are there?",
    load=_load,
    in_navigation=False,
)
