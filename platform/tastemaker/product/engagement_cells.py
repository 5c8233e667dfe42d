"""Figures of engagement over windows, from `user_days`, by the SQL of their definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from tastemaker.product.cell import Cell, Group, Level, WindowEnds
from tastemaker.product.day_files import USER_DAYS
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
from tastemaker.product.groups import create_groups
from tastemaker.product.shop_days import ONE_DAY
from tastemaker.product.spans import BY_SPAN, ROWS_IN_WINDOWS, ROWS_OF_SPANS, Spans, create_spans
from tastemaker.stats.bootstrap import Float64, Interval
from tastemaker.stats.ratios import ratio_intervals
from tastemaker.stats.shares import median_interval

REWARDED = frozenset(
    {"ctr_impression", "ctr_list", "reward_per_request", REWARDED_EVENTS.name, CTR_BY_POSITION.name}
)
"""Rates of rewards: complete when the attribution windows of their last day are over."""

_TIMED = f"coalesce(sum(len({P99_MS.values})), 0)"
"""SQL: a user's number of requests whose milliseconds are known."""
_OWN_MEDIANS = f"""
    SELECT {BY_SPAN}, median(one) AS own, count(*)::DOUBLE AS events
    FROM (SELECT {BY_SPAN}, unnest({HOURS_TO_FIRST_CLICK.values}) AS one FROM ({ROWS_OF_SPANS}))
    GROUP BY {BY_SPAN}"""  # noqa: S608 - our own
_MILLISECONDS = f"""
    SELECT group_number, day, unnest({P99_MS.values})::DOUBLE AS one FROM ({ROWS_IN_WINDOWS})
    ORDER BY group_number, day"""  # noqa: S608 - our own


class EngagementCells:
    """The figures of one shop, whose table `user_days` a connection has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, event_types: Sequence[str]) -> None:
        """Use a connection.

        Args:
            connection: Has the table `user_days`.
            event_types: The types of events that earn a reward.
        """
        self._connection, self._event_types = connection, event_types

    def of(self, level: Level, windows: Sequence[WindowEnds], *, closed_until: date) -> Iterator[Cell]:
        """Yield the figures of the groups of a level.

        Args:
            level: The columns by whose values figures are computed.
            windows: The windows, in runs of consecutive ones.
            closed_until: The last day by whose end the attribution windows of all lists are over.
        """
        groups = create_groups(self._connection, USER_DAYS, level)
        for ends in windows:
            create_spans(self._connection, ends)
            users = self._users(groups, ends)
            yield from users.counts()
            for slice_, one in self._ratios:
                yield from users.ratios(one, slice_, closed_until)
            yield from self._hours(groups, ends, closed_until)
            yield from self._slowest(users, ends)

    def _users(self, groups: list[Group], ends: WindowEnds) -> UserTotals:
        columns = ", ".join(f"({sql})::DOUBLE AS {name}" for sql, name in self._totals.items())
        sql = f"SELECT {BY_SPAN}, {columns} FROM ({ROWS_OF_SPANS}) GROUP BY {BY_SPAN}"  # noqa: S608 - our own
        rows = self._rows(sql, ends)
        totals = {sql: rows[name].to_numpy() for sql, name in self._totals.items()}
        return UserTotals(Spans.of(rows, groups, ends), totals)

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
        wanted = [*(one.over for one in COUNTS), *ratios, _TIMED]
        return {sql: f"total_{n}" for n, sql in enumerate(dict.fromkeys(wanted))}

    def _hours(self, groups: list[Group], ends: WindowEnds, closed_until: date) -> Iterator[Cell]:
        rows = self._rows(_OWN_MEDIANS, ends)
        spans = Spans.of(rows, groups, ends)
        events = spans.sums(rows["events"].to_numpy())
        for number, place, own in spans.users(rows["own"].to_numpy()):
            window, found = spans.windows[place], median_interval(own)
            yield Cell.estimate(
                HOURS_TO_FIRST_CLICK.name, window, groups[number], found, events[number, place],
                is_complete=window.last <= closed_until,
            )  # fmt: skip

    def _slowest(self, users: UserTotals, ends: WindowEnds) -> Iterator[Cell]:
        rows = self._rows(_MILLISECONDS, ends)
        numbers, days, values = (rows[name].to_numpy() for name in ("group_number", "day", "one"))
        timed = users.totals[_TIMED]
        requests, answered = users.spans.sums(timed), users.spans.sums((timed > 0).astype(np.float64))
        for number, place in np.argwhere(requests).tolist():
            window = users.spans.windows[place]
            mine = slice(*numbers.searchsorted([number, number + 1]))
            span = days[mine].searchsorted(np.array([window.first, window.last + ONE_DAY], "datetime64[D]"))
            value = float(np.quantile(values[mine][slice(*span)], P99_MS.quantile))
            found = Interval(value, math.nan, math.nan, int(answered[number, place]))
            yield Cell.estimate(
                P99_MS.name,
                window,
                users.spans.groups[number],
                found,
                requests[number, place],
                is_complete=True,
            )

    def _rows(self, sql: str, ends: WindowEnds) -> pa.Table:
        return self._connection.sql(sql, params=ends.parameters).to_arrow_table()


class UserTotals(NamedTuple):
    """Totals of users in spans."""

    spans: Spans
    totals: Mapping[str, Float64]
    """SQL of a user's sum -> float64[n]."""

    def counts(self) -> Iterator[Cell]:
        """Yield the sums over users, which have no interval."""
        users = self.spans.sums(np.ones(len(self.spans.group)))
        for metric in COUNTS:
            total = self.spans.sums(self.totals[metric.over])
            for number, place in np.argwhere(users).tolist():
                value, n = float(total[number, place]), int(users[number, place])
                window, group = self.spans.windows[place], self.spans.groups[number]
                yield Cell(metric.name, window, group, value, None, None, n, is_complete=True)

    def ratios(self, metric: RatioMetric, slice_: str, closed_until: date) -> Iterator[Cell]:
        """Yield the ratios of two sums over users, for each window and group in which any user counts.

        Args:
            metric: The ratio; `totals` has the user's sums that it names.
            slice_: The slice that the cells get, such as position=1; empty: none.
            closed_until: The last day by whose end the attribution windows of all lists are over. Metrics
                that depend on rewards are not complete in windows that end later.
        """
        over, under = self.totals[metric.over], self.totals[metric.under]
        events = self.spans.sums(self.totals[metric.events])
        for some in self.spans.equal_users(over, under):
            shape = len(self.spans.groups), some.windows
            found = ratio_intervals(some.cell, math.prod(shape), over[some.row], under[some.row], some.users)
            for (number, place), ratio in zip(np.ndindex(shape), found, strict=True):
                if not ratio.users:
                    continue  # such as a position that no list had
                window = self.spans.windows[some.first + place]
                value, low, high = (metric.scale * end for end in ratio)
                yield Cell.estimate(
                    metric.name, window, self.spans.groups[number], Interval(value, low, high, ratio.users),
                    events[number, some.first + place], slice=slice_,
                    is_complete=metric.name not in REWARDED or window.last <= closed_until,
                )  # fmt: skip
