"""Figures of engagement over windows, from `user_days`, by the SQL of their definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from tastemaker.product.cell import LEVELS, Cell, Group, Level, WindowEnds, group_of, rows_of_windows
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
from tastemaker.stats.ratios import SQL, RatioSums, ratio_interval
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
            for row in self._rows(self._sums[level], ends).to_pylist():
                yield from self._counts_and_ratios(row, group_of(level, row), ends, closed_until)
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
    def _sums(self) -> dict[Level, str]:
        """The SQL of the sums of all counts and ratios, by level."""
        totals: dict[str, str] = {}  # SQL of a user's sum -> its column
        for sql in [
            *(one.over for one in COUNTS),
            *(sql for _, one in self._ratios for sql in (one.over, one.under, one.events)),
        ]:
            totals.setdefault(sql, f"total_{len(totals)}")
        sums = [f"sum({totals[one.over]}) AS {one.name}" for one in COUNTS]
        for n, (_, one) in enumerate(self._ratios):
            x, y = totals[one.over], totals[one.under]
            sums += [f"{sql.format(x=x, y=y)} AS ratio_{n}_{name}" for name, sql in SQL.items()]
            sums.append(f"sum({totals[one.events]}) AS ratio_{n}_events")
        columns = ", ".join(f"({sql})::DOUBLE AS {name}" for sql, name in totals.items())
        return {
            level: f"""
                SELECT {level.columns}last, {", ".join(sums)}
                FROM (
                    SELECT {level.columns}last, {columns} FROM ({rows_of_windows("user_days")})
                    WHERE {level.where} GROUP BY {level.columns}last, user_id
                ) GROUP BY {level.columns}last ORDER BY {level.columns}last"""  # noqa: S608 - our own
            for level in LEVELS
        }

    def _counts_and_ratios(
        self, row: Mapping[str, Any], group: Group, ends: WindowEnds, closed_until: date
    ) -> Iterator[Cell]:
        window, users = ends.window(row["last"]), int(row["users"])
        for count in COUNTS:
            yield Cell(count.name, window, group, row[count.name], None, None, users, is_complete=True)
        for n, (slice_, one) in enumerate(self._ratios):
            sums = RatioSums(*(row[f"ratio_{n}_{name}"] for name in RatioSums._fields))
            if not sums.users:
                continue  # such as a position that no list had
            found = ratio_interval(sums)
            value, low, high = (one.scale * end for end in found)
            is_complete = one.name not in REWARDED or window.last <= closed_until
            events = row[f"ratio_{n}_events"]
            yield Cell.estimate(
                one.name,
                window,
                group,
                Interval(value, low, high, found.users),
                events,
                is_complete=is_complete,
                slice=slice_,
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


def _listed(level: Level, values: str) -> str:
    return f"""
        SELECT {level.columns}last, user_id, unnest({values}) AS one FROM ({rows_of_windows("user_days")})
        WHERE {level.where}"""  # noqa: S608 - our own
