"""Which state of the lake a snapshot was made from."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.features.names import ITEM_FEATURES, USER_FEATURES

if TYPE_CHECKING:
    from tastemaker.data.lake import Lake

LOGIC = 1
"""Counted up when a feature's formula changes, so that older snapshots are made anew."""


def fingerprint(lake: Lake, before: int) -> str:
    """Changes when events of a day before the cut, the items or the users change, or the features themselves.

    Event files are told apart by name, size and time of writing: there may be gigabytes of them. Items and
    users are rewritten whole by each run, mostly to the same content, so their content counts.
    """
    from tastemaker.data.lake import day_of
    from tastemaker.data.tables import SERVED

    last = datetime.fromtimestamp(before - 1, tz=UTC).date()
    digest = hashlib.sha256(repr((LOGIC, USER_FEATURES, ITEM_FEATURES)).encode())
    for path in lake.files("events"):
        if path.name.startswith(SERVED):
            continue
        if not path.parent.name.startswith("day=") or day_of(path) <= last:
            digest.update(repr((str(path.relative_to(lake.root)), *_written(path))).encode())
    for table in ("items", "users"):
        for path in lake.files(table):
            digest.update(table.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _written(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
