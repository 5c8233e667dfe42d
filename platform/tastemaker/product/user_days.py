"""What each user was shown on a day, by model, version and variant, and what came of it: `user_days`.

A day depends on its requests, on later requests and events until its attribution windows are over, and on
feedback of that time whenever it arrived. Days are computed in blocks of consecutive ones, each with the log
of the windows after it, so that memory does not grow with the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from tastemaker.data.lake import LOG_SCHEMAS, Lake
from tastemaker.data.lake_files import literal, open_duckdb, quoted
from tastemaker.data.tables import EVENTS, ITEMS
from tastemaker.event_log.log_join import CLOCK_SKEW_SECONDS, join_log, window_seconds
from tastemaker.problem import ProblemSpec
from tastemaker.product.catalogue_metrics import NEW_ITEM_DAYS
from tastemaker.product.day_files import (
    ITEM_DAYS,
    USER_DAYS,
    Files,
    dated_files,
    days_with_gaps,
    digest_of,
    state_of,
    view,
    write_days,
)
from tastemaker.product.engagement_metrics import POSITIONS
from tastemaker.product.shop_days import ONE_DAY, ShopDays, utc_days_between

BLOCK_LISTS = 100_000
"""About so many lists are attributed at once."""
_SKEW = timedelta(seconds=CLOCK_SKEW_SECONDS)
_FORMAT = "1"
"""Rises when the columns or their meaning change: then every day is computed again."""

_LOGGED = """
    CREATE TEMP TABLE logged AS
    SELECT request_id, occurred_at, user_id, NULL::VARCHAR AS context, model, version, fallback, stage,
        CASE WHEN NOT is_forced THEN experiment END AS experiment, epoch,
        CASE WHEN NOT is_forced THEN variant END AS variant, variant_probability, item_ids, latency_ms,
        NULL::VARCHAR AS variant_served, NULL::VARCHAR AS plan_digest, NULL::VARCHAR AS unit,
        []::VARCHAR[] AS teams, []::FLOAT[] AS scores, []::FLOAT[] AS propensities
    FROM (SELECT *, plan_digest IS NOT NULL AND variant_probability IS NULL AS is_forced FROM requests)
    WHERE occurred_at >= $start AND occurred_at < $until
    QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
"""
"""A person who forces a variant to look at it is not one of its users."""
_REPORTED = """
    CREATE TEMP TABLE reported AS
    WITH recent AS (
        SELECT * FROM feedback WHERE received_at >= $start
        QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY received_at) = 1
    )
    SELECT * FROM recent
    ANTI JOIN (SELECT event_id FROM feedback WHERE received_at < $start) AS earlier USING (event_id)
    WHERE least(occurred_at, received_at) < $until
"""
_LISTS = """
    CREATE TEMP TABLE lists AS
    WITH items AS (
        SELECT request_id, position, bool_or(flat + by_value > 0) AS is_rewarded,
            min(delay) FILTER (flat + by_value > 0) AS delay, sum(reward) AS reward
        FROM earning GROUP BY request_id, position
    ),
    rewarded AS (
        SELECT request_id, count(*) FILTER (is_rewarded) AS rewarded, sum(reward) AS reward,
            min(delay) AS delay, list(position + 1) FILTER (is_rewarded) AS positions
        FROM items GROUP BY request_id
    ),
    typed AS (SELECT request_id, {typed} FROM earning GROUP BY request_id)
    SELECT day, occurred_at, user_id, model, version, coalesce(experiment, '') AS experiment,
        coalesce(variant, '') AS variant, fallback, stage, latency_ms, item_ids, len(item_ids) AS impressions,
        epoch_us(occurred_at) / 1e6 <= $closed AS is_closed, coalesce(rewarded, 0) AS rewarded,
        coalesce(reward, 0) AS reward, delay / 3600 AS hours, positions, typed.* EXCLUDE (request_id)
    FROM (SELECT * FROM logged WHERE occurred_at < $end) AS logged
    ASOF JOIN days ON logged.occurred_at >= days.starts_at
    LEFT JOIN rewarded USING (request_id) LEFT JOIN typed USING (request_id)
"""
_WITHOUT_BOTS = """
    DELETE FROM lists WHERE (day, user_id) IN (
        SELECT (day, user_id) FROM lists GROUP BY day, user_id HAVING count(*) > $most
    )
"""
_USER_DAYS = """
    SELECT day, user_id, model, version, experiment, variant, count(*) AS lists,
        1 / count(*) OVER (PARTITION BY day, user_id) AS days,
        sum(impressions)::BIGINT AS impressions,
        count(*) FILTER (fallback IS NULL AND coalesce(stage, 'model') = 'model') AS model_lists,
        count(*) FILTER (fallback IS NOT NULL) AS fallback_lists,
        count(*) FILTER (impressions = 0) AS empty_lists,
        count(*) FILTER (is_closed) AS closed_lists,
        coalesce(sum(impressions) FILTER (is_closed), 0)::BIGINT AS closed_impressions,
        coalesce(sum(rewarded) FILTER (is_closed), 0)::BIGINT AS rewarded_impressions,
        count(*) FILTER (is_closed AND rewarded > 0) AS rewarded_lists,
        coalesce(sum(reward) FILTER (is_closed), 0) AS reward,
        {columns},
        list(hours) FILTER (is_closed AND hours IS NOT NULL) AS hours_to_reward,
        list(latency_ms) FILTER (latency_ms IS NOT NULL) AS latencies_ms
    FROM lists GROUP BY day, user_id, model, version, experiment, variant
    ORDER BY day, user_id, model, version, experiment, variant
"""
_ITEM_DAYS = """
    SELECT day, model, version, item_id, any_value(category) AS category,
        any_value(first_seen_at) AS first_seen_at, count(*) AS impressions,
        count(*) FILTER (occurred_at < first_seen_at + to_days($new)) AS new_impressions
    FROM (SELECT day, model, version, occurred_at, unnest(item_ids) AS item_id FROM lists)
    LEFT JOIN items USING (item_id)
    GROUP BY day, model, version, item_id ORDER BY day, model, version, item_id
"""
_OCCURRED = """
    SELECT filename, list(DISTINCT least(occurred_at, received_at)::DATE) FROM
    read_parquet($files, filename = true, union_by_name = true, hive_partitioning = false) GROUP BY filename
"""


@dataclass(frozen=True)
class LogDays:
    """The days of the log of a lake."""

    lake: Lake
    problem: ProblemSpec
    days: ShopDays
    closed: float
    """Seconds since 1970 UTC: the attribution windows of earlier lists are over; -inf if none is."""
    most_lists: int | None
    """A user with more lists on a day is a bot; None: none is."""

    @cached_property
    def _requests(self) -> Files:
        return dated_files(self.lake, "requests")

    @cached_property
    def _events(self) -> Files:
        return dated_files(self.lake, "events")

    @cached_property
    def _feedback(self) -> Files:
        """Files of feedback by the days on which its events occurred."""
        files = self.lake.files("feedback")
        if not files:
            return {}
        with open_duckdb() as connection:
            found = connection.execute(_OCCURRED, {"files": list(map(literal, files))}).fetchall()
        by_day = defaultdict(list)
        for name, occurred in found:
            for day in occurred:
                by_day[day].append(Path(name))
        return by_day

    @cached_property
    def _window(self) -> timedelta:
        return timedelta(seconds=window_seconds(self.problem))

    def digests(self) -> dict[date, str]:
        """Return what each day of the log depends on, as a digest."""
        shared = [_FORMAT, self.days.timezone, str(self.most_lists), repr(self.problem.objectives)]
        days = days_with_gaps(self._requests, self.days)
        return {day: digest_of([*shared, *self._causes(day)]) for day in days}

    def _causes(self, day: date) -> Iterator[str]:
        start, end = self.days.start(day), self.days.end(day)
        yield str(min(max(self.closed, start.timestamp()), end.timestamp()))
        for table in (self._requests, self._events, self._feedback):
            for utc_day in utc_days_between(start - _SKEW, end + self._window):
                yield from sorted(map(state_of, table.get(utc_day, ())))

    def compute(self, root: Lake, wanted: Mapping[date, str]) -> Iterator[int]:
        """Write these days, and yield how many are written after each block.

        Args:
            root: The folder of product metrics.
            wanted: Day -> digest.
        """
        done = 0
        for block in self._blocks(sorted(wanted)):
            with open_duckdb() as connection:
                self._attribute(connection, block[0], block[-1])
                some = {day: wanted[day] for day in block}
                columns = ", ".join(_columns(self.event_types))
                rows = connection.sql(_USER_DAYS.format(columns=columns)).to_arrow_table()
                write_days(root, USER_DAYS, rows, some)
                shown = connection.sql(_ITEM_DAYS, params={"new": NEW_ITEM_DAYS}).to_arrow_table()
                write_days(root, ITEM_DAYS, shown, some)
            done += len(block)
            yield done

    @cached_property
    def event_types(self) -> list[str]:
        """The types of events that earn a reward."""
        return sorted({name for objective in self.problem.objectives for name in objective.events})

    def _blocks(self, days: Sequence[date]) -> Iterator[list[date]]:
        """Yield consecutive days with about BLOCK_LISTS lists together."""
        block: list[date] = []
        lists = 0
        for day in days:
            here = sum(
                pq.read_metadata(path).num_rows
                for utc_day in utc_days_between(self.days.start(day), self.days.end(day))
                for path in self._requests.get(utc_day, ())
            )
            if block and (day - block[-1] > ONE_DAY or lists + here > BLOCK_LISTS):
                yield block
                block, lists = [], 0
            block.append(day)
            lists += here
        if block:
            yield block

    def _attribute(self, connection: duckdb.DuckDBPyConnection, first: date, last: date) -> None:
        """Create the table `lists` of the days from `first` to `last`."""
        start, end = self.days.start(first), self.days.end(last)
        until = end + self._window
        view(
            connection,
            self.lake,
            "requests",
            LOG_SCHEMAS["requests"],
            self._between(self._requests, start, until),
        )
        view(connection, self.lake, "events", EVENTS, self._between(self._events, start - _SKEW, until))
        view(connection, self.lake, "feedback", LOG_SCHEMAS["feedback"], self.lake.files("feedback"))
        view(connection, self.lake, "items", ITEMS, self.lake.files("items"))
        connection.register("days", self.days.table(first, last))
        connection.execute(_LOGGED, {"start": start, "until": until})
        connection.execute(_REPORTED, {"start": start - _SKEW, "until": until})
        join_log(connection, self.problem, until=until.timestamp())
        typed = ", ".join(
            f"count(DISTINCT event_id) FILTER (event_type = $type_{n}) AS {quoted(f'events_{name}')}"
            for n, name in enumerate(self.event_types)
        )
        types = {f"type_{n}": name for n, name in enumerate(self.event_types)}
        connection.execute(_LISTS.format(typed=typed), {"closed": self.closed, "end": end, **types})
        if self.most_lists is not None:
            connection.execute(_WITHOUT_BOTS, {"most": self.most_lists})

    def _between(self, files: Files, start: datetime, end: datetime) -> list[Path]:
        return [path for day in utc_days_between(start, end) for path in files.get(day, ())]


def _columns(event_types: Sequence[str]) -> Iterator[str]:
    """Yield the SQL of the columns per event type and position."""
    for name in event_types:
        column = quoted(f"events_{name}")
        yield f"coalesce(sum({column}) FILTER (is_closed), 0)::BIGINT AS {column}"
    for place in range(1, POSITIONS + 1):
        yield f"count(*) FILTER (is_closed AND impressions >= {place}) AS position_{place}_shown"
        yield (
            f"count(*) FILTER (is_closed AND list_contains(positions, {place})) AS position_{place}_rewarded"
        )
