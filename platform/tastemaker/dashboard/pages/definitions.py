"""Definitions: what does each figure mean? Made from the registry of metrics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import func, select

from tastemaker.dashboard.content import (
    DataTable,
    DefinitionEntry,
    Notes,
    PageBlock,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.measured import M, names_of
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.product.definition import MIN_EVENTS, MIN_USERS, MetricDefinition
from tastemaker.product.definitions import DEFINITIONS
from tastemaker.storage.tables import UtcDateTime

_BETTER = {"up": "more", "down": "less", "neither": "neither more nor less"}
_HOW_TO_READ = (
    f"A figure with fewer than {MIN_USERS} users or {MIN_EVENTS} events is not shown, because chance alone "
    "would move it. Below most figures is a 95 % interval over users: had other users of the same kind come, "
    "95 of 100 such intervals would contain the true value. Counts have none: they are what happened.",
    "Higher or lower than before is said only where the 95 % interval of the difference does not contain 0; "
    "otherwise the figures are about the same.",
)


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return an entry per metric of the platform, and the list of foreign ones."""
    foreign = [name for name in names_of(reader, "metric", filters) if name not in DEFINITIONS]
    are = "is" if len(foreign) == 1 else "are"
    more = f" {len(foreign):,} more {are} reported by foreign models." if foreign else ""
    return PageContent(
        answer=f"{len(DEFINITIONS)} figures are defined here, each with its formula and its SQL.{more}",
        as_of=None,
        blocks=[Notes(paragraphs=_HOW_TO_READ), *_entries(), _foreign(reader, foreign)],
    )


def _entries() -> Iterator[PageBlock]:
    pages = {one.page: None for one in DEFINITIONS.values()}
    for page in pages:
        yield Notes(title=page.capitalize())
        yield from (_entry(one) for one in DEFINITIONS.values() if one.page == page)


def _entry(one: MetricDefinition) -> DefinitionEntry:
    facts = {
        "Formula": one.formula,
        "Unit": "share, written in per cent" if one.unit == "share" else one.unit,
        "Better for the shop": _BETTER[one.direction],
        "Does not say": one.does_not_say,
    }
    if one.slice:
        facts["One figure per"] = one.slice.replace("_", " ")
    return DefinitionEntry(one.name, one.title, one.words, facts, one.sql)


def _foreign(reader: DashboardReader, names: list[str]) -> DataTable:
    last = func.max(M.window_end, type_=UtcDateTime)
    statement = select(M.metric, M.source, M.unit, last).where(M.metric.in_(names))
    rows = reader.rows(statement.group_by(M.metric, M.source, M.unit).order_by(M.metric)) if names else []
    return DataTable(
        name="foreign_metrics",
        title="Metrics of foreign models",
        columns=[
            TableColumn("metric", "Name"),
            TableColumn("source", "Reported by"),
            TableColumn("unit", "Unit"),
            TableColumn("last", "Newest figure until", "time"),
        ],
        rows=[
            [TableCell(name, anchor=name if place == 0 else ""), source, unit, until]
            for name, same in groupby(rows, key=lambda row: row.metric)
            for place, (_, source, unit, until) in enumerate(same)
        ],
        note="Their reporters alone know what they mean: they are drawn as reported, and never summed up.",
        empty="No model has reported a metric that is not defined above.",
    )


PAGE = DashboardPage(
    path="/definitions",
    title="Definitions",
    question="What does each figure mean?",
    load=_load,
)
