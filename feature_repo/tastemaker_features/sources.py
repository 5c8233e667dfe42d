"""The Feast sources: Parquet snapshots that `tastemaker.features.snapshots` writes."""

from __future__ import annotations

from pathlib import Path

from feast import FileSource
from feast.data_format import ParquetFormat

from tastemaker.features.snapshot_path import Kind
from tastemaker.features.snapshots import TIMESTAMP
from tastemaker.util.atomic_files import plain_path


def snapshot_source(root: Path, kind: Kind) -> FileSource:
    """Return the source of all user or item snapshots in a folder.

    Args:
        root: The features folder of the home, which has a folder per kind.
        kind: `users` or `items`.
    """
    return FileSource(
        name=f"{kind}_snapshots",
        path=str(plain_path(root) / kind),  # Feast and DuckDB would take brackets for a pattern
        file_format=ParquetFormat(),
        timestamp_field=TIMESTAMP,
        description=f"features of {kind} at cutoffs, from events before the cutoff",
    )
