"""All figures of the windows and cohorts of a plan, from the computed days, by DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Self

import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import literal, open_duckdb
from tastemaker.data.tables import ITEMS
from tastemaker.product.activity import SESSION
from tastemaker.product.catalogue_cells import CatalogueCells
from tastemaker.product.cell import LEVELS, TRAILING_DAYS, Cell, Group, Level, MetricWindow, WindowEnds
from tastemaker.product.day_files import ACTIVITY, ITEM_DAYS, USER_DAYS, view
from tastemaker.product.engagement_cells import EngagementCells
from tastemaker.product.growth_cells import GrowthCells
from tastemaker.product.growth_metrics import AROUND_DAYS
from tastemaker.product.plan import MeasurementPlan, Span, consecutive, growth_start
from tastemaker.product.retention_cells import COHORT_DAYS, RetentionCells
from tastemaker.product.shop_days import DAYS, ONE_DAY, ShopDays, days_between

Progress = Callable[[str, int, int], None]
"""Called with what is computed, how much of it is done, and how much there is."""

BLOCK_ROWS = 1_000_000
"""About so many rows of windows are in memory."""
SPANS_PER_ROW = 2
"""A user's totals change when a row enters the windows, and when it leaves them."""

_PEOPLE = """
    CREATE TEMP TABLE people AS
    SELECT name, (row_number() OVER ())::INTEGER AS user_id
    FROM (SELECT user_id AS name FROM user_files UNION SELECT user_id FROM activity_files)
"""
"""Users are numbered: numbers are grouped twice as fast as texts."""
_USER_DAYS = """
    CREATE TEMP TABLE user_days AS
    SELECT people.user_id, files.* EXCLUDE (user_id)
    FROM user_files AS files JOIN people ON files.user_id = name WHERE day BETWEEN $first AND $last
    ORDER BY people.user_id, day
"""
"""In this order, the rows of a user are found next to each other."""
_ACTIVITY = """
    CREATE TEMP TABLE activity AS
    SELECT people.user_id, day FROM activity_files AS files JOIN people ON files.user_id = name
    WHERE day <= $last
"""
_SHOWN = """
    CREATE TEMP TABLE shown AS
    SELECT item_id AS name, (row_number() OVER () - 1)::INTEGER AS item_id
    FROM (SELECT DISTINCT item_id FROM item_files WHERE day BETWEEN $first AND $last)
"""
_ITEM_DAYS = """
    CREATE TEMP TABLE item_days AS
    SELECT shown.item_id, files.* EXCLUDE (item_id)
    FROM item_files AS files JOIN shown ON files.item_id = name WHERE day BETWEEN $first AND $last
"""
_FIRSTS = "CREATE TEMP TABLE firsts AS SELECT user_id, min(day) AS first_day FROM activity GROUP BY user_id"
_FIRST_LISTS = """
    CREATE TEMP TABLE first_lists AS
    SELECT model, version, experiment, variant, people.user_id, min(day) AS first_day
    FROM user_files JOIN people ON user_files.user_id = name
    WHERE NOT starts_with(name, $session) GROUP BY ALL
"""
_STARTS = "SELECT {keys}user_id, min(first_day) AS first_day FROM first_lists GROUP BY ALL"
_ENDS = """
    CREATE TEMP TABLE ends AS
    SELECT day AS last, starts_at AS ends_at, count(item_id) AS items
    FROM midnights LEFT JOIN items ON first_seen_at < starts_at GROUP BY day, starts_at
"""


def quiet(_what: str, _done: int, _total: int) -> None:
    """Report no progress: the `Progress` of callers that show none.

    Args:
        _what: What is computed, such as `log days`.
        _done: How much of it is done.
        _total: How much of it there is.
    """


class WindowCells:
    """DuckDB with the computed days of a shop. A context manager."""

    def __init__(self, lake: Lake, root: Lake, days: ShopDays, event_types: list[str]) -> None:
        """Open it.

        Args:
            lake: Has the catalogue.
            root: Has the computed days.
            days: Says when a day of the shop ends, and on which day a time is.
            event_types: The types of events that earn a reward.
        """
        self._lake, self._root, self._days = lake, root, days
        self._connection = open_duckdb()
        self._event_types = event_types

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def of(
        self,
        plan: MeasurementPlan,
        log: Span | None,
        activity: Span | None,
        closed: datetime | None,
        progress: Progress,
    ) -> Iterator[Cell]:
        """Yield the figures of all windows that must be computed.

        Args:
            plan: Names the windows.
            log: The days of requests; None: there are none.
            activity: The days of events; None: there are none.
            closed: The attribution windows of lists until then are over; None: of none.
            progress: Called after each block of windows.
        """
        self._load(plan, log, activity)
        if log is not None:
            yield from self._of_lists(plan, closed, progress)
        if activity is not None:
            yield from self._of_users(plan, growth_start(activity), progress)
            yield from self._of_cohorts(plan, log, activity, progress)

    def _load(self, plan: MeasurementPlan, log: Span | None, activity: Span | None) -> None:
        """Create the tables that the definitions' SQL reads."""
        for table, name in (
            (USER_DAYS, "user_files"),
            (ACTIVITY, "activity_files"),
            (ITEM_DAYS, "item_files"),
        ):
            files = list(map(literal, self._root.files(table)))
            if files:
                rows = self._connection.read_parquet(files, hive_partitioning=False, union_by_name=True)
                rows.create_view(name)
            else:
                self._connection.execute(
                    f"CREATE VIEW {name} AS SELECT NULL::DATE AS day, '' AS user_id LIMIT 0"
                )
        self._connection.execute(_PEOPLE)
        ends = {days: plan.trailing(days) for days in TRAILING_DAYS}
        starts = [MetricWindow.ending(found[0], days).first for days, found in ends.items() if found]
        if log is not None and starts:
            span = {"first": min(starts), "last": log.until}
            self._connection.execute(_USER_DAYS, span)
            self._connection.execute(_SHOWN, span)
            self._connection.execute(_ITEM_DAYS, span)
            view(self._connection, self._lake, "items", ITEMS, self._lake.files("items"))
            # A day ends at the next one's midnight.
            midnights = [(day, self._days.end(day)) for day in days_between(min(starts), log.until)]
            columns = [list(column) for column in zip(*midnights, strict=True)]
            self._connection.register("midnights", pa.table(columns, schema=DAYS))
            self._connection.execute(_ENDS)
        until = date.min if activity is None else activity.until
        self._connection.execute(_ACTIVITY, {"last": until})
        self._connection.execute(_FIRSTS)

    def _of_lists(self, plan: MeasurementPlan, closed: datetime | None, progress: Progress) -> Iterator[Cell]:
        closed_until = date.min if closed is None else self._days.of(closed) - ONE_DAY
        windows = [
            WindowEnds(first, last, days)
            for days in TRAILING_DAYS
            for _, (first, last) in self._blocks(plan.trailing(days), USER_DAYS, SPANS_PER_ROW)
        ]
        if not windows:
            return
        engagement = EngagementCells(self._connection, self._event_types)
        users: dict[tuple[MetricWindow, Group], int] = {}
        for number, level in enumerate(LEVELS, 1):
            for cell in engagement.of(level, windows, closed_until=closed_until):
                if cell.metric == "users":
                    users[cell.window, cell.group] = cell.n
                yield cell
            progress("lists", number, len(LEVELS))
        yield from CatalogueCells(self._connection).of(windows, users)
        progress("catalogue", 1, 1)

    def _of_users(self, plan: MeasurementPlan, first_day: date, progress: Progress) -> Iterator[Cell]:
        growth = GrowthCells(self._connection, first_day)
        ends = plan.growth()
        for done, (first, last) in self._blocks(ends, ACTIVITY, AROUND_DAYS):
            yield from growth.of(first, last)
            progress("active users", done, len(ends))

    def _blocks(self, ends: list[date], table: str, times: int) -> Iterator[tuple[int, tuple[date, date]]]:
        """Yield runs of windows of about BLOCK_ROWS rows together, with the number of windows until then.

        Args:
            ends: The last days of the windows.
            table: Has the rows.
            times: How many rows a window more adds, in rows of a day.
        """
        rows = self._connection.table(table).aggregate("count(*), count(DISTINCT day)") if ends else None
        size, known_days = (0, 0) if rows is None else rows.fetchall()[0]
        per_day = max(1, size) / max(1, known_days)
        done = 0
        for first, last in consecutive(ends, max(1, int(BLOCK_ROWS / (per_day * times)))):
            done += (last - first).days + 1
            yield done, (first, last)

    def _of_cohorts(
        self, plan: MeasurementPlan, log: Span | None, activity: Span, progress: Progress
    ) -> Iterator[Cell]:
        mondays = plan.cohorts()
        if mondays is None:
            return
        retention = RetentionCells(self._connection)
        first, last = mondays[0], mondays[1] + timedelta(days=COHORT_DAYS - 1)
        yield from retention.of(
            "SELECT * FROM firsts", Level(()), max(first, plan.first_shop_cohort), last, activity.until
        )
        progress("cohorts", 1, 2)
        if log is not None:
            self._connection.execute(_FIRST_LISTS, {"session": SESSION})
            first = max(first, plan.first_version_cohort)
            for level in LEVELS[2:]:
                starts = _STARTS.format(keys=level.columns)
                yield from retention.of(starts, level, first, last, activity.until)
        progress("cohorts", 2, 2)
