"""Foreign models: who reports, when they did last, what was refused, and what figures they reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from tastemaker.dashboard import measured
from tastemaker.dashboard.charts.specs import MOST_SERIES, lines
from tastemaker.dashboard.content import (
    Chart,
    DataTable,
    Notes,
    PageBlock,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import number
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.report_in.status import (
    SHOWN_DAYS,
    DayCount,
    Refusal,
    ReporterStatus,
    read_counts,
    read_models,
    read_refusals,
)
from tastemaker.storage.distinct_values import distinct_keys
from tastemaker.storage.tables import OWN_SOURCE, measurements

PATH = "/foreign-models"
COUNTED_DAYS = 14
SHOWN_REFUSALS = 100
PER_PAGE = 100
SHOWN_SILENT = 3
"""Silent models that the first sentence names."""
WITH_USERS = ("impressions", "feedback")
"""Kinds of rows whose content and faults may hold user ids."""
_KEY = ("source", "model", "version", "experiment", "variant", "slice", "metric")
_BY = _KEY[::-1]
"""The order of the figures."""


def _load(reader: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
    """Return the models, their rows by day, what was refused, and their newest figures."""
    now = reader.now
    with reader.engine.connect() as connection:
        models = read_models(connection, now)
        counts = read_counts(connection, now, COUNTED_DAYS)
        refused = read_refusals(connection, SHOWN_REFUSALS)
    metric = filters.query.get("metric", "")
    blocks: list[PageBlock] = [_chart(reader, filters, metric)] if metric else []
    blocks += [
        _models(models, reader),
        _figures(reader, filters),
        _counts(counts),
        _refusals(refused, viewer),
        _how(),
    ]
    return PageContent(
        answer=_answer(models, reader),
        as_of=max((one.seen_at for one in models), default=None),
        blocks=blocks,
        models=sorted({one.model for one in models}),
    )


def _answer(models: Sequence[ReporterStatus], reader: DashboardReader) -> str:
    used = [one for one in models if one.state(reader.now) != "out of use"]
    if not used:
        return "No foreign model reports."
    silences = {one.model: silence for one in used if (silence := one.silence(reader.now)) is not None}
    all_report = f"Yes, foreign models report: {len(used):,} of {len(used):,}."
    says = [_silent(silences, len(used)) if silences else all_report]
    if unannounced := sum(not one.is_announced for one in used):
        says.append(f"Not announced: {unannounced:,}.")
    if rejected := sum(one.rejected for one in models):
        says.append(f"Rows refused in the last {SHOWN_DAYS} days: {rejected:,}.")
    return " ".join(says)


def _silent(silences: Mapping[str, timedelta], models: int) -> str:
    """Return which models are silent, the longest silence first."""
    ordered = sorted(silences.items(), key=lambda one: one[1], reverse=True)
    named = ", ".join(f"{model} for {lasting(silence)}" for model, silence in ordered[:SHOWN_SILENT])
    more = len(ordered) - SHOWN_SILENT
    also = f" and {more:,} more" if more > 0 else ""
    return f"No: {len(ordered):,} of {models:,} foreign models say nothing, {named}{also}."


def _models(models: Sequence[ReporterStatus], reader: DashboardReader) -> DataTable:
    return DataTable(
        name="models",
        title="Who reports",
        columns=[
            TableColumn("model", "Model"),
            TableColumn("state", "State"),
            TableColumn("title", "Announced as"),
            TableColumn("source", "Source"),
            TableColumn("seen_at", "Last seen", "time"),
            TableColumn("health_at", "Last health", "time"),
            TableColumn("answers", "Lists", "number"),
            TableColumn("bad_share", "Bad lists", "share"),
            TableColumn("p99_seconds", "99 % faster than", "number", "s"),
            TableColumn("accepted", "Rows", "number"),
            TableColumn("rejected", "Refused", "number"),
            TableColumn("runbook", "Runbook"),
        ],
        rows=[_model_row(one, reader) for one in models],
        note="A model is silent without a report for a day, or, if it reports its health, for five minutes. "
        "After 28 days it is out of use. Lists are those of its health reports, rows those of a week.",
        empty="No foreign model has reported anything yet.",
    )


def _model_row(one: ReporterStatus, reader: DashboardReader) -> list[Any]:
    return [
        one.model,
        one.state(reader.now),
        TableCell(one.title, small=one.owner) if one.title else TableCell("unannounced", look="too_little"),
        one.source,
        TableCell(one.seen_at, small=f"{lasting(reader.now - one.seen_at)} ago"),
        one.health_at,
        one.answers if one.health_at else None,
        one.bad / one.answers if one.answers else None,
        one.p99_seconds,
        one.accepted,
        one.rejected,
        one.runbook or one.url or None,
    ]


def _counts(counts: Sequence[DayCount]) -> DataTable:
    return DataTable(
        name="rows",
        title="Rows by day",
        columns=[
            TableColumn("day", "Day (UTC)", "day"),
            TableColumn("source", "Source"),
            TableColumn("model", "Model"),
            TableColumn("kind", "Kind"),
            TableColumn("accepted", "Accepted", "number"),
            TableColumn("rejected", "Refused", "number"),
        ],
        rows=[[one.day, one.source, one.model or None, one.kind, *one[-2:]] for one in counts],
        note=f"The last {COUNTED_DAYS} days. Feedback belongs to lists and names no model.",
        empty="No rows came in the last days.",
    )


def _refusals(refused: Sequence[Refusal], viewer: Viewer) -> DataTable:
    return DataTable(
        name="refused",
        title="Refused rows",
        columns=[
            TableColumn("rejected_at", "When", "time"),
            TableColumn("source", "Source"),
            TableColumn("kind", "Kind"),
            TableColumn("origin", "Came by"),
            TableColumn("number", "Row", "number"),
            TableColumn("field", "Field"),
            TableColumn("reason", "Reason"),
            TableColumn("content", "Row as it came"),
        ],
        rows=[_refusal_row(one, viewer) for one in refused],
        note=f"The newest {SHOWN_REFUSALS}; they are kept for 30 days. A reporter is sent the same reasons.",
        empty="No row was refused.",
    )


def _refusal_row(one: Refusal, viewer: Viewer) -> list[Any]:
    may_see = viewer.may_see_users or one.kind not in WITH_USERS
    hidden = TableCell("needs the right to see user ids", look="too_little")
    reason, content = (one.reason, one.content) if may_see else (hidden, hidden)
    return [one.rejected_at, one.source, one.kind, one.origin, one.number, one.field, reason, content]


def _figures(reader: DashboardReader, filters: PageFilters) -> DataTable:
    start = (filters.page - 1) * PER_PAGE
    rows = _newest(reader, filters, start)
    return DataTable(
        name="figures",
        title="Newest figures that were reported",
        columns=[
            TableColumn("metric", "Metric"),
            TableColumn("model", "Model"),
            TableColumn("version", "Version"),
            TableColumn("slice", "Slice"),
            TableColumn("figure", "Figure"),
            TableColumn("value", "Value", "number"),
            TableColumn("unit", "Unit"),
            TableColumn("n", "Users", "number"),
            TableColumn("window", "Window"),
            TableColumn("computed_at", "Reported", "time"),
        ],
        rows=[_figure_row(reader, filters, row) for row in rows],
        note=f"Page {filters.page:,}, {PER_PAGE} figures per page. A metric's name leads to its chart. Names "
        "that begin with x_ are defined by their reporter: they are drawn, and never compared or added up.",
        empty="No figure was reported.",
    )


def _figure_row(reader: DashboardReader, filters: PageFilters, row: Row[Any]) -> list[Any]:
    link = filters.address(PATH, metric=row.metric, model=row.model, page=1)
    return [
        TableCell(row.metric, link=link), row.model, row.version or None, row.slice or None,
        measured.in_words(row), row.value, row.unit, row.n, measured.window(reader, row), row.computed_at,
    ]  # fmt: skip


def _newest(reader: DashboardReader, filters: PageFilters, start: int) -> Sequence[Row[Any]]:
    """Return the newest figure of each metric, model and slice of other sources, a page of them."""
    columns = measurements.c
    names = ("problem", *_KEY[1:])  # as in the primary key
    keys = set[tuple[str, ...]]()
    for source in measured.sources(reader):
        if source != OWN_SOURCE:
            its = distinct_keys([columns[name] for name in names], columns.source == source)
            keys |= {(*reversed(key), source) for _, *key in reader.rows(select(its)) if key[-1] is not None}
    if filters.model:
        keys = {key for key in keys if key[_BY.index("model")] == filters.model}
    newest = select(measurements).order_by(columns.window_end.desc(), columns.window_start.desc()).limit(1)
    # One read per figure follows the index: a rank among all windows would read every one of them.
    return [
        row
        for key in sorted(keys)[start : start + PER_PAGE]
        for row in reader.rows(newest.where(*(columns[name] == key[n] for n, name in enumerate(_BY))))
    ]


def _chart(reader: DashboardReader, filters: PageFilters, metric: str) -> PageBlock:
    """Return a metric's figures over time, of the versions that were reported last."""
    columns = measurements.c
    mine = select(measurements).where(columns.source != OWN_SOURCE, columns.metric == metric[:100])
    for name in ("model", "slice", "experiment", "variant"):
        wanted = getattr(filters, name)
        if wanted or name != "model":
            mine = mine.where(columns[name] == wanted)
    mine = mine.where(columns.window_end > reader.now - timedelta(days=filters.period))
    rows = reader.rows(mine.order_by(columns.window_start))
    if not rows:
        return Notes([f"No figure {metric[:100]!r} was reported in the last {filters.period} days."])
    names = list(dict.fromkeys(f"{row.model} {row.version}".strip() for row in reversed(rows)))[:MOST_SERIES]
    unit = rows[-1].unit
    data = [
        [measured.day_of(reader, row), name, row.value, row.low, row.high]
        for row in rows
        if (name := f"{row.model} {row.version}".strip()) in names and row.unit == unit
    ]
    ends = [TableColumn(end, end.title(), "number", unit) for end in ("value", "low", "high")]
    columns_shown = [TableColumn("day", "Day", "day"), TableColumn("version", "Version"), *ends]
    return Chart(
        title=metric,
        label=f"{metric} by start of the window and version, in {unit}, as it was reported; newest figure "
        f"{number(rows[-1].value, unit)}.",
        spec=lines("day", "value", unit=unit, series="version", low="low", high="high"),
        table=DataTable("metric", metric, columns_shown, data),
    )


def _how() -> Notes:
    return Notes(
        [
            "A foreign model is one that this platform does not serve. It reports figures, its health, or "
            "lists with feedback; with these, it is on all other pages, too."
        ],
        title="What am I looking at?",
    )


def lasting(duration: timedelta) -> str:
    """Return a duration in words.

    >>> lasting(timedelta(minutes=90)), lasting(timedelta(seconds=5)), lasting(timedelta(days=3))
    ('1 hour', 'less than a minute', '3 days')
    """
    seconds = int(duration.total_seconds())
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{seconds // size:,} {name}{'' if seconds // size == 1 else 's'}"
    return "less than a minute"


PAGE = DashboardPage(
    path=PATH,
    title="Foreign models",
    question="Do all models report?",
    load=_load,
    filters=("model", "period"),
)
