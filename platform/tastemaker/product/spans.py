"""Spans of windows in which a user has the same rows: totals of a user are computed once per span.

What a user has in a window that moves by a day changes only on days when a row of the user enters or leaves:

    a user with rows on days 1 and 2, in windows of 3 days
    last day of the window   0 | 1 | 2  3  | 4 | 5
    rows in the window       - | 1 | 1, 2  | 2 | -

Four windows, but three spans: a row is added up once per span that has its day, and not once per window.
Windows of one length are numbered from 0 by their last days. Many users have the same totals, such as one
list and no click: a window's figures are computed from how many users have which.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Self

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.product.cell import Group, MetricWindow, WindowEnds
from tastemaker.stats.bootstrap import Float64

Int64 = NDArray[np.int64]

DENSE_COUNTS = 4_000_000
"""So many counts, of which most may be 0, are in memory at once."""

ROWS_IN_WINDOWS = "SELECT * FROM grouped WHERE day BETWEEN $first_end - ($days - 1)::INTEGER AND $last_end"
"""SQL of the rows of `user_days` in any of the windows, with the numbers of their groups."""
_SPANS = f"""
    CREATE OR REPLACE TEMP TABLE spans AS
    WITH days AS (SELECT DISTINCT group_number, user_id, day FROM ({ROWS_IN_WINDOWS})),
    changes AS (
        SELECT group_number, user_id, greatest(day, $first_end) AS since FROM days
        UNION
        SELECT group_number, user_id, day + $days::INTEGER FROM days WHERE day + $days::INTEGER <= $last_end
    )
    SELECT *, since - ($days - 1)::INTEGER AS first_day,
        lead(since, 1, $last_end + 1) OVER (PARTITION BY group_number, user_id ORDER BY since) AS until
    FROM changes
"""  # noqa: S608 - our own
ROWS_OF_SPANS = f"""
    SELECT since, until, rows.* FROM spans JOIN ({ROWS_IN_WINDOWS}) AS rows USING (group_number, user_id)
    WHERE day BETWEEN first_day AND since"""  # noqa: S608 - our own
"""SQL of a user's rows in the windows of a span: what `day BETWEEN $first AND $last` says in a definition."""
BY_SPAN = "group_number, user_id, since, until"
"""SQL: what rows of spans are grouped by."""


def create_spans(connection: duckdb.DuckDBPyConnection, ends: WindowEnds) -> None:
    """Create the table `spans` that ROWS_OF_SPANS reads, of the rows in the view `grouped`.

    Args:
        connection: Has the view `grouped` of `create_groups`. A table `spans` of an earlier call is replaced.
        ends: The windows that a row may be in.
    """
    connection.execute(_SPANS, ends.parameters)


class EqualUsers(NamedTuple):
    """How many users have the same values in a window, of some consecutive windows."""

    first: int
    """Number of the first of these windows."""
    windows: int
    cell: Int64
    """int64[n]: number of the group, times `windows`, plus the place of the window among these."""
    row: Int64
    """int64[n]: the place of a row with these values."""
    users: Int64
    """int64[n]: how many users have them."""


class Spans(NamedTuple):
    """Rows of users, each of a span."""

    group: Int64
    """int64[n], the number of the group."""
    since: Int64
    """int64[n], the number of the first window."""
    until: Int64
    """int64[n], the number of the window after the last one."""
    groups: list[Group]
    windows: list[MetricWindow]

    @classmethod
    def of(cls, rows: pa.Table, groups: list[Group], ends: WindowEnds) -> Self:
        """Return the spans of rows.

        Args:
            rows: With the columns `group_number`, `since` and `until`.
            groups: The groups by their numbers, from 0.
            ends: The windows that `create_spans` got.
        """
        group, since, until = (
            rows[name].cast(pa.int32()).to_numpy().astype(np.int64)
            for name in ("group_number", "since", "until")
        )
        first = pa.scalar(ends.first).cast(pa.int32()).as_py()
        return cls(group, since - first, until - first, groups, ends.windows)

    def sums(self, values: Float64) -> Float64:
        """Return the sums over users of whole numbers, float64[n], as float64[groups, windows]."""
        shape = len(self.groups), len(self.windows) + 1
        change = np.bincount(self.group * shape[1] + self.since, values, math.prod(shape))
        change -= np.bincount(self.group * shape[1] + self.until, values, math.prod(shape))
        total: Float64 = change.reshape(shape).cumsum(axis=1)[:, :-1]
        return total

    def users(self, values: Float64) -> Iterator[tuple[int, int, Float64]]:
        """Yield group, window and its users' values, float64[users], of windows that have any.

        Args:
            values: float64[n].
        """
        for number in range(len(self.groups)):
            mine = self.group == number
            since, until, own = self.since[mine], self.until[mine], values[mine]
            for place in range(len(self.windows)):
                some = own[(since <= place) & (place < until)]
                if len(some):
                    yield number, place, some

    def equal_users(self, *columns: Float64) -> Iterator[EqualUsers]:
        """Yield how many users have the same values of columns, float64[n] each, in each window."""
        code, places = _distinct(self.group, *columns)
        step = max(1, DENSE_COUNTS // max(1, len(places)))
        before = np.zeros(len(places), np.int64)
        for first in range(0, len(self.windows), step):
            windows = min(step, len(self.windows) - first)
            change = _counted(code, self.since - first, len(places), windows)
            change -= _counted(code, self.until - first, len(places), windows)
            change[:, 0] += before
            users = change.cumsum(axis=1)
            before = users[:, -1]
            which, window = np.nonzero(users)
            cell = self.group[places[which]] * windows + window
            yield EqualUsers(first, windows, cell, places[which], users[which, window])


def _counted(code: Int64, window: Int64, codes: int, windows: int) -> Int64:
    """Return how often each code has each window, int64[codes, windows]; other windows do not count."""
    is_here = (window >= 0) & (window < windows)
    number = code[is_here] * windows + window[is_here]
    return np.bincount(number, minlength=codes * windows).reshape(codes, windows)


def _distinct(*columns: NDArray[np.generic]) -> tuple[Int64, Int64]:
    """Return the number of each row's combination of values, int64[n], and a row of each combination."""
    number = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        encoded = pa.array(column).dictionary_encode()
        number = number * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy()
    combinations = pa.array(number).dictionary_encode()
    numbers = combinations.indices.to_numpy().astype(np.int64)
    places = np.empty(len(combinations.dictionary), np.int64)
    places[numbers] = np.arange(len(number))  # any row of each combination
    return numbers, places
