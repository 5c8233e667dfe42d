"""What is known of the models that report: who they are, when they reported last, and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from tastemaker.storage.tables import in_rejected, report_counts, reported_models

SILENT_AFTER = timedelta(hours=26)
"""A model that reported nothing for longer, a day and some delay, is silent."""
HEALTH_SILENT_AFTER = timedelta(minutes=5)
"""A model that reports its health, and did not for longer, is silent, too."""
OUT_OF_USE_AFTER = timedelta(days=28)
"""A model that reported nothing for longer is taken to be out of use."""
SHOWN_DAYS = 7


class ReporterStatus(NamedTuple):
    """A model that reports."""

    model: str
    source: str
    title: str
    """Empty: it is not announced."""
    owner: str
    url: str
    runbook: str
    seen_at: datetime
    """When anything of it came last, by our clock."""
    health_at: datetime | None
    """The end of the time that its newest health report is about; None: it reports none."""
    answers: int
    """Lists in all its health reports."""
    bad: int
    """Those that were not the model's."""
    p99_seconds: float | None
    accepted: int
    """Rows of the last SHOWN_DAYS days."""
    rejected: int

    @property
    def is_announced(self) -> bool:
        """Whether its reporter said who answers for it."""
        return bool(self.title)

    def silence(self, now: datetime) -> timedelta | None:
        """Return for how long expected reports are missing; None if they come, or if it is out of use."""
        lag = now - self.seen_at
        if lag > OUT_OF_USE_AFTER:
            return None
        if self.health_at is not None and now - self.health_at > HEALTH_SILENT_AFTER:
            return now - self.health_at
        return lag if lag > SILENT_AFTER else None

    def state(self, now: datetime) -> str:
        """Return whether it reports, in a word or two."""
        if now - self.seen_at > OUT_OF_USE_AFTER:
            return "out of use"
        return "reports" if self.silence(now) is None else "silent"


class Refusal(NamedTuple):
    """A row that was refused, with its reason."""

    source: str
    kind: str
    origin: str
    number: int
    field: str | None
    reason: str
    content: str
    rejected_at: datetime


class DayCount(NamedTuple):
    """Rows of a source on a day, in UTC."""

    source: str
    model: str
    kind: str
    day: str
    accepted: int
    rejected: int


def read_models(connection: Connection, now: datetime) -> Sequence[ReporterStatus]:
    """Return the models that report, by source and name.

    Args:
        connection: Of the metadata database.
        now: The end of the days whose rows are counted.
    """
    models, counts = reported_models.c, report_counts.c
    since = (now - timedelta(days=SHOWN_DAYS - 1)).date()
    sums = select(counts.model, func.sum(counts.accepted), func.sum(counts.rejected)).where(
        counts.day >= since, counts.model != ""
    )
    by_model = {name: (int(a), int(r)) for name, a, r in connection.execute(sums.group_by(counts.model))}
    rows = connection.execute(select(reported_models).order_by(models.source, models.model)).all()
    return [
        ReporterStatus(
            row.model, row.source, row.title or "", row.owner or "", row.url or "", row.runbook or "",
            row.seen_at, row.health_at, row.answers, row.bad, row.p99_seconds,
            *by_model.get(row.model, (0, 0)),
        )
        for row in rows
    ]  # fmt: skip


def read_refusals(connection: Connection, limit: int) -> Sequence[Refusal]:
    """Return the newest refused rows of all sources, newest first.

    Args:
        connection: Of the metadata database.
        limit: The most rows that are returned.
    """
    columns = [in_rejected.c[name] for name in Refusal._fields]
    rows = connection.execute(select(*columns).order_by(in_rejected.c.id.desc()).limit(limit))
    return [Refusal(*row) for row in rows]


def read_counts(connection: Connection, now: datetime, days: int) -> Sequence[DayCount]:
    """Return the rows of each source and day, newest days first.

    Args:
        connection: Of the metadata database.
        now: The current time, UTC, whose day is the last one.
        days: The number of days, today included.
    """
    columns = report_counts.c
    since = (now - timedelta(days=days - 1)).date()
    rows = connection.execute(
        select(*(columns[name] for name in DayCount._fields))
        .where(columns.day >= since)
        .order_by(columns.day.desc(), columns.source, columns.model, columns.kind)
    )
    return [DayCount(*row) for row in rows]
