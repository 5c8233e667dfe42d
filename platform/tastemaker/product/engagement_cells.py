"""Figures of engagement over windows, from `user_days`, by the SQL of their definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.product.cell import LEVELS, Cell, Level, WindowEnds, group_of, rows_of_windows
from tastemaker.product.engagement_metrics import (
    COUNTS,
    CTR_BY_POSITION,
    HOURS_TO_FIRST_CLICK,
    P99_MS,
    POSITIONS,
    RATIOS,
    REWARDED_EVENTS,
    RatioMetric,
)
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.ratios import ratio_intervals
from tastemaker.stats.shares import median_interval

REWARDED = frozenset(
    {"ctr_impression", "ctr_list", "reward_per_request", REWARDED_EVENTS.name, CTR_BY_POSITION.name}
)
"""Rates of rewards: complete when the attribution windows of their last day are over."""


class EngagementCells:
    """The figures of one shop, whose table `user_days` a connection has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, event_types: Sequence[str]) -> None:
        """Use a connection.

        Args:
            connection: Has the table `user_days`.
            event_types: The types of events that earn a reward.
        """
        self._connection, self._event_types = connection, event_types

    def of(self, ends: WindowEnds, *, closed_until: date) -> Iterator[Cell]:
        """Yield the figures of windows, for all lists and by model, version and variant.

        Args:
            ends: The windows.
            closed_until: The last day by whose end the attribution windows of all lists are over.
        """
        for level in LEVELS:
            yield from self._counts_and_ratios(level, ends, closed_until)
            yield from self._hours(level, ends, closed_until)
            yield from self._slowest(level, ends)

    @cached_property
    def _ratios(self) -> list[tuple[str, RatioMetric]]:
        """Slice and metric of every ratio."""
        types = [
            (f"event_type={name}", REWARDED_EVENTS.of_slice(name.replace('"', '""')))
            for name in self._event_types
        ]
        positions = range(1, self._longest_list + 1)
        places = [(f"position={n}", CTR_BY_POSITION.of_slice(str(n))) for n in positions]
        return [*(("", one) for one in RATIOS), *types, *places]

    @cached_property
    def _longest_list(self) -> int:
        """Number of positions that a list had, at most POSITIONS."""
        columns = ", ".join(f"sum(position_{n}_shown)" for n in range(1, POSITIONS + 1))
        (shown,) = self._connection.table("user_days").aggregate(columns).fetchall()
        return sum(bool(count) for count in shown)

    @cached_property
    def _totals(self) -> dict[str, str]:
        """SQL of a user's sum -> its column."""
        ratios = [sql for _, one in self._ratios for sql in (one.over, one.under, one.events)]
        return {
            sql: f"total_{n}" for n, sql in enumerate(dict.fromkeys([*(one.over for one in COUNTS), *ratios]))
        }

    def _counts_and_ratios(self, level: Level, ends: WindowEnds, closed_until: date) -> Iterator[Cell]:
        columns = ", ".join(f"({sql})::DOUBLE AS {name}" for sql, name in self._totals.items())
        users = self._rows(
            f"""
            SELECT {level.columns}last, {columns} FROM ({rows_of_windows("user_days")})
            WHERE {level.where} GROUP BY {level.columns}last, user_id""",  # noqa: S608 - our own
            ends,
        )
        group, cells = _numbered(users, [*level.keys, "last"])
        totals = {sql: users[name].to_numpy() for sql, name in self._totals.items()}
        windows = [(ends.window(one["last"]), group_of(level, one)) for one in cells]

        def total(sql: str) -> list[float]:
            found: list[float] = np.bincount(group, totals[sql], len(cells)).tolist()
            return found

        counts = np.bincount(group, minlength=len(cells)).tolist()
        for count in COUNTS:
            for (window, whose), value, n in zip(windows, total(count.over), counts, strict=True):
                yield Cell(count.name, window, whose, value, None, None, n, is_complete=True)
        for slice_, one in self._ratios:
            found = ratio_intervals(group, len(cells), totals[one.over], totals[one.under])
            for (window, whose), ratio, events in zip(windows, found, total(one.events), strict=True):
                if not ratio.users:
                    continue  # such as a position that no list had
                value, low, high = (one.scale * end for end in ratio)
                interval = Interval(value, low, high, ratio.users)
                is_complete = one.name not in REWARDED or window.last <= closed_until
                yield Cell.estimate(
                    one.name, window, whose, interval, events, is_complete=is_complete, slice=slice_
                )

    def _hours(self, level: Level, ends: WindowEnds, closed_until: date) -> Iterator[Cell]:
        metric = HOURS_TO_FIRST_CLICK
        medians = f"""
            SELECT {level.columns}last, list(own) AS own, sum(events) AS events
            FROM (
                SELECT {level.columns}last, median(one) AS own, count(*) AS events
                FROM ({_listed(level, metric.values)}) GROUP BY {level.columns}last, user_id
            ) GROUP BY {level.columns}last ORDER BY {level.columns}last"""  # noqa: S608 - our own
        rows = self._rows(medians, ends)
        for own, row in zip(rows["own"], rows.drop_columns("own").to_pylist(), strict=True):
            found = median_interval(own.values.to_numpy())
            window = ends.window(row["last"])
            is_complete = window.last <= closed_until
            yield Cell.estimate(
                metric.name, window, group_of(level, row), found, row["events"], is_complete=is_complete
            )

    def _slowest(self, level: Level, ends: WindowEnds) -> Iterator[Cell]:
        quantiles = f"""
            SELECT {level.columns}last, quantile_cont(one, {P99_MS.quantile}) AS value,
                count(DISTINCT user_id) AS users, count(*) AS events
            FROM ({_listed(level, P99_MS.values)})
            GROUP BY {level.columns}last ORDER BY {level.columns}last"""  # noqa: S608 - our own
        for row in self._rows(quantiles, ends).to_pylist():
            found = Interval(row["value"], math.nan, math.nan, row["users"])
            window = ends.window(row["last"])
            yield Cell.estimate(
                P99_MS.name, window, group_of(level, row), found, row["events"], is_complete=True
            )

    def _rows(self, sql: str, ends: WindowEnds) -> pa.Table:
        return self._connection.sql(sql, params=ends.parameters).to_arrow_table()


def _numbered(rows: pa.Table, keys: list[str]) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Return the number of each row's combination of keys, int64[n], and the combinations by number."""
    encoded = [rows[key].combine_chunks().dictionary_encode() for key in keys]
    number = np.zeros(len(rows), np.int64)
    for one in encoded:
        number = number * max(1, len(one.dictionary)) + one.indices.to_numpy()
    combinations = pa.array(number).dictionary_encode()
    places = np.empty(len(combinations.dictionary), np.int64)
    numbers = combinations.indices.to_numpy().astype(np.int64)
    places[numbers] = np.arange(len(rows))  # any row of each combination
    return numbers, rows.select(keys).take(pa.array(places)).to_pylist()


def _listed(level: Level, values: str) -> str:
    return f"""
        SELECT {level.columns}last, user_id, unnest({values}) AS one FROM ({rows_of_windows("user_days")})
        WHERE {level.where}"""  # noqa: S608 - our own
