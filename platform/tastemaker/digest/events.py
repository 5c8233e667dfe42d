"""What happened in a week: alerts, data trouble, and changes of versions and of what they depend on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, Row, Select, select

from tastemaker.digest.document import DigestSection, DigestText
from tastemaker.digest.week import ShopWeek
from tastemaker.notifications.message_text import one_line, rough_duration, shortened
from tastemaker.storage.tables import (
    alert_incidents,
    dependency_changes,
    gate_results,
    job_runs,
    promotions,
    versions,
)

LISTED = 12
"""The most lines of a section."""
TEXT_CHARACTERS = 300
ACTIONS = {"promote": "was promoted", "rollback": "became the champion again, by a rollback"}


class WeekEvents(NamedTuple):
    """A section, and what of it a person should look at."""

    section: DigestSection
    attention: tuple[str, ...]


def alerts(engine: Engine, week: ShopWeek) -> WeekEvents:
    """Return the incidents that began in a week, those that are still open for attention.

    Args:
        engine: The metadata database.
        week: The week in which they began, in the shop's time zone.
    """
    rows = _rows(engine, _within(select(alert_incidents), alert_incidents.c.opened_at, week))
    if not rows:
        return WeekEvents(DigestSection("Alerts", [DigestText("No alert fired.")]), ())
    kinds = Counter(row.severity for row in rows)
    parts = [_counted(kinds[name], name) for name in ("page", "ticket") if kinds[name]]
    still = [row for row in rows if row.closed_at is None]
    is_open = f"{_counted(len(still), 'is', 'are')} still open" if still else "none is open any more"
    lines = [f"{_counted(len(rows), 'alert')} fired: {', '.join(parts)}; {is_open}."]
    lines += [_incident(row, week) for row in rows]
    attention = tuple(f"Alert {row.rule} is still open: {_short(row.summary)}" for row in still)
    return WeekEvents(_section("Alerts", lines), attention)


def data_trouble(engine: Engine, week: ShopWeek) -> WeekEvents:
    """Return refused batches, quarantined rows and failed runs of a week; the first and last for attention.

    Args:
        engine: The metadata database.
        week: The week in which a batch was checked or a run ended, in the shop's time zone.
    """
    checks = _rows(engine, _within(select(gate_results), gate_results.c.checked_at, week))
    runs = _rows(engine, _within(select(job_runs), job_runs.c.ended_at, week))
    refused = Counter(row.source for row in checks if not row.passed)
    failed = Counter(row.job_name for row in runs if not row.succeeded)
    quarantined = sum(sum(row.rows_quarantined.values()) for row in checks)
    lines = [
        f"{_short(name)}: {_counted(count, 'batch', 'batches')} refused." for name, count in refused.items()
    ]
    lines += [f"The job {_short(name)} failed {_counted(count, 'time')}." for name, count in failed.items()]
    if quarantined:
        lines.append(f"{_counted(quarantined, 'row')} went to quarantine.")
    attention = tuple(lines[: len(refused) + len(failed)])
    if not runs:
        lines.append("No run of a job ended.")
    return WeekEvents(_section("Data and jobs", lines or ["No trouble."]), attention)


def changes(engine: Engine, problem: str, week: ShopWeek) -> WeekEvents:
    """Return what changed in a week.

    Args:
        engine: The metadata database.
        problem: The problem whose versions and promotions are listed; dependencies belong to all.
        week: The week of the changes, in the shop's time zone.
    """
    own = select(versions).where(versions.c.problem == problem)
    made = _rows(engine, _within(own, versions.c.created_at, week))
    promoted = _rows(
        engine,
        _within(
            select(promotions, versions.c.model)
            .join(versions, versions.c.id == promotions.c.version_id)
            .where(promotions.c.problem == problem),
            promotions.c.at,
            week,
        ),
    )
    changed = _rows(engine, _within(select(dependency_changes), dependency_changes.c.observed_at, week))
    lines = [_promotion(row, week) for row in promoted if row.action in ACTIONS]
    if made:
        by_model = ", ".join(
            f"{_short(name)} {count}" for name, count in Counter(row.model for row in made).items()
        )
        lines.append(f"{_counted(len(made), 'version')} trained: {by_model}.")
    lines += [
        f"{_time(row.observed_at, week)}: {_short(row.kind)} {_short(row.name)} changed: "
        f"{_short(', '.join(map(str, row.changes)))}"
        for row in changed
        if row.changes
    ]
    return WeekEvents(_section("What changed", lines or ["Nothing changed."]), ())


def _within(query: Select[Any], column: Any, week: ShopWeek) -> Select[Any]:
    return query.where(column >= week.start, column < week.end).order_by(column)


def _rows(engine: Engine, query: Select[Any]) -> Sequence[Row[Any]]:
    with engine.connect() as connection:
        return connection.execute(query).all()


def _section(title: str, lines: Sequence[str]) -> DigestSection:
    """Return a section of the first lines, which says how many more there are."""
    shown = [DigestText(line) for line in lines[:LISTED]]
    if (left := len(lines) - LISTED) > 0:
        shown.append(DigestText(f"{left} more are not listed.", is_grey=True))
    return DigestSection(title, shown)


def _incident(row: Row[Any], week: ShopWeek) -> str:
    model = row.labels.get("model")
    about = f" ({_short(str(model))})" if model else ""
    lasted = (
        "still open"
        if row.closed_at is None
        else f"lasted {rough_duration((row.closed_at - row.opened_at).total_seconds())}"
    )
    return f"{_time(row.opened_at, week)}, {lasted}: {row.rule}{about}: {_short(row.summary)}"


def _promotion(row: Row[Any], week: ShopWeek) -> str:
    forced = " without passing its test" if row.forced else ""
    reason = f": {_short(row.reason)}" if row.reason else ""
    return (
        f"{_time(row.at, week)}: {_short(row.model)} {row.version_id} {ACTIONS[row.action]}{forced}{reason}"
    )


def _time(at: datetime, week: ShopWeek) -> str:
    return f"{at.astimezone(week.timezone):%a %-d %b %H:%M}"


def _short(text: str) -> str:
    return shortened(one_line(text), TEXT_CHARACTERS)


def _counted(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"
