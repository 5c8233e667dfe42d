"""Requests: a search of the request log."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from tastemaker.dashboard.access.audit import record_search
from tastemaker.dashboard.content import (
    ActionForm,
    DataTable,
    FormField,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import utc
from tastemaker.log_search.fields import FIELDS, Field, NumberField, TextField
from tastemaker.log_search.search import parser_for, search

PATH = "/requests"
LIMIT = 100
LONGEST_QUERY = 1_000
ITEMS_SHOWN = 3


def _load(reader: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
    """Return the form, and the newest requests that match its query; the search is audited."""
    text = filters.query.get("q", "").strip()
    query = FormField("q", "Query", "search", text, hint="such as stage!=model since:2h; fields are below")
    form = ActionForm(PATH, "Search", [query], method="get")
    if not text:
        said = f"Enter a query: the newest {LIMIT} requests that match are shown. Your search is recorded."
        return PageContent(said, None, [form, _fields()])
    try:
        found = find(reader, text, viewer)
    except TastemakerError as error:
        return PageContent(f"{error.problem}. {error.fix or ''}", None, [form, _fields()])
    return PageContent(_answer(len(found)), reader.now, [form, _results(found), _fields()])


def find(reader: DashboardReader, text: str, viewer: Viewer) -> list[Record]:
    """Return the newest requests that match a query. None is returned that the audit does not have.

    Args:
        reader: Reads the log, and writes the audit.
        text: The query as it was entered.
        viewer: Who searches, for the audit.

    Raises:
        TastemakerError: The query is wrong, or the log can't be read.
    """
    if len(text) > LONGEST_QUERY:
        raise TastemakerError(
            f"the query has {len(text):,} characters, at most {LONGEST_QUERY:,} are allowed",
            fix="search for less at once",
        )
    parser = parser_for(reader.settings)
    found = search(parser.parse(text), reader.settings, LIMIT)
    record_search(reader.engine, viewer, parser.as_stored(text), len(found))
    return found


def _answer(n: int) -> str:
    if not n:
        return "No logged request matches."
    if n == LIMIT:
        return f"At least {n} requests match: the newest {n} are shown."
    return "One request matches." if n == 1 else f"{n} requests match."


def _results(found: Sequence[Record]) -> DataTable:
    return DataTable(
        "requests",
        "Requests",
        [
            TableColumn("at", "When", "time"),
            TableColumn("request", "Request"),
            TableColumn("user", "User"),
            TableColumn("version", "Version"),
            TableColumn("stage", "Chosen by"),
            TableColumn("shown", "Items shown"),
            TableColumn("n_items", "Items", "number"),
            TableColumn("k", "Asked for", "number"),
            TableColumn("ms", "Duration", "number", "ms"),
        ],
        [
            [
                TableCell(utc(one.occurred_at), small=one.kind),
                TableCell(one.request_id, link=f"{PATH}/{quote(one.request_id, safe='')}"),
                one.user_id,
                TableCell(one.version, small=one.model),
                TableCell(one.stage, small=one.fallback or ""),
                _first(one),
                len(one.items),
                one.k,
                one.latency_ms,
            ]
            for one in found
        ],
        empty="No logged request matches.",
    )


def _first(record: Record) -> str:
    first = ", ".join(item.item_id for item in record.items[:ITEMS_SHOWN])
    more = len(record.items) - ITEMS_SHOWN
    return f"{first} and {more} more" if more > 0 else first or "none"


def _fields() -> DataTable:
    return DataTable(
        "fields",
        "What can be searched",
        [
            TableColumn("field", "Field"),
            TableColumn("meaning", "Meaning", "sentence"),
            TableColumn("example", "Example"),
            TableColumn("values", "Values", "sentence"),
        ],
        [[name, one.meaning, _example(name, one), _values(one)] for name, one in FIELDS.items()],
        note="All conditions must hold. A text without a field is looked for in the request's context, with "
        'quotation marks if it has blanks: "home page". != excludes, and a * at the end of a text searches '
        "its beginning.",
    )


def _example(name: str, field: Field) -> str:
    if isinstance(field, NumberField):
        return f"{name}>100"
    if isinstance(field, TextField):
        return f"{name}:{field.allowed[0] if field.allowed else 'abc'}"
    return f"{name}:2h"


def _values(field: Field) -> str:
    if isinstance(field, NumberField):
        return "a number, or another of these fields: items<k"
    if isinstance(field, TextField):
        return ", ".join(field.allowed) or "a text"
    return "2026-03-01, 2026-03-01T12:30 (UTC), or 15m, 2h, 7d ago"


PAGE = DashboardPage(
    path=PATH,
    title="Requests",
    question="What was asked, and what was answered?",
    load=_load,
    needs_user_ids=True,
    keeps=False,
)
