"""Where feature snapshots are. Importing this module does not import a library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["users", "items"]


def snapshot_path(root: Path, kind: Kind, before: int) -> Path:
    """Return the path of a snapshot, whether it exists or not.

    Args:
        root: The folder of the snapshots.
        kind: `users` or `items`.
        before: The cutoff in seconds since 1970 UTC.
    """
    return root / kind / f"before={before}" / "part.parquet"
