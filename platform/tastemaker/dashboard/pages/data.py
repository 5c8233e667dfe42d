"""Data: is it complete, new and sound, and did the jobs run?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from tastemaker.dashboard import stored_reports
from tastemaker.dashboard.content import DataTable, Figures, Notes, PageContent, TableCell, TableColumn
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day as written_day
from tastemaker.dashboard.formats import number
from tastemaker.dashboard.freshness import JOB_DAYS, JobState, freshness, jobs
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.paging import page_links, shown_rows
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.storage.distinct_values import any_value, newest_ids
from tastemaker.storage.tables import dependency_changes, gate_results, ingested_days, queue_lengths

PATH = "/data"
MOST_CHANGES = 100


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return freshness, gate results, quarantine, days, jobs, and changes of what data depends on."""
    gate, days, states = _gate(reader), _days(reader, filters), jobs(reader)
    fresh = freshness(reader, gate, states)
    return PageContent(
        answer=" ".join(fresh.problems) or _well(days, filters),
        as_of=reader.now,
        blocks=[
            Figures(fresh.figures),
            _gate_table(gate),
            _quality(reader),
            _quarantine_table(days, filters),
            _days_table(shown_rows(days, filters), filters),
            *page_links(PATH, filters, len(days)),
            _jobs_table(states),
            _waiting(reader),
            _changes_table(reader, filters),
        ],
    )


def _gate(reader: DashboardReader) -> Sequence[Row[Any]]:
    newest = newest_ids(gate_results.c.id, gate_results.c.source)
    return reader.rows(
        select(gate_results).where(gate_results.c.id.in_(newest)).order_by(gate_results.c.source)
    )


def _days(reader: DashboardReader, filters: PageFilters) -> Sequence[Row[Any]]:
    c, first = ingested_days.c, reader.now.date() - timedelta(days=filters.period)
    lately = select(ingested_days).where(any_value(c.source), c.day >= first)
    return reader.rows(lately.order_by(c.day.desc(), c.source))


def _well(days: Sequence[Row[Any]], filters: PageFilters) -> str:
    if not days:
        return f"No day of the last {filters.period} days was ingested: run tastemaker run."
    read, refused = (
        sum(row.rows_read for row in days),
        sum(sum(row.rows_quarantined.values()) for row in days),
    )
    share = number(_share(refused, read), "share")
    return (
        f"All is well: the newest day is {written_day(days[0].day)}, and {share} of the rows of the last "
        f"{filters.period} days are in quarantine."
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _gate_table(gate: Sequence[Row[Any]]) -> DataTable:
    return DataTable(
        "gate",
        "Newest batch of each source",
        [
            TableColumn("source", "Source"),
            TableColumn("result", "Result"),
            TableColumn("rows", "Rows", "number"),
            TableColumn("quarantined", "In quarantine", "number"),
            TableColumn("checked_at", "Checked", "time"),
        ],
        [
            [
                row.source,
                TableCell("accepted" if row.passed else "refused", small=row.reason),
                row.rows_read,
                sum(row.rows_quarantined.values()),
                row.checked_at,
            ]
            for row in gate
        ],
        note="A batch that is refused as a whole leaves the tables as they were.",
        empty="No batch was checked yet.",
    )


def _quality(reader: DashboardReader) -> Notes:
    newest = stored_reports.newest(reader, "data_quality", PageFilters())
    title = "Quality of the newest days"
    if newest is None:
        return Notes(["No report yet: the asset data_quality_report makes one each night."], title=title)
    links = [
        TableCell("The report, with distributions", link=f"{stored_reports.PATH}/{newest.id}"),
        TableCell("All reports on data quality", link=f"{stored_reports.PATH}?kind=data_quality"),
    ]
    return Notes([newest.verdict], links, title=title)


def _quarantine_table(days: Sequence[Row[Any]], filters: PageFilters) -> DataTable:
    read: Counter[str] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    for row in days:
        read[row.source] += row.rows_read
        refused.update({(row.source, reason): n for reason, n in row.rows_quarantined.items()})
    return DataTable(
        "quarantine",
        "Rows in quarantine, by reason",
        [
            TableColumn("source", "Source"),
            TableColumn("reason", "Reason"),
            TableColumn("rows", "Rows", "number"),
            TableColumn("share", "Share of the source's rows", "share"),
        ],
        [
            [source, reason, n, _share(n, read[source])]
            for (source, reason), n in sorted(refused.items(), key=lambda one: (-one[1], one[0]))
        ],
        note=f"The last {filters.period} days. A row is counted under the first rule that it failed; the "
        "rows are in the table quarantine of the lake.",
        empty="No row of these days is in quarantine.",
    )


def _days_table(days: Sequence[Row[Any]], filters: PageFilters) -> DataTable:
    return DataTable(
        "days",
        "Ingested days",
        [
            TableColumn("day", "Day", "day"),
            TableColumn("source", "Source"),
            TableColumn("rows", "Rows", "number"),
            TableColumn("accepted", "Accepted", "number"),
            TableColumn("quarantined", "In quarantine", "share"),
            TableColumn("ingested_at", "Ingested", "time"),
        ],
        [
            [
                row.day,
                row.source,
                row.rows_read,
                row.rows_accepted,
                _share(sum(row.rows_quarantined.values()), row.rows_read),
                row.ingested_at,
            ]
            for row in days
        ],
        empty=f"No day of the last {filters.period} days was ingested.",
    )


def _jobs_table(states: Sequence[JobState]) -> DataTable:
    return DataTable(
        "jobs",
        "Jobs",
        [
            TableColumn("job", "Job"),
            TableColumn("last_run", "Last run"),
            TableColumn("ended_at", "Ended", "time"),
            TableColumn("succeeded_at", "Last success", "time"),
            TableColumn("runs", "Runs", "number"),
            TableColumn("failed", "Failed", "number"),
        ],
        [
            [
                one.name,
                "failed" if one.has_failed else "succeeded",
                one.ended_at,
                one.succeeded_at,
                one.runs,
                one.failed,
            ]
            for one in states
        ],
        note=f"Runs and failures are of the last {JOB_DAYS} days.",
        empty="No run of a job has ended, as far as the sensor ended_runs has seen.",
    )


def _waiting(reader: DashboardReader) -> Notes:
    rows = reader.rows(select(queue_lengths).order_by(queue_lengths.c.queue))
    return Notes(
        items=[
            TableCell(
                f"{row.length:,} wait in the queue {row.queue}", small=f"{row.observed_at:%Y-%m-%d %H:%M} UTC"
            )
            for row in rows
        ]
    )


def _changes_table(reader: DashboardReader, filters: PageFilters) -> DataTable:
    c = dependency_changes.c
    since = reader.now - timedelta(days=filters.period)
    statement = select(dependency_changes).where(c.observed_at > since).order_by(c.id.desc())
    rows = [row for row in reader.rows(statement.limit(MOST_CHANGES)) if row.changes]
    return DataTable(
        "changes",
        "Changes of what the pipeline depends on",
        [
            TableColumn("at", "Noticed", "time"),
            TableColumn("what", "What"),
            TableColumn("name", "Name"),
            TableColumn("changes", "Changes", "sentence"),
        ],
        [[row.observed_at, row.kind, row.name, "; ".join(row.changes)] for row in rows],
        empty=f"Neither a source's form nor an installed package changed in the last {filters.period} days.",
    )


PAGE = DashboardPage(
    path=PATH,
    title="Data",
    question="Is the data complete, new and sound, and did the jobs run?",
    load=_load,
    filters=("period",),
)
