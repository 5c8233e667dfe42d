"""Callers' changes of items and users since a version was trained: one small file, read by all workers.

It has one row per item or user that was ever changed, in its present state: it grows with the catalogue, not
with the traffic. A worker's own changes count at once, another worker's within OVERRIDES_POLL_SECONDS.
Training reads the changes from the log (`tastemaker.event_log`); this file is for answers.

The file is the state: if another takes its place, its changes count, and no others. Until then, and until the
new one can be read, what was read last counts.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import ItemRecord, UserRecord
from tastemaker.snapshot.item_content import Listed
from tastemaker.util.durations import DAY_SECONDS
from tastemaker.util.failure_log import FailureLog
from tastemaker.util.file_lock import file_lock
from tastemaker.util.sqlite_wal import remove_logs_of_missing, use_wal

FILE_NAME = "overlay.db"
OVERRIDES_POLL_SECONDS = 1.0
NEW_ITEM_SECONDS = 30 * DAY_SECONDS
"""How long an item counts as new after it was first sent."""
MAX_NEW = 2_000
"""The most new items, the latest; each takes about 1 kB."""
WRITER_WAIT_SECONDS = 5.0
"""How long a writer waits for another writer."""
READER_WAIT_SECONDS = 0.05
"""How long a reader waits while the file is created: an answer depends on it."""
_CREATE = """
    CREATE TABLE IF NOT EXISTS items (
        item_id TEXT PRIMARY KEY, change INTEGER NOT NULL, first_at REAL NOT NULL, available INTEGER NOT NULL,
        title TEXT, category TEXT, price REAL
    );
    CREATE INDEX IF NOT EXISTS items_change ON items (change);
    CREATE TABLE IF NOT EXISTS users (user_id TEXT PRIMARY KEY, blocked_items TEXT NOT NULL);
"""
_PUT_ITEM = """
    INSERT INTO items VALUES (?, (SELECT coalesce(max(change), 0) + 1 FROM items), ?, ?, ?, ?, ?)
    ON CONFLICT (item_id) DO UPDATE SET change = excluded.change, available = excluded.available,
        title = excluded.title, category = excluded.category, price = excluded.price
"""
_PUT_USER = "INSERT OR REPLACE INTO users VALUES (?, ?)"
_DROP_USER = "DELETE FROM users WHERE user_id = ?"
_CHANGES = """
    SELECT change, item_id, first_at, available, title, category, price FROM items
    WHERE change > ? ORDER BY change
"""
_ITEM = "SELECT title, category, price FROM items WHERE item_id = ?"
_ANY_USER = "SELECT 1 FROM users LIMIT 1"
_BLOCKED = "SELECT user_id, blocked_items FROM users WHERE user_id IN (SELECT value FROM json_each(?))"

logger = logging.getLogger("tastemaker.serving")


class OverridesError(TastemakerError):
    """A change that can't be stored."""


class NewItem(NamedTuple):
    """An available item that callers sent recently and that the version does not know."""

    item_id: str
    first_at: float
    """When it was first sent, seconds since 1970 UTC."""
    listed: Listed


def put(folder: Path, records: Iterable[ItemRecord | UserRecord]) -> None:
    """Store changes, durably when it returns.

    Args:
        folder: The folder of the file; both are created if they are missing.
        records: The changes, in the order in which they are made: the last one of an item or user counts.

    Raises:
        OverridesError: The file can't be written; none of the changes is stored then.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        with closing(_connect(path)) as connection, connection:
            for record in records:
                connection.execute(*_statement(record))
    except (OSError, sqlite3.Error) as error:
        raise OverridesError(f"{path} can't be written: {error}", fix="free the disk") from error


class CatalogOverrides:
    """The reader of one version in one process. Thread-safe.

    Reading never raises: while the file can't be read, what was read last counts, and the log says so once.
    """

    def __init__(self, folder: Path | None, is_new: Callable[[Sequence[str]], Iterable[bool]]) -> None:
        """Prepare to read.

        Args:
            folder: Holds the file; None if there are no changes.
            is_new: Returns which item ids the version does not know.
        """
        self._path = None if folder is None else folder / FILE_NAME
        self.sold_out: frozenset[str] = frozenset()
        """Items that may not be shown to any user."""
        self.new: dict[str, NewItem] = {}
        """At most MAX_NEW, by id."""
        self.state = 0
        """Changes whenever `sold_out` or `new` does."""
        self._is_new = is_new
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        """That of the file in which `_last_change` counts."""
        self._is_replaced = False
        """Whether what was read last is of a file that another has taken the place of."""
        self._last_change, self._anyone_blocks = 0, False
        self._polled_at = -OVERRIDES_POLL_SECONDS
        self._failures = FailureLog(logger, "changes of items and users can be read again")

    @property
    def trouble(self) -> str | None:
        """That the file can't be read, in words; None while it can."""
        return self._failures.trouble

    def refresh(self, *, at_once: bool = False) -> None:
        """Read what changed, at most every OVERRIDES_POLL_SECONDS unless `at_once`."""
        now = time.monotonic()
        if not at_once and now - self._polled_at < OVERRIDES_POLL_SECONDS:
            return
        self._polled_at = now
        with self._lock:
            self._close_replaced()
            changes, anyone = self._rows(_CHANGES, self._last_change), self._rows(_ANY_USER)
            if anyone is not None:
                self._anyone_blocks = bool(anyone)
            self._apply(changes or (), is_read=changes is not None and self._connection is not None)

    def blocked(self, user_ids: Iterable[str]) -> dict[str, list[str]]:
        """Return the items that each of these users blocks, for those who block any."""
        if not self._anyone_blocks:
            return {}
        asked = msgspec.json.encode(list(set(user_ids))).decode()
        with self._lock:
            rows = self._rows(_BLOCKED, asked)
        return {user_id: msgspec.json.decode(blocked) for user_id, blocked in rows or ()}

    def listed(self, item_id: str) -> Listed | None:
        """Return an item's attributes as callers sent them; None if they sent none."""
        with self._lock:
            rows = self._rows(_ITEM, item_id)
        return Listed(*rows[0]) if rows else None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _close_replaced(self) -> None:
        """Close the file if another has taken its place; one that is only missing stays open."""
        if self._inode is not None and self._inode_now() not in (None, self._inode):
            self._close()
            self._inode, self._is_replaced = None, True
            self._last_change = 0  # a new file numbers from 1 again

    def _inode_now(self) -> int | None:
        """Return the inode of the file that has the name now; None while there is none."""
        try:
            return None if self._path is None else self._path.stat().st_ino
        except OSError:
            return None

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]] | None:
        """Return the rows of a query: none while there is no file, None while it can't be read."""
        try:
            if self._connection is None:
                inode = self._inode_now()
                if self._path is None or inode is None:
                    return []
                self._connection = _connect(self._path, READER_WAIT_SECONDS)
                self._inode = self._inode or inode
            rows = self._connection.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            words = "changes of items and users can't be read; the last state read counts"
            self._failures.failed(words, detail=self._path, error=error)
            return None
        self._failures.succeeded()
        return rows

    def _apply(self, rows: Sequence[tuple[Any, ...]], *, is_read: bool) -> None:
        """Take in changed rows; `is_read`: whether a file was read, in which there may be none."""
        oldest = time.time() - NEW_ITEM_SECONDS
        replaces = self._is_replaced and is_read
        before = {} if replaces else self.new
        new = {item_id: item for item_id, item in before.items() if item.first_at > oldest}
        if not rows and not replaces and len(new) == len(before):
            return
        sold_out = set() if replaces else set(self.sold_out)
        changed = [_Change(*row) for row in rows]
        for one, is_new in zip(changed, self._is_new([one.item_id for one in changed]), strict=True):
            self._last_change = one.change
            new.pop(one.item_id, None)
            (sold_out.discard if one.available else sold_out.add)(one.item_id)
            if is_new and one.available and one.first_at > oldest:
                listed = Listed(one.title, one.category, one.price)
                new[one.item_id] = NewItem(one.item_id, one.first_at, listed)
        latest = sorted(new.values(), key=lambda item: (item.first_at, item.item_id))[-MAX_NEW:]
        self.sold_out, self.new = frozenset(sold_out), {item.item_id: item for item in latest}
        self.state += 1
        self._is_replaced &= not replaces


class _Change(NamedTuple):
    change: int
    item_id: str
    first_at: float
    available: int
    title: str | None
    category: str | None
    price: float | None


def _create(path: Path) -> None:
    """Create the file, once for all processes that find it missing."""
    with file_lock(path.with_name(f"{path.name}.lock")):
        remove_logs_of_missing(path)
        _connect(path, mode="rwc").close()


def _connect(path: Path, seconds: float = WRITER_WAIT_SECONDS, mode: str = "rw") -> sqlite3.Connection:
    """Open the file; `seconds`: how long to wait for other processes; `mode`: SQLite's, rwc to create it."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, timeout=seconds, check_same_thread=False, uri=True)
    use_wal(connection, seconds)
    for pragma in ("synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(_CREATE)
    return connection


def _statement(record: ItemRecord | UserRecord) -> tuple[str, tuple[object, ...]]:
    """Return the statement that stores one change."""
    if isinstance(record, ItemRecord):
        known = (record.received_at, record.available, record.title, record.category, record.price)
        return _PUT_ITEM, (record.item_id, *known)
    if record.blocked_items:
        return _PUT_USER, (record.user_id, msgspec.json.encode(record.blocked_items).decode())
    return _DROP_USER, (record.user_id,)
