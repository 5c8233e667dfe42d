"""Training events of a version and the items that it showed, described by the same columns.

    learned   one row per event of its training window that counts for its problem
    shown     one row per item of an answer that it gave

Both are described by the users' and items' features at the end of the training window, so that differences
are those of users and items, not of the time of the lookup.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import read_log

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tastemaker.registry.manifest import Manifest

NUMBERS = ("item_popularity_percent", "item_price", "user_events_count", "user_recency_days", "hour_of_day")
LABELS = ("item_category", "user_known")
MAX_ROWS = 50_000
"""Rows of either side that are compared; of more, a fixed sample is used."""

_LEARNED = """
    CREATE TEMP TABLE learned AS SELECT user_id, item_id, occurred_at FROM events
    WHERE event_type IN (SELECT unnest(?)) AND epoch(occurred_at) >= ? AND epoch(occurred_at) < ?
"""
_SHOWN = """
    CREATE TEMP TABLE shown AS
    SELECT user_id, unnest(item_ids) AS item_id, occurred_at FROM requests_of_version
"""
_KNOWN = """
    CREATE TEMP TABLE known_items AS
    SELECT item_id, 100 * percent_rank() OVER (ORDER BY count(DISTINCT user_id)) AS popularity_percent
    FROM learned GROUP BY item_id;
    CREATE TEMP TABLE known_users AS
    SELECT user_id, count(*) AS events, max(occurred_at) AS last_at FROM learned GROUP BY user_id;
"""
_DESCRIBED = """
    SELECT coalesce(known_items.popularity_percent, 0)::DOUBLE AS item_popularity_percent,
           items.price AS item_price,
           coalesce(known_users.events, 0)::DOUBLE AS user_events_count,
           (? - epoch(known_users.last_at)) / 86400 AS user_recency_days,
           hour(rows.occurred_at)::DOUBLE AS hour_of_day,
           coalesce(items.category, 'none') AS item_category,
           CASE WHEN known_users.user_id IS NULL THEN 'unknown' ELSE 'known' END AS user_known
    FROM rows LEFT JOIN known_items USING (item_id) LEFT JOIN known_users USING (user_id)
    LEFT JOIN items ON items.item_id = rows.item_id
"""


class DriftData(NamedTuple):
    """Training events and items shown of a version, and their numbers before sampling."""

    learned: pa.Table
    shown: pa.Table
    events: int
    requests: int
    impressions: int
    fallbacks: int
    """Number of requests that were answered with help of the fallback list."""
    first: datetime | None
    """The time of the first request; `last` is that of the last."""
    last: datetime | None


def most_served(lake: Lake) -> str | None:
    """Return the id of the version that answered most requests; None if no request is logged."""
    versions = read_log(lake)["version"].value_counts().to_pylist()
    return max(versions, key=lambda each: (each["counts"], each["values"]))["values"] if versions else None


def drift_data(lake: Lake, manifest: Manifest) -> DriftData:
    """Return the training events of a version and the items that it showed."""
    requests = read_log(lake)
    mine = requests.filter(pa.compute.equal(requests["version"], manifest.version))
    start, end = manifest.window.start, manifest.window.end
    types = {name for objective in manifest.problem_spec["objectives"] for name in objective["events"]}
    with lake.connect() as connection:
        connection.register("requests_of_version", mine)
        connection.execute(_LEARNED, [sorted(types), start, end])
        connection.execute(_SHOWN)
        connection.execute(_KNOWN)
        learned, events = _described(connection, "learned", end)
        shown, impressions = _described(connection, "shown", end)
    times = mine["occurred_at"].to_pylist()
    return DriftData(
        learned=learned,
        shown=shown,
        events=events,
        requests=len(mine),
        impressions=impressions,
        fallbacks=len(mine) - mine["fallback"].null_count,
        first=min(times, default=None),
        last=max(times, default=None),
    )


def _described(connection: DuckDBPyConnection, table: str, end: int) -> tuple[pa.Table, int]:
    """Return at most MAX_ROWS of a table's rows, described, and the number of all rows."""
    rows = connection.table(table)
    n = len(rows)
    sample = f" USING SAMPLE reservoir({MAX_ROWS} ROWS) REPEATABLE (0)" if n > MAX_ROWS else ""
    connection.register("rows", connection.sql(f"SELECT * FROM {table}{sample}").to_arrow_table())  # noqa: S608
    return connection.sql(_DESCRIBED, params=[end]).to_arrow_table(), n
