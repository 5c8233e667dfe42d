"""Landing of what callers reported, as a source lands its rows: for validation and the next training.

    landed_events/day=…/feedback.parquet     reported events, without those that a source has, too
    landed_items/told.parquet                items that no source has, as last reported; users likewise
    item_history/part.parquet                the same items, one row per report

All files are computed from the whole log and from what sources landed, so that the order of the two does not
matter. The file of a day whose rows are unchanged is not written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

import duckdb
import pyarrow as pa

from tastemaker.data.lake import Lake, by_day, file_metadata, parquet_writer
from tastemaker.data.lake_files import day_of, literal
from tastemaker.data.tables import (
    EVENTS,
    HISTORY,
    ITEM_CHANGES,
    ITEMS,
    USERS,
    completed,
    nullable,
)
from tastemaker.event_log.drain import read_feedback, read_log
from tastemaker.event_log.records import IMPRESSION
from tastemaker.settings import SourceSettings
from tastemaker.snapshot.canonical_ids import canonical_sql
from tastemaker.util.file_lock import file_lock

FEEDBACK_SOURCE = "feedback"
CALLERS_PART = "told"
"""The part's name on disk."""

_EVENTS = """
    SELECT event_id, coalesce(canonical_id(reported.user_id), canonical_id(logged.user_id)) AS user_id,
        canonical_id(item_id) AS item_id, event_type, value,
        least(reported.occurred_at, received_at) AS occurred_at, request_id, position
    FROM reported LEFT JOIN logged USING (request_id)
    WHERE event_type <> $impression
        AND coalesce(canonical_id(reported.user_id), canonical_id(logged.user_id), '') <> ''
        AND least(reported.occurred_at, received_at)::DATE >= $first
        AND event_id NOT IN (SELECT event_id FROM landed WHERE event_id IS NOT NULL)
    ORDER BY occurred_at::DATE, event_id
"""
_ITEMS = """
    SELECT item_id, arg_max_null(title, received_at) AS title,
        arg_max_null(category, received_at) AS category,
        arg_max_null(price, received_at) AS price, min(received_at) AS first_seen_at
    FROM (SELECT * REPLACE (canonical_id(item_id) AS item_id) FROM changes)
    ANTI JOIN landed USING (item_id) GROUP BY item_id ORDER BY item_id
"""
_HISTORY = """
    SELECT item_id, received_at, title, category, price, available
    FROM (SELECT * REPLACE (canonical_id(item_id) AS item_id) FROM changes)
    ANTI JOIN landed USING (item_id) ORDER BY item_id, received_at
"""
_USERS = """
    SELECT user_id, arg_max_null(country, received_at) AS country, min(received_at) AS first_seen_at
    FROM (SELECT * REPLACE (canonical_id(user_id) AS user_id) FROM changes)
    ANTI JOIN landed USING (user_id) GROUP BY user_id ORDER BY user_id
"""


class LandedFeedback(NamedTuple):
    """Number of rows that were landed, and of days that changed."""

    events: int
    days_changed: int
    items: int
    users: int


def land_feedback(
    lake: Lake, *, first_day: date = date.min, source: SourceSettings | None = None
) -> LandedFeedback:
    """Land the events, items and users that callers reported.

    Args:
        lake: Holds the log, and what sources landed.
        first_day: The first day of events that is landed.
        source: The settings by which ids take their canonical form.

    Returns:
        The number of rows landed, by table.
    """
    settings = source or SourceSettings()
    with file_lock(lake.root / ".land.lock"):
        events = _reported_events(lake, first_day, settings)
        changed = _land_events(lake, events)
        items = _land_catalogue(lake, "item_changes", "landed_items", _ITEMS, ITEMS, settings, _HISTORY)
        users = _land_catalogue(lake, "user_changes", "landed_users", _USERS, USERS, settings)
        return LandedFeedback(len(events), changed, items, users)


@contextmanager
def _connected(lake: Lake, settings: SourceSettings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to the lake, with the function `canonical_id` defined."""
    with lake.connect() as connection:
        form = canonical_sql("id", settings.ids, settings.missing_ids)
        connection.execute(f"CREATE MACRO canonical_id(id) AS {form}")
        yield connection


def _reported_events(lake: Lake, first_day: date, settings: SourceSettings) -> pa.Table:
    others = [literal(path) for path in lake.files("landed_events") if path.stem != FEEDBACK_SOURCE]
    with _connected(lake, settings) as connection:
        connection.register("logged", read_log(lake).select(["request_id", "user_id"]))
        connection.register("reported", read_feedback(lake))
        if others:
            connection.read_parquet(others, hive_partitioning=False).create_view("landed")
        else:
            connection.register("landed", EVENTS.empty_table())
        found = connection.sql(
            _EVENTS, params={"impression": IMPRESSION, "first": first_day}
        ).to_arrow_table()
    return found.cast(nullable(EVENTS))


def _land_events(lake: Lake, events: pa.Table) -> int:
    """Replace the days that changed, and return their number."""
    days = dict(by_day(events))
    changed = [_land_day(lake, day, rows) for day, rows in days.items()]
    gone = [path for path in lake.files("landed_events", part=FEEDBACK_SOURCE) if day_of(path) not in days]
    for path in gone:
        for table in ("landed_events", "events", "quarantine"):
            lake.path(table, day_of(path), part=FEEDBACK_SOURCE).unlink(missing_ok=True)
    return sum(changed) + len(gone)


def _land_day(lake: Lake, day: date, rows: pa.Table) -> bool:
    path = lake.path("landed_events", day, part=FEEDBACK_SOURCE)
    digest = hashlib.sha256(repr(rows.to_pylist()).encode()).hexdigest()
    if path.exists() and file_metadata(path).get("digest") == digest:
        return False
    with parquet_writer(path, rows.schema, {"digest": digest}) as writer:
        writer.write_table(rows)
    return True


def _land_catalogue(
    lake: Lake,
    changes: str,
    landed: str,
    query: str,
    schema: pa.Schema,
    settings: SourceSettings,
    history: str | None = None,
) -> int:
    if not lake.files(changes):
        return 0
    others = [path for path in lake.files(landed) if path.stem != CALLERS_PART]
    with _connected(lake, settings) as connection:
        connection.table(changes).create_view("changes")
        if others:
            files = list(map(literal, others))
            known = connection.read_parquet(files, union_by_name=True, hive_partitioning=False)
            known.create_view("landed")
        else:
            connection.register("landed", schema.empty_table())
        rows = completed(connection.sql(query).to_arrow_table(), schema).cast(nullable(schema))
        if history is not None:
            lake.write(HISTORY, connection.sql(history).to_arrow_table().cast(ITEM_CHANGES))
    lake.write(landed, rows, part=CALLERS_PART)
    return len(rows)
