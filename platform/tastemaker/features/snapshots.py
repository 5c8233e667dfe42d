"""Feature snapshots at cutoffs, as Parquet files, which training and Feast read.

    root/users/before=1322697600/part.parquet      user_id, country, USER_FEATURES, event_timestamp
    root/items/before=1322697600/part.parquet      item_id, ITEM_FEATURES, event_timestamp

A snapshot's `event_timestamp` is its cutoff: a point-in-time join at t sees the snapshots with cutoff ≤ t, so
only events earlier than t. Each file has a fingerprint of the tables that it was computed from, and is
recomputed when they change.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tastemaker.features.fingerprint import fingerprint
from tastemaker.features.items import item_features
from tastemaker.features.names import ITEM_FEATURES, USER_FEATURES
from tastemaker.features.snapshot_path import Kind, snapshot_path
from tastemaker.features.users import user_features
from tastemaker.plugins.arrays import FeatureTable

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis import Table
    from ibis.backends.duckdb import Backend

    from tastemaker.data.lake import Lake
    from tastemaker.snapshot.ids import IdIndex

KINDS: tuple[Kind, ...] = ("users", "items")
KEYS = {"users": "user_id", "items": "item_id"}
FEATURES = {"users": USER_FEATURES, "items": ITEM_FEATURES}

TIMESTAMP = "event_timestamp"
WEEK_SECONDS = 7 * 86_400
_CHUNK_ROWS = 100_000


class SnapshotFeatures:
    """Features of users and items by number, from snapshots that are computed when they are read."""

    def __init__(self, lake: Lake, root: Path, user_ids: IdIndex, item_ids: IdIndex) -> None:
        """Prepare to compute features: those as of a cutoff are computed when they are read.

        Args:
            lake: Where the events, users and items are.
            root: The folder of the snapshots; those that are computed are kept there.
            user_ids: The numbers of the users, which are the rows of `users`.
            item_ids: The numbers of the items, which are the rows of `items`.
        """
        self._lake = lake
        self._root = root
        self._ids = {"users": user_ids, "items": item_ids}

    def users(self, before: int) -> FeatureTable:
        """Return float32[n_users, len(USER_FEATURES)], from events before `before` (UTC seconds)."""
        return self._table("users", before)

    def items(self, before: int) -> FeatureTable:
        """Return float32[n_items, len(ITEM_FEATURES)], from events before `before` (UTC seconds)."""
        return self._table("items", before)

    def _table(self, kind: Kind, before: int) -> FeatureTable:
        import pyarrow.parquet as pq

        ids, names = self._ids[kind], FEATURES[kind]
        values = np.full((len(ids), len(names)), np.nan, np.float32)
        path = _ensure(self._lake, self._root, kind, before)
        for chunk in pq.ParquetFile(path).iter_batches(_CHUNK_ROWS, columns=[KEYS[kind], *names]):
            numbers = ids.lookup(chunk.column(KEYS[kind]).to_pylist())
            known = numbers >= 0
            columns = [chunk.column(name).to_numpy(zero_copy_only=False)[known] for name in names]
            values[numbers[known]] = np.stack(columns, axis=1)
        return FeatureTable(names, values)


def weekly_cuts(first: int, end: int, *, most: int = 12) -> list[int]:
    """Return cutoffs a week apart, ascending, of which the last is `end`.

    Args:
        first: No cutoff is at or before it, in seconds.
        end: The last cutoff, in seconds.
        most: At most how many.

    >>> weekly_cuts(0, 3 * WEEK_SECONDS, most=3) == [WEEK_SECONDS, 2 * WEEK_SECONDS, 3 * WEEK_SECONDS]
    True
    """
    return sorted(range(end, first, -WEEK_SECONDS)[:most])


def write_snapshots(lake: Lake, root: Path, cuts: Collection[int]) -> dict[Kind, int]:
    """Compute the user and item snapshots that are missing or out of date.

    Other snapshots are kept if they agree with the lake, and removed if not: Feast reads all of them.

    Args:
        lake: Where the tables are.
        root: The folder of the snapshots.
        cuts: The cutoffs, in seconds since 1970 UTC.

    Returns:
        Kind -> the number of rows of the snapshot at the latest cutoff.
    """
    import pyarrow.parquet as pq

    for kind in KINDS:
        for before, path in list(snapshots(root, kind)):
            if before not in cuts and not _is_current(path, lake, before):
                shutil.rmtree(path.parent)
    for before in sorted(cuts):
        for kind in KINDS:
            _ensure(lake, root, kind, before)
    latest = max(cuts)
    return {kind: pq.read_metadata(snapshot_path(root, kind, latest)).num_rows for kind in KINDS}


def snapshots(root: Path, kind: Kind) -> Iterator[tuple[int, Path]]:
    """Yield the cutoff and the file of each snapshot on disk, oldest first.

    Args:
        root: The folder of the snapshots.
        kind: `users` or `items`.
    """
    found = [
        (int(path.parent.name.removeprefix("before=")), path)
        for path in root.glob(f"{kind}/before=*/part.parquet")
    ]
    yield from sorted(found)


def _is_current(path: Path, lake: Lake, before: int) -> bool:
    from tastemaker.data.lake import file_metadata

    return path.exists() and file_metadata(path).get("fingerprint") == fingerprint(lake, before)


def _ensure(lake: Lake, root: Path, kind: Kind, before: int) -> Path:
    path = snapshot_path(root, kind, before)
    if not _is_current(path, lake, before):
        _write(lake, path, kind, before)
    return path


def _write(lake: Lake, path: Path, kind: Kind, before: int) -> None:
    import ibis
    import pyarrow as pa

    from tastemaker.data.lake import parquet_writer

    made_from = fingerprint(lake, before)  # taken first: a change while we compute makes the file out of date
    schema = _schema(kind)
    with lake.connect() as connection:
        connection.execute(
            "SET preserve_insertion_order = false"
        )  # lets DuckDB spill instead of holding rows
        backend = ibis.duckdb.from_connection(connection)
        rows = _expression(backend, kind, before).order_by(KEYS[kind])
        with parquet_writer(path, schema, {"fingerprint": made_from}) as writer:
            for chunk in connection.sql(backend.compile(rows)).to_arrow_reader(_CHUNK_ROWS):
                cut = pa.repeat(
                    pa.scalar(datetime.fromtimestamp(before, tz=UTC), schema.field(TIMESTAMP).type),
                    len(chunk),
                )
                stamped = chunk.append_column(TIMESTAMP, cut).select(schema.names)
                writer.write_table(pa.Table.from_batches([stamped]).cast(schema))


def _expression(backend: Backend, kind: Kind, before: int) -> Table:
    events, users, items = (backend.table(name) for name in ("events", "users", "items"))
    if kind == "users":
        return user_features(events, users, items, before)
    return item_features(events, items, before)


def _schema(kind: Kind) -> pa.Schema:
    import pyarrow as pa

    from tastemaker.data.tables import UTC_MICROSECONDS

    texts = {"users": ("country",), "items": ()}[kind]
    return pa.schema(
        [
            pa.field(KEYS[kind], pa.string(), nullable=False),
            *(pa.field(name, pa.string()) for name in texts),
            *(pa.field(name, pa.float32()) for name in FEATURES[kind]),
            pa.field(TIMESTAMP, UTC_MICROSECONDS, nullable=False),
        ]
    )
