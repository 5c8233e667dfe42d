"""Validation of items and users, and completion: each id that an event names gets a row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.data.lake import SCHEMAS, Lake
from tastemaker.data.lake_files import quoted
from tastemaker.data.tables import completed, nullable
from tastemaker.data.validation.gate import Gate, GateCounts, RowChecks

KEYS = {"items": "item_id", "users": "user_id"}

COMPLETE = """
WITH firsts AS (
    SELECT {key}, min(occurred_at) AS first_event_at FROM events GROUP BY {key}
)
SELECT
    accepted.* REPLACE (
        coalesce(
            least(first_seen_at, first_event_at), (SELECT min(first_event_at) FROM firsts), now()
        ) AS first_seen_at
    )
FROM accepted LEFT JOIN firsts USING ({key})
UNION ALL BY NAME
SELECT {key}, first_event_at AS first_seen_at FROM firsts ANTI JOIN accepted USING ({key})
ORDER BY {key}
"""


class CheckedTables(NamedTuple):
    """Validation result of the items or the users that sources landed."""

    table: str
    verdict: RowChecks
    counts: GateCounts


def check_items_and_users(lake: Lake, gate: Gate) -> list[CheckedTables]:
    """Validate the items and the users that all sources landed.

    Args:
        lake: The lake with the landed tables; nothing is written.
        gate: The rules that rows are checked by.

    Returns:
        The items' result and the users', in the order of `KEYS`.
    """
    return [_check(lake, gate, table, key) for table, key in KEYS.items()]


def write_items_and_users(lake: Lake, catalogue: CheckedTables) -> None:
    """Replace the table of items or users, and its part of the quarantine.

    `first_seen_at` becomes the time of a row's first event where that is earlier or the row has none, and the
    time of the first of all events where both are missing. An id that only events know gets a row of its own.

    Args:
        lake: The lake, whose events are published already.
        catalogue: What `check_items_and_users` returned for the table.
    """
    schema = SCHEMAS[catalogue.table]
    lake.write("quarantine", catalogue.verdict.quarantined, part=catalogue.table)
    with lake.connect() as connection:
        connection.register("accepted", catalogue.verdict.accepted)
        key = quoted(KEYS[catalogue.table])
        rows = connection.sql(COMPLETE.format(key=key)).project(", ".join(map(quoted, schema.names)))
        found = rows.to_arrow_table()
    lake.write(catalogue.table, found)


def _check(lake: Lake, gate: Gate, table: str, key: str) -> CheckedTables:
    schema = nullable(SCHEMAS[table])
    files = lake.files(f"landed_{table}")
    landed = [completed(pq.read_table(path), SCHEMAS[table]).cast(schema) for path in files]
    rows = pa.concat_tables([schema.empty_table(), *landed])
    verdict = gate.check(table, rows.append_column(f"{key}_was_seen", _was_seen(rows.column(key))))
    return CheckedTables(table, verdict, GateCounts(len(rows), len(verdict.accepted), verdict.counts))


def _was_seen(ids: pa.ChunkedArray) -> pa.Array:
    """Return whether each id is in an earlier row; missing ids are not repetitions."""
    numbers = ids.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    first = np.zeros(len(numbers), np.bool_)
    first[np.unique(numbers, return_index=True)[1]] = True
    return pa.array(~first & (numbers >= 0))
