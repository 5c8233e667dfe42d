"""Fingerprints of the lake, by which out-of-date feature snapshots are recognized."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.features.names import ITEM_FEATURES, USER_FEATURES

if TYPE_CHECKING:
    from tastemaker.data.lake import Lake

FEATURES_VERSION = 2
"""Raised when a feature's formula changes, so that older snapshots are recomputed."""


def fingerprint(lake: Lake, before: int) -> str:
    """Return a digest of everything that the features at a cut depend on.

    It changes when events of a day before the cut, the items, the users or the features' formulas change.
    Event files are identified by name, size and modification time, since there may be gigabytes of them.
    Items and users are rewritten by each run, mostly with the same content, so their content is hashed.

    Args:
        lake: Where the tables are.
        before: The cut, in seconds since 1970 UTC.

    Returns:
        64 hexadecimal digits.
    """
    from tastemaker.data.lake_files import day_of

    last = datetime.fromtimestamp(before - 1, tz=UTC).date()
    digest = hashlib.sha256(repr((FEATURES_VERSION, USER_FEATURES, ITEM_FEATURES)).encode())
    for path in lake.files("events"):
        if not path.parent.name.startswith("day=") or day_of(path) <= last:
            digest.update(repr((str(path.relative_to(lake.root)), *_written(path))).encode())
    for table in ("items", "users"):
        for path in lake.files(table):
            digest.update(table.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _written(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
