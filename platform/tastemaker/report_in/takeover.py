"""Takeover of rows that others inserted into the tables `in_...`, each exactly once.

A batch is stored and deleted in one transaction, so that a process that is killed leaves it whole. Lists and
events are in the durable log before that; the next takeover logs them again, and an id counts once there. Of
two takeovers at once, one finds the rows gone and stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Row, Table, delete, select

from tastemaker.api.report_schemas import MAX_ROWS, ReportReceipt
from tastemaker.api.schemas import HTTPError
from tastemaker.errors import TastemakerError
from tastemaker.event_log.spool import Spool
from tastemaker.report_in.files import files_of, take_file
from tastemaker.report_in.intake import SQL, Intake
from tastemaker.report_in.row_types import as_row
from tastemaker.report_in.rows import Kind
from tastemaker.settings import Settings
from tastemaker.storage.tables import (
    in_feedback,
    in_measurements,
    in_rejected,
    in_requests,
    report_counts,
    reported_health,
)
from tastemaker.util.file_lock import file_lock

TABLES: Final[dict[Kind, Table]] = {
    "measurements": in_measurements,
    "impressions": in_requests,
    "feedback": in_feedback,
}
"""Lists come before the events that belong to them."""
BATCH_ROWS = MAX_ROWS // 2
REJECTED_DAYS, HEALTH_DAYS, COUNTED_DAYS = 30, 7, 400
"""How long refused rows, health reports and counts are kept."""


class TakenOver(NamedTuple):
    """Rows that a takeover accepted and refused, of tables and files."""

    accepted: int
    rejected: int
    files: int


class _Gone(Exception):
    """Another takeover has the rows."""


def take_over(settings: Settings, engine: Engine) -> TakenOver:
    """Take over all rows of tables and files, and delete what is too old to be kept.

    Args:
        settings: Of the home folder.
        engine: The metadata database.

    Returns:
        The number of rows that were accepted and refused, and of files that were there.

    Raises:
        TastemakerError: The log is full, or its disk fails; what was not taken over is left where it is.
    """
    accepted = rejected = 0
    try:
        with file_lock(settings.report_in / ".lock"), _open_intake(settings, engine) as intake:
            waiting = files_of(settings.report_in)
            of_tables = (_rows_of(intake, kind, table) for kind, table in TABLES.items())
            of_files = (take_file(intake, path) for path in waiting)
            for receipt in chain.from_iterable(chain(of_tables, of_files)):
                accepted, rejected = accepted + receipt.accepted, rejected + receipt.rejected
    except HTTPError as refusal:
        problem = f"reports can't be taken over: {refusal.problem.detail}"
        raise TastemakerError(problem, fix="make room in the log (tastemaker ship), then repeat it") from None
    with engine.begin() as connection:
        forget_old(connection, datetime.now(UTC))
    return TakenOver(accepted, rejected, len(waiting))


@contextmanager
def _open_intake(settings: Settings, engine: Engine) -> Iterator[Intake]:
    """Yield the intake of a home folder, with its log open."""
    log = settings.log
    with Spool(settings.spool, capacity=log.spool_records, max_bytes=log.spool_bytes) as spool:
        yield Intake(settings, engine, spool)


def forget_old(connection: Connection, now: datetime) -> None:
    """Delete refused rows, health reports and counts that are too old to be kept.

    Args:
        connection: Of the metadata database, in a transaction that the caller ends.
        now: The time from which their age is counted, UTC.
    """
    connection.execute(
        delete(in_rejected).where(in_rejected.c.rejected_at < now - timedelta(days=REJECTED_DAYS))
    )
    connection.execute(
        delete(reported_health).where(reported_health.c.received_at < now - timedelta(days=HEALTH_DAYS))
    )
    first = now.date() - timedelta(days=COUNTED_DAYS)
    connection.execute(delete(report_counts).where(report_counts.c.day < first))


def _rows_of(intake: Intake, kind: Kind, table: Table) -> Iterator[ReportReceipt]:
    """Take over the rows of a table, oldest first; yield what became of each batch."""
    while rows := _oldest(intake.engine, table):
        by_source = sorted(rows, key=lambda row: (str(row.source), row.id))
        for source, some in groupby(by_source, key=lambda row: str(row.source)):
            batch = list(some)
            numbers = [row.id for row in batch]
            content = [(row.id, as_row(_values(row))) for row in batch]
            also = partial(_delete, table=table, numbers=numbers)
            try:
                yield intake.take(kind, source, content, origin=SQL, also=also)
            except _Gone:
                continue


def _oldest(engine: Engine, table: Table) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(table.c.id).limit(BATCH_ROWS)).all())


def _values(row: Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name not in ("id", "source")}


def _delete(connection: Connection, table: Table, numbers: list[int]) -> None:
    """Delete rows. Raises _Gone, so that nothing is stored, if they are not all there."""
    gone = connection.execute(delete(table).where(table.c.id.in_(numbers)))
    if gone.rowcount != len(numbers):
        raise _Gone
