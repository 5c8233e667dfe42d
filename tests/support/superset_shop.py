"""A shop of 56 days that ends yesterday, whose figures are smooth enough to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from math import sin
from typing import Any

from sqlalchemy import Engine, insert

from support import planted_metadata
from support.planted_metadata import Row, measurement
from tastemaker.storage import tables

DAYS = 56
WHOLE_SHOP = {"model": "", "version": ""}
VERSIONS = (("ease", "20261001-0310", 0, 0.041), ("ials", "20261022-0307", 21, 0.047))
"""Model, version, the first day of its service, and its click-through rate."""


def plant(engine: Engine, today: date) -> None:
    """Write the shop, and the versions, incidents and reports of `planted_metadata`."""
    with engine.begin() as connection:
        connection.execute(insert(tables.measurements), list(_rows(today - timedelta(days=DAYS))))
        for table, rows in planted_metadata.other_rows():
            for row in rows:
                connection.execute(insert(table).values(row))


def _rows(first: date) -> Iterator[Row]:
    for number in range(DAYS):
        day, wave = first + timedelta(days=number), sin(number / 4)
        for model, version, begins, rate in VERSIONS:
            if number >= begins:
                yield from _served(day, wave, rate, model=model, version=version)
        yield from _growth(day, number, wave)
    for cohort in range(7):
        start = first + timedelta(days=7 * cohort)
        for week in range(7 - cohort):
            share = 1.0 if week == 0 else 0.4 / week**0.5 + 0.004 * cohort
            yield _figure("retention_week", start, share, 0.02, days=7, slice=f"week={week}", **WHOLE_SHOP)


def _served(day: date, wave: float, rate: float, **of: Any) -> Iterator[Row]:
    users = round(2_000 + 200 * wave)
    for metric, value, margin in (
        ("users", users, None),
        ("requests", 3 * users, None),
        ("impressions", 30 * users, None),
        ("ctr_impression", rate + 0.002 * wave, 0.001),
        ("reward_per_request", 6 * rate + 0.01 * wave, 0.012),
        ("fallback_share", 0.011 + 0.004 * wave, None),
    ):
        yield _figure(metric, day, value, margin, **of)


def _growth(day: date, number: int, wave: float) -> Iterator[Row]:
    monthly = 9_000 + 40 * number
    new, back = 1_500 + 10 * number, 700
    for days, metric, value, margin in (
        (1, "dau", round(1_900 + 12 * number + 150 * wave), None),
        (7, "wau", 5_200 + 25 * number, None),
        (28, "mau", monthly, None),
        (28, "new_users_28", new, None),
        (28, "resurrected_users_28", back, None),
        (28, "retained_users_28", monthly - new - back, None),
        (28, "churn_28", 0.21 - 0.0004 * number, 0.008),
    ):
        start = day - timedelta(days=days - 1)
        yield _figure(metric, start, value, margin, days=days, **WHOLE_SHOP)


def _figure(metric: str, first: date, value: float, margin: float | None, days: int = 1, **of: Any) -> Row:
    ends = (None, None) if margin is None else (value - margin, value + margin)
    figures = {"value": value, "low": ends[0], "high": ends[1], "n": 2_000, "is_complete": True}
    return measurement(metric, first, days, **of, **figures)
