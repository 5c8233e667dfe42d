"""The report of an incident, for its review: what fired, what was deployed, what changed in the data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Select, select

from tastemaker.notifications.message_text import rough_duration, utc_time
from tastemaker.storage.tables import (
    alert_incidents,
    alert_silences,
    dependency_changes,
    deployments,
    gate_results,
    job_runs,
    promotions,
    versions,
)
from tastemaker.watch import records
from tastemaker.watch.circumstances import Circumstances
from tastemaker.watch.explanation import search_terms
from tastemaker.watch.records import HistoryLine, IncidentRecord

if TYPE_CHECKING:
    from tastemaker.alerting.rule import Rule
    from tastemaker.event_log.records import Record
    from tastemaker.settings import Settings

BEFORE, AFTER = timedelta(hours=24), timedelta(hours=1)
"""How long before its begin and after its end things may have to do with an incident."""
MOST_LISTS = 20
ITEMS_SHOWN = 5


@dataclass(frozen=True)
class IncidentReport:
    """An incident, and what happened around it."""

    incident: IncidentRecord
    rule: Rule | None
    """None for a rule that no longer exists."""
    timeline: tuple[HistoryLine, ...]
    """The earliest first."""
    query: tuple[str, ...]
    """Terms of `tastemaker log search` that find the lists; empty if the rule is not about lists."""
    lists: tuple[Record, ...]
    """The newest lists of the incident's time."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON; times are ISO 8601 in UTC."""
        import msgspec

        return {
            "incident": self.incident.to_json(),
            "timeline": [{"at": line.at.isoformat(), "text": line.text} for line in self.timeline],
            "query": list(self.query),
            "lists": [msgspec.to_builtins(record) for record in self.lists],
        }


def incident_report(settings: Settings, engine: Engine, number: int) -> IncidentReport:
    """Collect what is known about an incident.

    Args:
        settings: Name the log, and the rules' thresholds.
        engine: The metadata database.
        number: The incident's number.

    Returns:
        The incident, the timeline from a day before its begin to an hour after its end, and its newest 20
        lists.

    Raises:
        TastemakerError: There is no such incident, or the log can't be read.
    """
    from tastemaker.alerting.rules import all_rules

    incident = records.incident(engine, number)
    rule = next((one for one in all_rules(settings) if one.name == incident.rule), None)
    begin = incident.opened_at - BEFORE
    end = (incident.closed_at or datetime.now(UTC)) + AFTER
    around = [line for line in _around(engine, number, begin, end) if begin <= line.at <= end]
    timeline = sorted([*records.history(engine, incident), *around], key=lambda line: line.at)
    query = _query(settings, incident)
    return IncidentReport(incident, rule, tuple(timeline), query, _lists(settings, query))


def markdown(report: IncidentReport) -> str:
    """Return the report as Markdown, with the headings of a review to fill in."""
    one, rule = report.incident, report.rule
    ended = "It is still open."
    if one.closed_at is not None:
        lasted = _lasted(one.opened_at, one.closed_at)
        ended = f"It ended at {utc_time(one.closed_at)}, after {lasted}: {one.ending}."
    acknowledged = "No person acknowledged it."
    if one.acknowledged_at is not None:
        after = _lasted(one.opened_at, one.acknowledged_at)
        acknowledged = f"{one.acknowledged_by} acknowledged it after {after}."
    parts = [
        f"# Incident {one.number}: {one.summary}",
        f"`{one.rule}` ({one.severity}) fired at {utc_time(one.opened_at)}. {ended} {acknowledged}",
        f"Condition: {one.condition}",
        "## Timeline\n\nTimes are in UTC.\n\n"
        + _table(("Time", "What happened"), [(utc_time(line.at), line.text) for line in report.timeline]),
    ]
    if report.query:
        command = shlex.join(["tastemaker", "log", "search", *report.query])
        listed = "No such list is in the log."
        if report.lists:
            listed = _table(
                ("Time", "Request", "User", "Version", "Fallback", "Items"),
                [_row(record) for record in report.lists],
            )
        parts.append(f"## Lists\n\n`{command}`\n\n{listed}")
    noticed = rule.runbook.users_notice if rule else ""
    parts.append(
        f"## Review\n\n### What users noticed\n\n{noticed}\n\n### Why it happened\n\n### What went well\n\n"
        "### What is changed, with owner and date\n"
    )
    return "\n\n".join(parts)


def _around(engine: Engine, number: int, begin: datetime, end: datetime) -> Iterator[HistoryLine]:
    """Yield deployments, changes of the data, runs, silences and other incidents between two times."""

    def rows(query: Select[Any], at: Any) -> Iterator[Any]:
        with engine.connect() as connection:
            yield from connection.execute(query.where(at.between(begin, end)).order_by(at)).all()

    promoted = select(promotions, versions.c.model).join(versions, versions.c.id == promotions.c.version_id)
    for row in rows(promoted, promotions.c.at):
        action = f"{row.action}, forced," if row.forced else row.action
        yield HistoryLine(row.at, f"deployment: {action} {row.model} {row.version_id}: {row.reason}")
    for row in rows(select(deployments), deployments.c.at):
        yield HistoryLine(row.at, f"deployment: deploy {row.model} {row.version_id}")
    for row in rows(select(dependency_changes), dependency_changes.c.observed_at):
        if row.changes:
            yield HistoryLine(row.observed_at, f"{row.kind} {row.name} changed: {'; '.join(row.changes)}")
    for row in rows(select(gate_results), gate_results.c.checked_at):
        if not row.passed:
            yield HistoryLine(row.checked_at, f"data: a batch of {row.source} was refused: {row.reason}")
        elif refused := sum(row.rows_quarantined.values()):
            text = f"data: {refused:,} of {row.rows_read:,} rows of {row.source} went to quarantine"
            yield HistoryLine(row.checked_at, text)
    for row in rows(select(job_runs), job_runs.c.ended_at):
        yield HistoryLine(row.ended_at, f"job: {row.job_name} {'succeeded' if row.succeeded else 'failed'}")
    for row in rows(select(alert_silences), alert_silences.c.starts_at):
        yield HistoryLine(row.starts_at, f"{row.created_by} silenced {row.matchers}: {row.reason}")
    for row in rows(select(alert_incidents), alert_incidents.c.opened_at):
        if row.id != number:
            yield HistoryLine(row.opened_at, f"incident {row.id}: {row.rule} fired: {row.summary}")


def _query(settings: Settings, incident: IncidentRecord) -> tuple[str, ...]:
    slow_seconds = settings.alerts.slow.seconds
    terms = search_terms(
        incident.rule, incident.cause, incident.labels, incident.opened_at, Circumstances(), slow_seconds
    )
    if not terms or incident.closed_at is None:
        return terms
    return (*terms, f"until:{incident.closed_at:%Y-%m-%dT%H:%M:%SZ}")


def _lists(settings: Settings, query: tuple[str, ...]) -> tuple[Record, ...]:
    if not query:
        return ()
    from tastemaker.log_search.search import parser_for, search

    return tuple(search(parser_for(settings).parse(" ".join(query)), settings, MOST_LISTS))


def _row(record: Record) -> tuple[str, ...]:
    shown = [item.item_id for item in record.items[:ITEMS_SHOWN]]
    more = len(record.items) - len(shown)
    return (
        utc_time(datetime.fromtimestamp(record.occurred_at, UTC)),
        f"`{record.request_id}`",
        f"`{record.user_id}`",
        f"{record.model} {record.version}",
        record.fallback or "none",
        ", ".join(shown) + (f" and {more} more" if more else "") if shown else "none",
    )


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table of Markdown; what would end a cell is escaped."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _lasted(begin: datetime, end: datetime) -> str:
    return rough_duration((end - begin).total_seconds())
