"""Rows of a version's newest traffic, in the columns of its drift reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.monitoring import drift_rows
from tastemaker.monitoring.drift_rows import DAY
from tastemaker.monitoring.drift_sides import Side

if TYPE_CHECKING:
    from tastemaker.monitoring.drift_reference import DriftReference

MAX_DAYS = 4
"""The most days of a window: it grows from one day until it has enough requests."""
WEEK_DAYS = 7
HOUR = "hour_of_day"


@dataclass(frozen=True)
class CurrentTraffic:
    """The newest traffic of a version."""

    sides: dict[Side, pa.Table]
    """Side -> its rows; a side with too few requests or events is absent."""
    week: pa.Table | None
    """Rows of `users` of the newest seven whole days; None if there are not so many."""
    first_lists: pa.Table | None
    """Rows of `lists` of the version's first seven whole days; None unless the window lies after them."""
    requests: int
    """Number of requests in the window."""
    days: tuple[date, ...]
    """The days of the window, the newest whole ones; today only if there is no other."""
    all_requests: int
    """Number of requests that the version has answered."""


def current_traffic(
    lake: Lake,
    version: str,
    reference: DriftReference,
    *,
    user_columns: Sequence[str],
    min_requests: int,
    now: datetime,
) -> CurrentTraffic:
    """Return the newest traffic of a version.

    Args:
        lake: The lake with the events and the request log.
        version: The version's id.
        reference: Its reference, whose columns are read.
        user_columns: The shop's own columns of users that are compared.
        min_requests: A window has so many requests or events, or it is not compared.
        now: The time: its day is not complete.
    """
    learned = max(reference.sides["users"][DAY].to_pylist(), default=date.min)
    sides: dict[Side, pa.Table] = {}
    with lake.connect() as connection:
        drift_rows.choose_requests(connection, lake.days("requests"), version=version)
        counted = drift_rows.request_days(connection)
        days = _newest(counted, min_requests, now.date())
        week = _week(counted, now.date())
        events = {
            day: n for day, n in drift_rows.event_days(connection).items() if learned < day < now.date()
        }
        event_days = _newest(events, min_requests, now.date())
        if days or week or event_days:
            drift_rows.prepare(connection, [*days, *week, *event_days])
        weekly = first_lists = None
        if week:
            drift_rows.choose_requests(connection, week, version=version)
            weekly = drift_rows.users_of_requests(connection, user_columns)
        if days:
            drift_rows.choose_requests(connection, days, version=version)
            sides["users"] = drift_rows.users_of_requests(connection, user_columns)
            if "features" in reference.sides:
                names = reference.sides["features"].column_names[1:]
                sides["features"] = drift_rows.features_of_requests(connection, names)
            lists = drift_rows.lists_of_requests(connection)
            sides["lists"] = drift_rows.described_items(connection, lists, reference.popularity)
            first = sorted(counted)[:WEEK_DAYS]
            if first[-1] < days[0] and len(first) == WEEK_DAYS:
                drift_rows.choose_requests(connection, first, version=version)
                first_lists = drift_rows.lists_of_requests(connection)
        if event_days:
            sides["choices"] = drift_rows.choices(connection, drift_rows.events_of(connection, event_days))
    return CurrentTraffic(
        {side: rows for side, rows in sides.items() if len(rows)},
        weekly,
        first_lists,
        sum(counted[day] for day in days),
        tuple(days),
        sum(counted.values()),
    )


def _newest(counted: Mapping[date, int], wanted: int, today: date) -> list[date]:
    """Return the newest whole days that have `wanted` rows together; none if MAX_DAYS days have fewer.

    Today counts only if there is no whole day.
    """
    whole = sorted(day for day in counted if day < today) or sorted(counted)
    for length in range(1, MAX_DAYS + 1):
        days = whole[-length:]
        if sum(counted[day] for day in days) >= wanted:
            return days
    return []


def _week(counted: Mapping[date, int], today: date) -> list[date]:
    """Return the newest seven whole days, if they follow each other."""
    days = sorted(day for day in counted if day < today)[-WEEK_DAYS:]
    complete = len(days) == WEEK_DAYS and days[-1] - days[0] == timedelta(days=WEEK_DAYS - 1)
    return days if complete else []
