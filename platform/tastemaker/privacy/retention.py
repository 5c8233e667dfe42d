"""Retention periods of logs and events, in the lake and in the log database.

Whole days are deleted. Features and models that were computed from them are recomputed from the remaining
days by the same run, and a source that still has the days is not read for them again.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import day_folders
from tastemaker.event_log import merge, recent
from tastemaker.event_log.postgres import connect, pulled_all
from tastemaker.product.day_files import ACTIVITY, ITEM_DAYS, USER_DAYS
from tastemaker.settings import Settings
from tastemaker.util.atomic_files import remove_abandoned
from tastemaker.util.file_lock import file_lock

LOG_TABLES = ("requests", "feedback", "exposures", "shadow_answers")
EVENT_TABLES = ("events", "landed_events", "quarantine")
LOG_KINDS = ("request", "feedback", "exposure", "shadow")
"""The same records in the log database."""
PRODUCT_LOG_TABLES = (USER_DAYS, ITEM_DAYS)
PRODUCT_EVENT_TABLES = (ACTIVITY,)
"""Computed from the log and from the events, by day of the shop."""

_DELETE = "DELETE FROM log_records WHERE kind = ANY(%s) AND at < %s"


class Expired(NamedTuple):
    """Number of files and rows that were deleted."""

    log_days: int
    """Files of a day of requests, feedback, exposures or shadow answers."""
    event_days: int
    """Files of a day of events, landed or accepted."""
    log_records: int
    """Rows of the log database."""


def first_day(days: int | None, today: date | None = None) -> date:
    """Return the first day that is kept if the last `days` days are; the earliest day for None.

    Args:
        days: How many days are kept, today included; None: all.
        today: The last of them; None: the current day in UTC.

    >>> first_day(30, date(2026, 3, 31))
    datetime.date(2026, 3, 2)
    """
    return date.min if days is None else (today or datetime.now(UTC).date()) - timedelta(days=days - 1)


def expire(settings: Settings, lake: Lake, *, today: date | None = None) -> Expired:
    """Delete what is older than the settings' periods; without a period, everything is kept.

    Args:
        settings: Give the periods in days, and name the spool and the log database.
        lake: Where tables are.
        today: The last day of each period; by default the current day in UTC.

    Returns:
        What was deleted.
    """
    kept = settings.privacy
    logs, events = first_day(kept.log_days, today), first_day(kept.events_days, today)
    with ExitStack() as stack:
        stack.enter_context(file_lock(lake.root / merge.LOCK))
        if in_database := settings.log.target == "postgres" and logs > date.min:
            stack.enter_context(pulled_all(settings.log_url, lake))
        log_days = sum(_drop(lake, table, logs) for table in LOG_TABLES)
        log_records = _drop_records(settings.log_url, logs) if in_database else 0
    if logs > date.min:
        recent.expire(settings.spool, datetime.combine(logs, time.min, UTC).timestamp())
    event_days = sum(_drop(lake, table, events) for table in EVENT_TABLES)
    product = Lake(settings.product_root)
    for tables, first in ((PRODUCT_LOG_TABLES, logs), (PRODUCT_EVENT_TABLES, events)):
        for table in tables:
            _drop(product, table, first)
    return Expired(log_days, event_days, log_records)


def _drop(lake: Lake, table: str, first: date) -> int:
    """Delete the files of the days before the first that is kept, with those that a merged file replaces."""
    kept = f"day={first.isoformat()}"
    undated = f"day={date.min.isoformat()}"
    folders = [folder for folder in day_folders(lake.root, table) if undated < folder.name < kept]
    old = [path for folder in folders for path in folder.glob("*.parquet")]
    for path in old:
        path.unlink(missing_ok=True)
    for folder in folders:
        remove_abandoned(folder)
    return len(old)


def _drop_records(url: str, first: date) -> int:
    with closing(connect(url)) as connection, connection, connection.cursor() as cursor:
        midnight = datetime.combine(first, time.min, UTC)
        cursor.execute(_DELETE, (list(LOG_KINDS), midnight))
        return int(cursor.rowcount)
