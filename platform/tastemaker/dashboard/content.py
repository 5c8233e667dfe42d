"""What a page consists of. Pages return these; templates turn them into HTML, CSV and charts.

All texts are plain text: the templates escape them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from tastemaker.errors import TastemakerError

ColumnKind = Literal["text", "sentence", "name", "number", "share", "time", "day"]
"""Kind of a column's cells. A `name` may be long, and is wrapped late."""
Named = TypeVar("Named", bound="DataTable | Chart")
FRESH = timedelta(days=2)
"""Twice the period of figures that are computed daily: older ones are shown as old."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Figure:
    """A number with what is needed to believe it."""

    metric: str
    """Name of its definition; the figure links to it. Empty: it has none."""
    title: str
    value: float | None
    """None: too little data; `missing` says how much is missing."""
    unit: str
    """Unit of the value, such as share, days or GBP."""
    window: str
    """The period that it covers, such as `28 days until 28 Nov 2026`."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    n: int | None = None
    """Users behind the figure."""
    counted: str = "users"
    """What `n` counts."""
    as_of: datetime | None = None
    """When it was computed."""
    missing: str = ""
    """Why there is no value, such as `12 of 30 users`."""
    comparison: str = ""
    """The figure beside an earlier one, in words, such as `as last week`."""
    link: str = ""
    """Path on this site with what is behind the figure; empty: its definition, if it has one."""
    fresh: timedelta = FRESH
    """A figure that was computed longer ago is shown as old: twice the period of its computation."""
    without_value: str = "Too little data"
    """Shown instead of a value that there is not."""


@dataclass(frozen=True)
class Figures:
    """Figures side by side."""

    figures: Sequence[Figure]
    title: str = ""


@dataclass(frozen=True)
class TableColumn:
    """A column of a table."""

    name: str
    """Name in the CSV file and in chart specs: lower case with underscores."""
    title: str
    kind: ColumnKind = "text"
    unit: str = ""


@dataclass(frozen=True)
class TableCell:
    """A cell that is more than its value."""

    value: Any
    link: str = ""
    """Path on this site."""
    small: str = ""
    """Text below the value, such as its interval."""
    look: Literal["", "too_little", "incomplete"] = ""
    """too_little: grey, the data do not suffice. incomplete: hatched, the time is not over."""
    tone: float | None = None
    """Share of the full colour of a heat table, 0 to 1."""
    unit: str = ""
    """Unit of a number, where it is another one in each row; empty: the column's."""
    anchor: str = ""
    """What a link leads to; empty: none does."""


@dataclass(frozen=True)
class DataTable:
    """A table, which is also a CSV file. Each row has one value or `TableCell` per column."""

    name: str
    """Part of the CSV file's address: lower case with underscores."""
    title: str
    columns: Sequence[TableColumn]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    """One or two sentences on how to read it."""
    empty: str = "There is nothing to show."
    """Shown instead of a table without rows."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {self.name} has {len(row)} cells, must have {len(self.columns)}")

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries by column name, times as ISO text: a chart's data."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Chart:
    """A chart and the table of its data."""

    title: str
    label: str
    """What the chart shows, as a sentence: its text alternative."""
    spec: Mapping[str, Any]
    """Vega-Lite specification without data: the data are the table's rows."""
    table: DataTable

    @property
    def name(self) -> str:
        """Part of the addresses of the chart's files: its table's name."""
        return self.table.name


@dataclass(frozen=True)
class Charts:
    """Charts side by side that share a scale: small multiples."""

    charts: Sequence[Chart]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Notes:
    """Paragraphs; with `items`, a list below."""

    paragraphs: Sequence[str] = ()
    items: Sequence[TableCell | str] = ()
    title: str = ""


@dataclass(frozen=True)
class FormField:
    """A field of a form."""

    name: str
    title: str
    kind: Literal["text", "number", "hidden", "select", "search"] = "text"
    value: str = ""
    options: Sequence[str] = ()
    hint: str = ""


@dataclass(frozen=True)
class ActionForm:
    """A form. `post` changes something and carries a CSRF token; `get` is a search."""

    action: str
    """Path that it is sent to."""
    button: str
    fields: Sequence[FormField] = ()
    method: Literal["get", "post"] = "post"
    title: str = ""


@dataclass(frozen=True)
class Frame:
    """Another library's document, shown in a sandboxed frame."""

    source: str
    """Path on this site."""
    title: str


@dataclass(frozen=True)
class DefinitionEntry:
    """What a figure means; figures link to it."""

    name: str
    """Its anchor."""
    title: str
    words: str
    facts: Mapping[str, str]
    """Further facts, such as the formula."""
    sql: str
    """The query that computes it."""


PageBlock = Figures | Chart | Charts | DataTable | Notes | ActionForm | Frame | DefinitionEntry


@dataclass(frozen=True)
class PageContent:
    """Everything that a page shows."""

    answer: str
    """The first sentence: it answers the page's question in words."""
    as_of: datetime | None
    """When the oldest of its figures was computed; None: it has none."""
    blocks: Sequence[PageBlock] = ()
    title: str = ""
    """The title, where it depends on the address; empty: the page's."""
    models: Sequence[str] = field(default=())
    """Models that the filter offers."""
    versions: Sequence[str] = field(default=())
    """Versions that the filter offers."""
    fresh: timedelta = FRESH
    """Figures that were computed longer ago are shown as old: twice the period of their computation."""

    def tables(self) -> Iterator[DataTable]:
        """Yield the tables, those of charts, too."""
        for block in self.blocks:
            if isinstance(block, DataTable):
                yield block
        for chart in self.charts():
            yield chart.table

    def charts(self) -> Iterator[Chart]:
        """Yield the charts."""
        for block in self.blocks:
            if isinstance(block, Chart):
                yield block
            elif isinstance(block, Charts):
                yield from block.charts

    def table(self, name: str) -> DataTable:
        """Return a table by name. Raises TastemakerError."""
        return _named(self.tables(), name, "table")

    def chart(self, name: str) -> Chart:
        """Return a chart by name. Raises TastemakerError."""
        return _named(self.charts(), name, "chart")


def _named(found: Iterator[Named], name: str, what: str) -> Named:
    for one in found:
        if one.name == name:
            return one
    raise TastemakerError(f"the page has no {what} named {name!r}", fix="open the page and follow its links")


def _plain(value: Any) -> Any:
    value = value.value if isinstance(value, TableCell) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a block's name: use lower case and underscores")
