"""Which users are new, which items are the head, what the table users says: parts to judge apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import SourceError
from tastemaker.plugins.arrays import Bool, Int32, Int64

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Strings = NDArray[np.str_]

UNKNOWN = "unknown"


class Labels(NamedTuple):
    """One column of the table users."""

    names: tuple[str, ...]
    """The values, sorted."""
    codes: Int32
    """int32[n_users]: each user's place in `names`, -1 where the column is null or the user is not listed."""

    def of(self, users: Int32) -> Strings:
        """str[n]: the values for users by number; `unknown` where there is none."""
        return np.array([*self.names, UNKNOWN])[self.codes[users]]


def read_labels(connection: DuckDBPyConnection, column: str, n_users: int) -> Labels:
    """A column of `users` as text, for the users of the table `user_numbers`."""
    from tastemaker.data.lake import quoted

    known = [row[0] for row in connection.execute("DESCRIBE users").fetchall()]
    if column not in known:
        offered = ", ".join(name for name in known if name != "user_id")
        raise SourceError(
            f"slices.user_columns names {column!r}, but the table users has no such column",
            fix=f"name one of {offered} in the problem file",
        )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE user_labels AS "  # noqa: S608 - a column that exists, quoted
        f"SELECT n.number, min(CAST(u.{quoted(column)} AS VARCHAR)) AS label "
        "FROM user_numbers AS n JOIN users AS u ON u.user_id = n.id "
        "GROUP BY n.number HAVING label IS NOT NULL"
    )
    names = connection.execute("SELECT DISTINCT label FROM user_labels ORDER BY label").fetchall()
    found: dict[str, Any] = connection.execute(
        "SELECT number, dense_rank() OVER (ORDER BY label) - 1 AS code FROM user_labels"
    ).fetchnumpy()
    codes = np.full(n_users, -1, np.int32)
    codes[found["number"]] = found["code"]
    return Labels(tuple(row[0] for row in names), codes)


def user_slices(
    events_before: Int64, new_below: int, labels: Mapping[str, Labels], users: Int32
) -> dict[str, Strings]:
    """Dimension -> each judged user's slice: `users` (new or old), and one dimension a column.

    `events_before` is int64[n], a judged user's counted events before the cut; `users` int32[n], their
    numbers in `labels`.
    """
    slices = {"users": np.where(events_before < new_below, "new", "old")}
    return slices | {column: one.of(users) for column, one in labels.items()}


def head_items(counts: Int64, share: float) -> Bool:
    """bool[n_items]: the fewest items that together have `share` of all `counts`, most popular first.

    `counts` is int64[n_items], the users who had each item; of equals, the first in the catalogue.
    """
    order = np.argsort(-counts, kind="stable")
    reached = np.cumsum(counts[order])
    head = np.zeros(len(counts), np.bool_)
    if len(counts) and reached[-1]:
        head[order[: int(np.searchsorted(reached, share * reached[-1])) + 1]] = True
    return head
