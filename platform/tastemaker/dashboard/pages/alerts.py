"""Alerts: what is wrong now, and how quickly it was seen and repaired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from tastemaker.dashboard.content import (
    ActionForm,
    DataTable,
    Figure,
    Figures,
    FormField,
    PageBlock,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage, PageAction
from tastemaker.dashboard.paging import page_links, shown_rows
from tastemaker.dashboard.path_parts import row_number
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Role, Viewer
from tastemaker.notifications.message_text import rough_duration
from tastemaker.watch import records
from tastemaker.watch.interventions import end_silence
from tastemaker.watch.records import IncidentRecord, SilenceRecord

PATH = "/alerts"
DAYS = 30
WEEKS = 4
GOAL_PER_WEEK = 2
MOST_INCIDENTS = 10_000
STOPPED_SECONDS = 60.0
"""Rules that were evaluated longer ago are not watched."""


def _load(reader: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
    """Return open alerts, the figures of the last 30 days, what is over, and silences."""
    engine, now = reader.engine, reader.now
    recent = records.incidents(engine, only_open=False, days=DAYS, limit=MOST_INCIDENTS)
    still_open = sorted(
        (one for one in recent if one.closed_at is None),
        key=lambda one: (one.severity != "page", one.opened_at),
    )
    over = [one for one in recent if one.closed_at is not None]
    seconds = records.notification_seconds(engine, days=DAYS)
    silences = records.silences(engine)
    return PageContent(
        answer=" ".join(filter(None, [_watched(records.beats(engine)), _answer(still_open)])),
        as_of=now,
        blocks=[
            _incidents("open", "Open", still_open, "Nothing is open.", now),
            Figures(_figures(recent, seconds, now)),
            _incidents(
                "over",
                f"Over, last {DAYS} days",
                shown_rows(over, filters),
                "No alert ended in this time.",
                now,
            ),
            *page_links(PATH, filters, len(over)),
            _silences(silences),
            *_end_silence(silences, viewer),
        ],
    )


def _answer(still_open: Sequence[IncidentRecord]) -> str:
    if not still_open:
        return "Nothing is open."
    pages = sum(one.severity == "page" for one in still_open)
    alerts = "alert is" if len(still_open) == 1 else "alerts are"
    return f"{len(still_open)} {alerts} open, {pages} of them pages. {still_open[0].summary}"


def _watched(beats: Sequence[tuple[str, str, float, float | None]]) -> str:
    """Return that no process evaluates the rules; empty if one does."""
    ages = [evaluated for _, _, _, evaluated in beats if evaluated is not None]
    if not ages:
        return "No process watches: start tastemaker watch, else no alert is ever open."
    if min(ages) > STOPPED_SECONDS:
        return f"No process watches since {rough_duration(min(ages))}: what is wrong since then is not here."
    return ""


def _figures(recent: Sequence[IncidentRecord], seconds: Sequence[float], now: datetime) -> list[Figure]:
    pages = [one for one in recent if one.severity == "page"]
    fired = [one for one in pages if one.opened_at > now - timedelta(weeks=WEEKS)]
    taken = [
        (one.acknowledged_at - one.opened_at).total_seconds()
        for one in pages
        if one.acknowledged_at is not None
    ]
    lasted = [(one.closed_at - one.opened_at).total_seconds() for one in pages if one.closed_at is not None]
    per_week = Figure(
        "", "Pages per week", len(fired) / WEEKS, "", f"the last {WEEKS * 7} days", n=len(fired),
        counted="pages", as_of=now, comparison=f"the goal is at most {GOAL_PER_WEEK}",
    )  # fmt: skip
    return [
        per_week,
        _mean("From firing to a message", seconds, "s", "pages that were sent", now),
        _mean("From firing to acknowledged (MTTA)", taken, "min", "acknowledged pages", now),
        _mean("From firing to over (MTTR)", lasted, "min", "pages that ended", now),
    ]


def _mean(title: str, seconds: Sequence[float], unit: str, counted: str, now: datetime) -> Figure:
    scale = 60 if unit == "min" else 1
    return Figure(
        "", title, sum(seconds) / len(seconds) / scale if seconds else None, unit,
        f"mean, the last {DAYS} days", n=len(seconds), counted=counted, as_of=now,
        missing=f"there were no {counted} in this time",
    )  # fmt: skip


def _incidents(
    name: str, title: str, found: Sequence[IncidentRecord], empty: str, now: datetime
) -> DataTable:
    columns = [
        TableColumn("incident", "Incident"),
        TableColumn("fired_at", "Fired", "time"),
        TableColumn("severity", "Severity"),
        TableColumn("what", "What", "sentence"),
        TableColumn("state", "State"),
        TableColumn("lasted_minutes", "Lasted", "number", "min"),
    ]
    rows = [
        [
            TableCell(one.number, link=f"{PATH}/{one.number}"),
            one.opened_at,
            one.severity,
            one.summary,
            TableCell(one.state, small="" if one.acknowledged_by is None else f"by {one.acknowledged_by}"),
            ((one.closed_at or now) - one.opened_at).total_seconds() / 60,
        ]
        for one in found
    ]
    return DataTable(name, title, columns, rows, empty=empty)


def matched(matchers: Mapping[str, str]) -> str:
    """Return the labels of a silence, or of an alert, as text."""
    return ", ".join(f"{name}={text}" for name, text in sorted(matchers.items()))


def _silences(found: Sequence[SilenceRecord]) -> DataTable:
    return DataTable(
        "silences",
        "Silences",
        [
            TableColumn("silence", "Silence"),
            TableColumn("alerts", "Alerts"),
            TableColumn("until", "Until", "time"),
            TableColumn("by", "By"),
            TableColumn("why", "Why", "sentence"),
        ],
        [[one.number, matched(one.matchers), one.ends_at, one.created_by, one.reason] for one in found],
        note="While an alert is silenced, no person is notified of it. A silence lasts at most seven days.",
        empty="Nothing is silenced. An open alert's page has a form for it.",
    )


def _end_silence(found: Sequence[SilenceRecord], viewer: Viewer) -> list[PageBlock]:
    if not found or viewer.role < Role.EDITOR:
        return []
    numbers = FormField("silence", "Silence", "select", options=[str(one.number) for one in found])
    return [ActionForm(f"{PATH}/end_silence", "End this silence now", [numbers])]


def _act_end_silence(
    reader: DashboardReader, path: Mapping[str, str], fields: Mapping[str, str], viewer: Viewer
) -> str:
    end_silence(reader.engine, row_number(fields.get("silence", "")))
    return PATH


def requests_link(record: IncidentRecord) -> str:
    """Return the address of the search for answers of an alert's model during it; empty without a model."""
    model = record.labels.get("model")
    if not model:
        return ""
    query = f'model:"{model}" since:{record.opened_at - timedelta(minutes=15):%Y-%m-%dT%H:%M}'
    if record.closed_at is not None:
        query += f" until:{record.closed_at + timedelta(minutes=1):%Y-%m-%dT%H:%M}"
    if record.cause == "answers":
        query += " fallback:any"
    return f"/requests?q={quote(query)}"


PAGE = DashboardPage(
    path=PATH,
    title="Alerts",
    question="Is something wrong now, and how quickly is it seen and repaired?",
    load=_load,
    actions=(PageAction("end_silence", _act_end_silence),),
)
