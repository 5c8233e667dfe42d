"""Slices of users and items that are evaluated separately: new users, the head of the items, user columns.

The table users has no history: a user's present values are used for all times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import SourceError
from tastemaker.plugins.arrays import Bool, Int32, Int64
from tastemaker.util.ranges import DATE, DATE_LENGTH

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Strings = NDArray[np.str_]

UNKNOWN = "unknown"
MANY = 12
"""A column with more values is not sliced by value; numbers and dates are sliced by ranges."""
RANGES = 4

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")


class Labels(NamedTuple):
    """A column of the table users, or a custom column in it."""

    names: tuple[str, ...]
    """The values, sorted."""
    codes: Int32
    """int32[n_users]: index into `names`; -1 where the column is null or the user has no row."""

    def of(self, users: Int32) -> Strings:
        """Return str[n]: the values of users by number; `unknown` where there is none."""
        return np.array([*self.names, UNKNOWN])[self.codes[users]]


def read_labels(connection: DuckDBPyConnection, column: str, n_users: int) -> Labels:
    """Return a column of `users` as text, for the users of the table `user_numbers`.

    Args:
        connection: A connection with both tables.
        column: A column of `users`, or a custom column in it.
        n_users: The number of users.

    Raises:
        SourceError: There is no such column, or its values identify users.
    """
    own, value = _found(connection, column)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE user_labels AS "  # noqa: S608 - a column that exists, quoted
        f"SELECT n.number, min(CAST({value} AS VARCHAR)) AS label "
        "FROM user_numbers AS n JOIN users AS u ON u.user_id = n.id "
        "GROUP BY n.number HAVING label IS NOT NULL",
        {"column": column} if own else None,
    )
    names = connection.execute("SELECT DISTINCT label FROM user_labels ORDER BY label").fetchall()
    found: dict[str, Any] = connection.execute(
        "SELECT number, dense_rank() OVER (ORDER BY label) - 1 AS code FROM user_labels"
    ).fetchnumpy()
    codes = np.full(n_users, -1, np.int32)
    codes[found["number"]] = found["code"]
    labels = Labels(tuple(row[0] for row in names), codes)
    if own:
        _refuse_identifying_values(column, labels)
    return labels


def _found(connection: DuckDBPyConnection, column: str) -> tuple[bool, str]:
    """Return whether a column is custom, and its SQL expression in users, as u."""
    from tastemaker.data.lake_files import quoted
    from tastemaker.data.tables import OWN

    known = [row[0] for row in connection.execute("DESCRIBE users").fetchall() if row[0] != OWN]
    if column in known:
        return False, f"u.{quoted(column)}"
    kept = f"SELECT DISTINCT unnest(map_keys({OWN})) AS name FROM users ORDER BY name"  # noqa: S608 - a constant
    own = [row[0] for row in connection.execute(kept).fetchall()]
    if column in own:
        return True, f"u.{OWN}[$column]"
    offered = ", ".join(name for name in (*known, *own) if name != "user_id")
    raise SourceError(
        f"slices.user_columns names {column!r}, but the table users has no such column",
        fix=f"name one of {offered} in the problem file, or keep a custom column: add it to "
        "source.user_columns in tastemaker.toml and run again",
    )


def _refuse_identifying_values(column: str, labels: Labels) -> None:
    """Raise SourceError if the values identify users rather than group them."""
    values, users = len(labels.names), int(np.sum(labels.codes >= 0))
    if values > MANY and 2 * values > users and _kind(labels.names) is None:
        raise SourceError(
            f"slices.user_columns names {column!r}, with {values:,} different texts for {users:,} users: "
            "these do not group users",
            fix="name a column whose values many users share, or group its values at the source",
        )


def user_slices(
    events_before: Int64, new_below: int, labels: Mapping[str, Labels], users: Int32
) -> dict[str, Strings]:
    """Return each evaluated user's slice, by dimension: `users` (new or old), and one per column.

    Args:
        events_before: int64[n], the evaluated users' events before the cutoff.
        new_below: Users with fewer events are new.
        labels: Columns of the table users.
        users: int32[n], the evaluated users' numbers in `labels`.

    Returns:
        Dimension to str[n].
    """
    slices = {"users": np.where(events_before < new_below, "new", "old")}
    return slices | {column: in_ranges(one.of(users)) for column, one in labels.items()}


def in_ranges(labels: Strings) -> Strings:
    """Group more than MANY numbers or dates into RANGES ranges with about equal numbers of users.

    Each range is named by its least and its greatest value, such as `18 to 29`, fractions in six digits.
    Dates lose their time of day; other labels are not changed.
    """
    kind = _kind(np.unique(labels[labels != UNKNOWN]).tolist())
    if kind is None:
        return labels
    if kind is DATE:
        labels = np.where(labels == UNKNOWN, UNKNOWN, labels.astype(f"<U{DATE_LENGTH}"))
    values, codes, users = np.unique(labels, return_inverse=True, return_counts=True)
    known = np.flatnonzero(values != UNKNOWN)
    if len(known) <= MANY:
        return labels
    order = known[np.argsort(values[known].astype(float) if kind is _NUMBER else values[known])]
    middles = np.cumsum(users[order]) - users[order] / 2
    places = (RANGES * middles / users[order].sum()).astype(int)
    names = values.astype(object)
    for place in np.unique(places):
        some = order[places == place]
        first, last = (_short(values[at]) for at in (some[0], some[-1]))
        names[some] = first if len(some) == 1 else f"{first} to {last}"
    return names.astype(np.str_)[codes]


def _short(value: str) -> str:
    return f"{float(value):.6g}" if "." in value else value


def _kind(values: Iterable[str]) -> re.Pattern[str] | None:
    """Return the pattern that all values match, _NUMBER or DATE; None for other text or no values."""
    values = list(values)
    kinds = (kind for kind in (_NUMBER, DATE) if all(map(kind.fullmatch, values)))
    return next(kinds, None) if values else None


def head_items(counts: Int64, share: float) -> Bool:
    """Return bool[n_items]: the fewest items that together have a share of all counts.

    Args:
        counts: int64[n_items], the number of users who had each item; ties are in the catalogue's order.
        share: Of the sum of counts.
    """
    order = np.argsort(-counts, kind="stable")
    reached = np.cumsum(counts[order])
    head = np.zeros(len(counts), np.bool_)
    if len(counts) and reached[-1]:
        head[order[: int(np.searchsorted(reached, share * reached[-1])) + 1]] = True
    return head
