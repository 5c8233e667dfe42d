"""A shop's weekly figures for digests: each with an interval of a stated half width."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert

from support.planted_metadata import BERLIN, Row, measurement
from tastemaker.digest.week import ShopWeek
from tastemaker.storage import tables

WEEK = ShopWeek(date(2026, 11, 16), BERLIN)
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
"""Monday after WEEK, 7:00 in Berlin."""
TOO_LITTLE: Row = {"value": None, "low": None, "high": None, "n": 12}


def figure(value: float, half_width: float | None = None, *, n: int = 2_000, **more: Any) -> Row:
    """Return the columns of a figure."""
    ends = (None, None) if half_width is None else (value - half_width, value + half_width)
    return {"value": value, "low": ends[0], "high": ends[1], "n": n, "is_complete": True, **more}


def model_week(model: str, metric: str, now: Row | None, last: Row | None, before: Row | None) -> list[Row]:
    """Return a model's figure of WEEK, of the week before, and of the four weeks before."""
    monday = WEEK.monday
    windows = (
        (monday, 7, now),
        (monday - timedelta(days=7), 7, last),
        (monday - timedelta(days=28), 28, before),
    )
    return [
        measurement(metric, first, days, model=model, version="", **given)
        for first, days, given in windows
        if given is not None
    ]


def shop_week(metric: str, days: int, ago: int, given: Row) -> Row:
    """Return a figure of the whole shop over the days that end with the week so many weeks before WEEK."""
    last = WEEK.monday + timedelta(days=7 - 7 * ago)
    return measurement(metric, last - timedelta(days=days), days, model="", version="", **given)


def write(engine: Engine, *rows: Row) -> None:
    """Store measurements."""
    with engine.begin() as connection:
        connection.execute(insert(tables.measurements), list(rows))


def usual_shop() -> list[Row]:
    """Return a shop of two models, of which one lost clicks, and whose churn is as it was."""
    return [
        *model_week("ials", "ctr_list", figure(0.10, 0.004), figure(0.12, 0.004), figure(0.121, 0.002)),
        *model_week(
            "ials",
            "reward_per_request",
            figure(0.30, 0.02, unit="GBP"),
            figure(0.31, 0.02, unit="GBP"),
            figure(0.305, 0.01, unit="GBP"),
        ),
        *model_week("ease", "ctr_list", figure(0.11, 0.004), figure(0.111, 0.004), figure(0.09, 0.002)),
        *model_week("small", "ctr_list", TOO_LITTLE, figure(0.1, 0.05), None),
        shop_week("wau", 7, 0, figure(5_200, unit="users")),
        shop_week("wau", 7, 1, figure(5_100, unit="users")),
        shop_week("churn_28", 28, 0, figure(0.2, 0.01)),
        shop_week("churn_28", 28, 1, figure(0.205, 0.01)),
        shop_week("retention_days_1_7", 7, 1, figure(0.3, 0.02)),
        shop_week("retention_days_1_7", 7, 2, figure(0.36, 0.02)),
    ]
