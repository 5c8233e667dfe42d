"""Insertion of many rows into SQLite by few statements.

sqlite3 gives up Python's lock for each statement, and has to wait to get it back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import cache
from itertools import chain, islice

_ROWS_AT_ONCE = 256


def insert_rows(connection: sqlite3.Connection, insert: str, rows: Iterable[tuple[object, ...]]) -> int:
    """Insert rows in the connection's transaction, and return how many were new.

    Args:
        connection: Of the database.
        insert: The statement up to VALUES, such as `INSERT OR IGNORE INTO items (item_id, price)`.
        rows: Values of the columns; all rows have the same number.
    """
    new, rest = 0, iter(rows)
    while part := list(islice(rest, _ROWS_AT_ONCE)):
        while part:
            n = 1 << len(part).bit_length() - 1  # a power of two: few statements to prepare
            statement = f"{insert} VALUES {_places(n, len(part[0]))}"
            new += connection.execute(statement, [*chain.from_iterable(part[:n])]).rowcount
            part = part[n:]
    return new


@cache
def _places(n_rows: int, n_columns: int) -> str:
    row = ", ".join("?" * n_columns)
    return ", ".join([f"({row})"] * n_rows)
