"""Write-ahead logging of SQLite files that several processes open."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

_PAUSE_SECONDS = 0.005


def use_wal(connection: Any, seconds: float) -> None:
    """Switch a database to write-ahead logging, which it then keeps.

    While another process switches a new file, too, SQLite refuses at once: its busy timeout does not apply.

    Args:
        connection: A connection of `sqlite3`, outside of a transaction.
        seconds: How long to wait for other processes.

    Raises:
        sqlite3.OperationalError: It is still locked then, or can't be switched.
    """
    give_up = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
        else:
            return
        time.sleep(_PAUSE_SECONDS)


def remove_logs_of_missing(path: Path) -> None:
    """Remove the write-ahead log and its index that a database left which was moved away while it was open.

    Its readers keep them open; they would damage a new database of that name. No other process may create one
    meanwhile.
    """
    if not path.exists():
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
