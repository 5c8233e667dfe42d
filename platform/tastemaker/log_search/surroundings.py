"""What the log has around a request: its user's feedback and other requests, and what callers changed.

Read from the spool, the log database and the lake, in that order, as in `search`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tastemaker.event_log import spool_file
from tastemaker.event_log.records import Entry, FeedbackRecord, ItemRecord, UserRecord
from tastemaker.event_log.rows import utc

if TYPE_CHECKING:
    from tastemaker.settings import Settings

NEVER = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

Kept = TypeVar("Kept", bound=Entry)


def feedback_of(
    settings: Settings, user_id: str, request_ids: Collection[str], *, until: float = NEVER
) -> list[FeedbackRecord]:
    """Return the feedback of a user, or that names one of these requests, each event as it came first.

    Args:
        settings: Name the spool, the log database and the lake.
        user_id: The user, as logged.
        request_ids: Requests, whose feedback need not name the user.
        until: Seconds since 1970 UTC; only feedback that arrived strictly before. By default all.
    """
    ids = frozenset(request_ids)

    def is_wanted(one: FeedbackRecord) -> bool:
        return one.received_at < until and (one.user_id == user_id or one.request_id in ids)

    condition = "received_at < $until AND (user_id = $user OR list_contains($ids::VARCHAR[], request_id))"
    values = {"until": utc(until), "user": user_id, "ids": sorted(ids)}
    firsts: dict[str, FeedbackRecord] = {}
    found = _all(settings, FeedbackRecord, "feedback", is_wanted, condition, values)
    for one in sorted(found, key=lambda one: (one.received_at, one.event_id)):
        firsts.setdefault(one.event_id, one)
    return list(firsts.values())


def changes_before(settings: Settings, user_id: str, until: float) -> list[ItemRecord | UserRecord]:
    """Return callers' changes of items, and of one user, from before a time, oldest first.

    Args:
        settings: As in `feedback_of`.
        user_id: The user, as logged.
        until: Seconds since 1970 UTC.
    """
    before = "received_at < $until"
    items = _all(
        settings,
        ItemRecord,
        "item_changes",
        lambda one: one.received_at < until,
        before,
        {"until": utc(until)},
    )
    users = _all(
        settings,
        UserRecord,
        "user_changes",
        lambda one: one.received_at < until and one.user_id == user_id,
        f"{before} AND user_id = $user",
        {"until": utc(until), "user": user_id},
    )
    return sorted([*items, *users], key=lambda one: one.received_at)


def _all(
    settings: Settings,
    kind: type[Kept],
    table: str,
    is_wanted: Callable[[Kept], bool],
    condition: str,
    values: dict[str, Any],
) -> Iterator[Kept]:
    """Yield records of one kind from every source; one that is on its way comes twice.

    `condition`: what `is_wanted` says, in SQL over the lake's table, with parameters `values`.
    """
    from tastemaker.data.lake import Lake
    from tastemaker.data.lake_files import open_duckdb
    from tastemaker.event_log import postgres

    with closing(spool_file.newest(settings.spool / spool_file.FILE_NAME, kind)) as stored:
        yield from [one for _, one in stored if is_wanted(one)]
    if settings.log.target == "postgres":
        url = settings.log_url
        with closing(postgres.newest(url, kind, after=postgres.pulled(url, settings.lake))) as shipped:
            yield from [one for one in shipped if is_wanted(one)]
    with open_duckdb() as connection:
        rows = Lake(settings.lake).scan(connection, table)
        if rows is not None:
            rows.create_view("kept")
            query = f"SELECT * FROM kept WHERE {condition}"  # noqa: S608 - the conditions above
            for row in connection.sql(query, params=values).to_arrow_table().to_pylist():
                yield msgspec.convert({name: _plain(value) for name, value in row.items()}, kind)


def _plain(value: object) -> object:
    """Return a time as seconds; other values unchanged."""
    return value.timestamp() if isinstance(value, datetime) else value
