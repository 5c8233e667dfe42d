"""Whether a problem fits the data: do its events, items, categories and columns occur?

What stops every model is an error of `Dataset.load` and of the split; these are the warnings beside it, which
`tastemaker data check` gives before rows are ingested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import literal, open_duckdb
from tastemaker.data.tables import ITEMS, OWN, USERS, completed
from tastemaker.data.unknown_ids import unknown_ids
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.event_reward import event_worth
from tastemaker.snapshot.ids import IdIndex

SHOWN = 5
"""A quarter of the event types that are given as examples."""

_ITEMS = "SELECT item_id FROM events UNION SELECT item_id FROM items"
_CATEGORIES = "SELECT DISTINCT category FROM items"


def misfits(
    connection: duckdb.DuckDBPyConnection, problem: ProblemSpec, static_items: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return a warning for each part of the problem that matches nothing in events, items and users.

    Args:
        connection: Has the tables.
        problem: Names event types, columns, items and categories.
        static_items: Of the setting serving.static_items, which should be in the data, too.
    """
    return (
        *_event_types(connection, problem),
        *_values(connection, problem),
        *_unknown(connection, "candidates.blocked_items", problem.candidates.blocked_items, _ITEMS),
        *_unknown(
            connection, "candidates.blocked_categories", problem.candidates.blocked_categories, _CATEGORIES
        ),
        *_unknown(connection, "serving.static_items", static_items, _ITEMS),
        *_categories(connection, problem),
        *_user_columns(connection, problem),
    )


def misfits_of_landed(
    lake: Lake, source: str, problem: ProblemSpec, static_items: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the warnings of `misfits` for landed rows that are not validated.

    Args:
        lake: The lake with the source's landed rows.
        source: The source's name.
        problem: Names event types, columns, items and categories.
        static_items: The items of the static list.
    """
    with open_duckdb() as connection:
        events = [literal(path) for path in lake.files("landed_events", part=source)]
        if not events:
            return ()
        connection.read_parquet(events, hive_partitioning=False, union_by_name=True).create_view("events")
        for table, schema in (("items", ITEMS), ("users", USERS)):
            connection.register(table, _landed(lake.path(f"landed_{table}", part=source), schema))
        return misfits(connection, problem, static_items)


def _landed(path: Path, schema: pa.Schema) -> pa.Table:
    import pyarrow.parquet as pq

    return completed(pq.read_table(path), schema) if path.exists() else schema.empty_table()


def _event_types(connection: duckdb.DuckDBPyConnection, problem: ProblemSpec) -> Iterator[str]:
    found = dict(
        connection.execute(
            "SELECT event_type, count(*) FROM events WHERE event_type IS NOT NULL "
            "GROUP BY event_type ORDER BY count(*) DESC, event_type"
        ).fetchall()
    )
    absent = [name for name in sorted(event_worth(problem.model_dump())) if name not in found]
    if absent:
        listed = ", ".join(f"{name} ({count:,})" for name, count in list(found.items())[: 4 * SHOWN])
        yield (
            f"the problem counts events of type {', '.join(absent)}, of which there are none; the events are "
            f"{listed or 'none'}"
        )


def _values(connection: duckdb.DuckDBPyConnection, problem: ProblemSpec) -> Iterator[str]:
    by_value = [name for name, worth in event_worth(problem.model_dump()).items() if worth.by_value]
    for name in sorted(by_value):
        n, distinct = connection.execute(
            "SELECT count(*), count(DISTINCT value) FROM events WHERE event_type = ?", [name]
        ).fetchall()[0]
        if n > 1 and distinct <= 1:
            yield f"{name} is counted by value, but all {n:,} of these events have the same value or none"


def _unknown(
    connection: duckdb.DuckDBPyConnection, key: str, named: Sequence[str], ids: str
) -> Iterator[str]:
    if not named:
        return
    # Rows that the gate has not seen yet may hold what an id can't.
    listed = f"SELECT id FROM ({ids}) AS known(id) WHERE NOT contains(id, chr(0))"  # noqa: S608 - a constant
    known = IdIndex.build(row[0] for row in connection.execute(listed).fetchall())
    warning = unknown_ids(key, named, known)
    if warning is not None:
        yield warning


def _categories(connection: duckdb.DuckDBPyConnection, problem: ProblemSpec) -> Iterator[str]:
    metrics = {problem.metric, *(guardrail.metric for guardrail in problem.guardrails)}
    [(known,)] = connection.execute("SELECT count(category) FROM items").fetchall()
    if "diversity" in metrics and not known:
        yield "the metric diversity needs categories of items, and no item has one: name source.items"


def _user_columns(connection: duckdb.DuckDBPyConnection, problem: ProblemSpec) -> Iterator[str]:
    columns = {row[0] for row in connection.execute("DESCRIBE users").fetchall()} - {OWN}
    names = f"SELECT DISTINCT unnest(map_keys({OWN})) FROM users"  # noqa: S608 - a constant
    own = connection.execute(names).fetchall()
    known = columns | {row[0] for row in own}
    absent = sorted(set(problem.slices.user_columns) - known)
    if absent:
        yield (
            f"slices.user_columns names {', '.join(absent)}, which the data's users do not have; they have "
            f"{', '.join(sorted(known - {'user_id', 'first_seen_at'}))}: name them in source.user_columns too"
        )
