"""Long tables: which rows a page shows, and links to the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tastemaker.dashboard.content import Notes, TableCell
from tastemaker.dashboard.filters import PageFilters

PER_PAGE = 100
T = TypeVar("T")


def first_row(filters: PageFilters) -> int:
    """Return the number of rows before those that are shown."""
    return (filters.page - 1) * PER_PAGE


def shown_rows(rows: Sequence[T], filters: PageFilters) -> Sequence[T]:
    """Return the rows that are shown, at most `PER_PAGE`; none past the last page.

    Args:
        rows: All rows of a table, in its order.
        filters: Which page of the table is shown.
    """
    return rows[first_row(filters) : first_row(filters) + PER_PAGE]


def page_links(path: str, filters: PageFilters, n: int) -> list[Notes]:
    """Return which rows are shown, with links to those before and after; empty if all are.

    Args:
        path: The page's path, without a query.
        filters: The filters, which the links keep.
        n: The number of rows of the whole table.
    """
    start = first_row(filters)
    if n <= PER_PAGE and not start:
        return []
    links = []
    if start:
        links.append(TableCell("Previous page", link=filters.address(path, page=filters.page - 1)))
    if start + PER_PAGE < n:
        links.append(TableCell("Next page", link=filters.address(path, page=filters.page + 1)))
    shown = f"Rows {start + 1:,} to {min(start + PER_PAGE, n):,} of {n:,}." if start < n else f"{n:,} rows."
    return [Notes([shown], links)]
