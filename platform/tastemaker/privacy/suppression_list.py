"""Suppression list: erased users and the time of erasure, so that a source does not bring their rows back.

Only salted hashes of ids are stored (BLAKE2b; each home has its own salt). Rows of later events are accepted.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.file_lock import file_lock

FILE_NAME = "forgotten.json"


class SuppressionList:
    """Suppression list of a home folder."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE_NAME

    def add(self, user_id: str) -> None:
        """Add a user: their rows from before now are suppressed."""
        with file_lock(self.path.with_suffix(".lock")):
            noted = self._read() or {"salt": secrets.token_hex(16), "people": {}}
            noted["people"][_hash(noted["salt"], user_id)] = datetime.now(UTC).timestamp()
            with atomic_write(self.path) as partial:
                partial.write_text(json.dumps(noted, indent=1))

    def without(self, rows: pa.Table, time_column: str) -> pa.Table:
        """Return the rows without those of erased users from before their erasure.

        Args:
            rows: Rows with a `user_id`, as `add` was given it, and a time.
            time_column: The column of timestamps; an erased user's row without a time is left out, too.
        """
        noted = self._read()
        if noted is None or not len(rows):
            return rows
        encoded = rows["user_id"].combine_chunks().dictionary_encode()
        since = [
            -np.inf if name is None else noted["people"].get(_hash(noted["salt"], name), -np.inf)
            for name in encoded.dictionary.to_pylist()
        ]
        forgotten_at = pc.fill_null(pc.take(pa.array(since, pa.float64()), encoded.indices), -np.inf)
        microseconds = pc.cast(pc.cast(rows[time_column], pa.timestamp("us", tz="UTC")), pa.int64())
        seconds = pc.divide(pc.cast(pc.fill_null(microseconds, 0), pa.float64()), 1e6)
        return rows.filter(pc.greater_equal(seconds, forgotten_at))

    def _read(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        noted: dict[str, Any] = json.loads(self.path.read_text())
        return noted


def _hash(salt: str, user_id: str) -> str:
    return hashlib.blake2b(user_id.encode(), salt=bytes.fromhex(salt), digest_size=16).hexdigest()
