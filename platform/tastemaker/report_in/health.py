"""Reported health: each report counts once, and the sums of all are what alert rules read as counters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, exists, or_, select, update

from tastemaker.api.report_schemas import HealthReport
from tastemaker.report_in.rows import AcceptedRow, utc_datetime
from tastemaker.storage.tables import reported_health, reported_models
from tastemaker.storage.upserts import insert_new


def write_health(connection: Connection, rows: Sequence[AcceptedRow[HealthReport]], now: datetime) -> None:
    """Store health reports, and add those that are new to the sums of their models.

    Args:
        connection: Of the metadata database.
        rows: The reports; their models are known.
        now: When they came.
    """
    for one in sorted(rows, key=lambda one: utc_datetime(one.row.at)):
        _write(connection, one.row, now)


def _write(connection: Connection, report: HealthReport, now: datetime) -> None:
    at, columns = utc_datetime(report.at), reported_models.c
    key = {"model": report.model, "version": report.version, "at": at}
    same = exists().where(*(reported_health.c[name] == value for name, value in key.items()))
    mine = columns.model == report.model
    # The model's row is locked first, so that of two equal reports at once the second sees the first.
    connection.execute(update(reported_models).where(mine).values(seen_at=now))
    if connection.execute(select(same)).scalar_one():
        return
    counts = {"answers": report.answers, "bad": report.bad, "empty": report.empty}
    measured = {"p99_seconds": report.p99_seconds, "received_at": now}
    insert_new(connection, reported_health, [{**key, **counts, **measured}])
    connection.execute(
        update(reported_models).where(mine).values({name: columns[name] + n for name, n in counts.items()})
    )
    newest = {"version": report.version, "p99_seconds": report.p99_seconds, "health_at": at}
    older = or_(columns.health_at.is_(None), columns.health_at <= at)
    connection.execute(update(reported_models).where(mine, older).values(**newest))
