"""Measurements as a shop has them: engagement, retention, growth and catalogue, with known figures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from support.dashboard_homes import DAY, measurement, midnight
from tastemaker.product.retention_metrics import WEEKS
from tastemaker.stats.shares import wilson

PERIODS = (7, 28, 90)
UNITS = {
    "ctr_list": ("share", 0.112),
    "ctr_impression": ("share", 0.0213),
    "reward_per_request": ("reward", 0.37),
    "hours_to_first_click": ("hours", 3.2),
    "lists_per_user_day": ("lists", 2.4),
}
EVENTS = {"click": 80.0, "cart": 21.0, "purchase": 9.5}
CATALOGUE = {"catalogue_coverage": 0.62, "top_1_percent_share": 0.21, "new_item_share": 0.04}
CATEGORIES = {"shoes": 0.35, "books": 0.29, "garden": 0.17}
ACTIVE, RETAINED, RESURRECTED, LOST = 760, 500, 60, 120
GROWTH = {
    "mau": ACTIVE,
    "retained_users_28": RETAINED,
    "resurrected_users_28": RESURRECTED,
    "new_users_28": ACTIVE - RETAINED - RESURRECTED,
    "lost_users_28": LOST,
}
RATES = {
    "churn_28": ("share", LOST / (LOST + RETAINED)),
    "resurrection_28": ("share", RESURRECTED / ACTIVE),
    "stickiness": ("share", 0.107),
    "days_between_visits": ("days", 6.2),
}
COHORT_USERS = 200
"""Of each cohort but the one in `small`."""


def engagement(
    version: str = "v1", *, scale: float = 1.0, before: float = 1.0, **more: Any
) -> Iterator[dict[str, Any]]:
    """Figures of a version over each period and the one before, whose figures are `before` times these."""
    names = {"version": version, **more}
    for metric, (unit, value) in UNITS.items():
        yield from _periods(metric, scale * value, before, unit=unit, **names)
        for ago in range(8):
            yield measurement(metric, scale * value, 1, ago, unit=unit, **names)
    for event, value in EVENTS.items():
        slice_ = f"event_type={event}"
        yield from _periods(
            "rewarded_events_per_1000_lists", scale * value, before, unit="events", slice=slice_, **names
        )
        yield measurement(
            "rewarded_events_per_1000_lists", scale * value, 1, slice=slice_, unit="events", **names
        )
    for position in range(1, 11):
        yield from _periods(
            "ctr_by_position", scale * 0.06 / position, before, slice=f"position={position}", **names
        )


def catalogue(version: str = "v1", **more: Any) -> Iterator[dict[str, Any]]:
    """What a version showed of the catalogue."""
    names = {"version": version, "unit": "share", **more}
    for metric, value in CATALOGUE.items():
        yield from _periods(metric, value, 1.0, **names)
    for category, value in CATEGORIES.items():
        yield from _periods("exposure_share", value, 1.0, slice=f"category={category}", **names)


def growth(days: int = 28 * 3, *, before: float = 1.0) -> Iterator[dict[str, Any]]:
    """Figures of the whole shop for each of the last days; those of 28 days ago and more times `before`."""
    for ago in range(days):
        scale = 1.0 if ago < 28 else before
        for metric, users in {"dau": 90, "wau": 300, **GROWTH}.items():
            days_ = {"dau": 1, "wau": 7}.get(metric, 28)
            yield measurement(
                metric, float(users), days_, ago, model="", unit="users", n=users, low=None, high=None
            )
        for metric, (unit, value) in RATES.items():
            yield measurement(metric, scale * value, 28, ago, model="", unit=unit)


def retention(
    today: datetime | None = None, cohorts: int = 14, small: int | None = None, **more: Any
) -> Iterator[dict[str, Any]]:
    """Weekly cohorts up to last week's.

    Args:
        today: Start of the day; the day before is the last known one.
        cohorts: Number of cohorts.
        small: The cohort of so many weeks ago has 12 users.
        more: Model and version; none: the whole shop.
    """
    today = today or midnight()
    monday = today - today.weekday() * DAY
    for back in range(1, cohorts + 1):
        users = 12 if back == small else COHORT_USERS
        start = monday - 7 * back * DAY
        for n, share in {1: 0.21, 7: 0.12, 28: 0.08}.items():
            yield _cell(f"retention_day_{n}", share, users, start, n, today, **more)
        for name, share, last in (("1_7", 0.45, 7), ("8_14", 0.33, 14), ("15_28", 0.3, 28)):
            yield _cell(f"retention_days_{name}", share, users, start, last, today, **more)
        yield _cell("retention_unbounded_28", 0.35, users, start, 55, today, **more)
        for week in range(WEEKS):
            share = 0.45 / week**0.5 if week else 1.0
            yield _cell(
                "retention_week", share, users, start, 7 * week + 6, today, slice=f"week={week}", **more
            )


def variants(experiment: str = "prices", **shares: float) -> Iterator[dict[str, Any]]:
    """Click-through rates of an experiment's variants."""
    for variant, share in shares.items():
        for metric in ("ctr_list", "ctr_impression"):
            yield from _periods(metric, share, 1.0, model="", experiment=experiment, variant=variant)


def _periods(metric: str, value: float, before: float, **more: Any) -> Iterator[dict[str, Any]]:
    for period in PERIODS:
        yield measurement(metric, value, period, **more)
        yield measurement(metric, before * value, period, period, **more)


def _cell(
    metric: str, share: float, users: int, start: datetime, last: int, today: datetime, **more: Any
) -> dict[str, Any]:
    """A cohort's share of those who came back by day `last` after their first."""
    is_over = start + (6 + last) * DAY < today
    followed = users if is_over else users // 2 if start + last * DAY < today else 0
    found = wilson(round(share * followed), followed)
    value, low, high = found if followed >= 30 else (None, None, None)
    names = {"model": "", "unit": "share", **more}
    return measurement(
        metric, value, low=low, high=high, n=followed, is_complete=is_over,
        window_start=start, window_end=start + 7 * DAY, **names,
    )  # fmt: skip
