"""Features of some users as of a cutoff, computed again from the events, without a snapshot."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tastemaker.features.names import USER_FEATURES
from tastemaker.features.users import user_features

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tastemaker.data.lake import Lake

UserValues = dict[str, dict[str, float | None]]
"""User id -> feature -> value, a float32; None for a missing one."""

COLUMNS = ", ".join(USER_FEATURES)
COUNTED = """
    SELECT user_id, count(*) FROM events SEMI JOIN asked_users USING (user_id)
    WHERE occurred_at < ? GROUP BY user_id
"""


@dataclass(frozen=True)
class FeaturesAsOf:
    """Features of some users as of a cutoff, and the sizes of the data that they were made from."""

    values: UserValues
    """Only of users who were known by then."""
    event_counts: dict[str, int]
    """User id -> events before the cutoff."""
    events: int
    """All events before the cutoff."""
    users: int
    """All users who were known by then."""


def recompute(lake: Lake, cutoff: int, user_ids: Collection[str]) -> FeaturesAsOf:
    """Compute the features of users from the lake's events before a cutoff, by today's definitions.

    Args:
        lake: Where the events, users and items are.
        cutoff: Seconds since 1970 UTC.
        user_ids: The users.

    Returns:
        The features of those who were known by then, with the numbers of events of each and of all.
    """
    import ibis

    at = datetime.fromtimestamp(cutoff, UTC)
    with lake.connect() as connection:
        _ask(connection, user_ids)
        backend = ibis.duckdb.from_connection(connection)
        events, users, items = (backend.table(name) for name in ("events", "users", "items"))
        computed = backend.compile(user_features(events, users, items, cutoff))
        connection.execute(f"CREATE TEMP TABLE computed AS {computed}")
        [(known,)] = connection.execute("SELECT count(*) FROM computed").fetchall()
        [(happened,)] = connection.execute(
            "SELECT count(*) FROM events WHERE occurred_at < ?", [at]
        ).fetchall()
        counts = {user_id: int(count) for user_id, count in connection.execute(COUNTED, [at]).fetchall()}
        return FeaturesAsOf(_values(connection, "computed"), counts, happened, known)


def stored(lake: Lake, snapshot: Path, user_ids: Collection[str]) -> FeaturesAsOf:
    """Return the features of users in a snapshot.

    Args:
        lake: Gives the connection.
        snapshot: The snapshot's file.
        user_ids: The users.
    """
    from tastemaker.data.lake_files import literal

    with lake.connect() as connection:
        _ask(connection, user_ids)
        connection.read_parquet(literal(snapshot)).create_view("snapshot")
        [(known, happened)] = connection.execute(
            "SELECT count(*), coalesce(sum(user_events_count::DOUBLE), 0) FROM snapshot"
        ).fetchall()
        values = _values(connection, "snapshot")
    counts = {user_id: int(found["user_events_count"] or 0) for user_id, found in values.items()}
    return FeaturesAsOf(values, counts, int(happened), known)


def _ask(connection: DuckDBPyConnection, user_ids: Collection[str]) -> None:
    import pyarrow as pa

    connection.register("asked_users", pa.table({"user_id": pa.array(sorted(set(user_ids)), pa.string())}))


def _values(connection: DuckDBPyConnection, table: str) -> UserValues:
    rows = connection.execute(
        f"SELECT user_id, {COLUMNS} FROM {table} SEMI JOIN asked_users USING (user_id)"  # noqa: S608
    ).fetchall()
    return {row[0]: dict(zip(USER_FEATURES, row[1:], strict=True)) for row in rows}
