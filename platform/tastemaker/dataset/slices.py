"""Which users are new, which items are the head, what the table users says: parts to judge apart.

The table users holds no history: what it says today of a user is taken for every moment of the past.
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
"""More values than this are too many to be slices of their own: of numbers and dates, ranges are."""
RANGES = 4

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")


class Labels(NamedTuple):
    """One column of the table users, or one of the shop's own that it holds."""

    names: tuple[str, ...]
    """The values, sorted."""
    codes: Int32
    """int32[n_users]: each user's place in `names`, -1 where the column is null or the user is not listed."""

    def of(self, users: Int32) -> Strings:
        """str[n]: the values for users by number; `unknown` where there is none."""
        return np.array([*self.names, UNKNOWN])[self.codes[users]]


def read_labels(connection: DuckDBPyConnection, column: str, n_users: int) -> Labels:
    """A column of `users` as text, for the users of the table `user_numbers`."""
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
        _refuse_names_of_people(column, labels)
    return labels


def _found(connection: DuckDBPyConnection, column: str) -> tuple[bool, str]:
    """Whether it is one of the shop's own, and where SQL finds it in users, as u. Own ones bind $column."""
    from tastemaker.data.lake import quoted
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
        fix=f"name one of {offered} in the problem file, or have the shop's own column kept: add it to "
        "source.user_columns in tastemaker.toml and run again",
    )


def _refuse_names_of_people(column: str, labels: Labels) -> None:
    """Raise SourceError where the values tell users apart rather than group them."""
    values, users = len(labels.names), int(np.sum(labels.codes >= 0))
    if values > MANY and 2 * values > users and _kind(labels.names) is None:
        raise SourceError(
            f"slices.user_columns names {column!r}, with {values:,} different texts for {users:,} users: "
            "these are no groups",
            fix="name a column whose values many users share, or group its values at the source",
        )


def user_slices(
    events_before: Int64, new_below: int, labels: Mapping[str, Labels], users: Int32
) -> dict[str, Strings]:
    """Dimension -> each judged user's slice: `users` (new or old), and one dimension a column.

    `events_before` is int64[n], a judged user's counted events before the cut; `users` int32[n], their
    numbers in `labels`.
    """
    slices = {"users": np.where(events_before < new_below, "new", "old")}
    return slices | {column: in_ranges(one.of(users)) for column, one in labels.items()}


def in_ranges(labels: Strings) -> Strings:
    """Labels that are numbers or dates, and MANY, as RANGES ranges of about as many users each.

    Each range is named by its least and its greatest value, such as `18 to 29`, fractions in six digits.
    Dates lose their time of day; other labels stay as they are.
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
    """What all values are: _NUMBER, DATE, or None for other text, or no value at all."""
    values = list(values)
    kinds = (kind for kind in (_NUMBER, DATE) if all(map(kind.fullmatch, values)))
    return next(kinds, None) if values else None


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
