"""The item features as an Ibis expression; `tastemaker.features.names` gives their meanings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.features.names import ITEM_FEATURES
from tastemaker.features.time_expressions import days_until, first_seen, timestamp, visits
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import FloatingValue, NumericValue


def item_features(events: Table, items: Table, before: int) -> Table:
    """Return the features of all items first seen before a given time.

    No row depends on an event at or after it. The price is the one that users paid until then: the catalogue
    has only today's.

    Args:
        events: The table of events.
        items: The table of items.
        before: Seconds since 1970 UTC.

    Returns:
        `item_id` and ITEM_FEATURES as float32: one row per item.
    """
    rows = (
        first_seen("item_id", events, items, before)
        .left_join(_totals(events, before), "item_id")
        .left_join(_company(visits(events, before)), "item_id")
    )
    week, month, quarter = (rows[f"events_{n}d"].fill_null(0) for n in (7, 30, 90))
    features = {
        "item_recency_days": days_until(before, rows.last_at),
        "item_age_days": days_until(before, rows.first_seen_at),
        "item_events_count": rows.events.fill_null(0),
        "item_events_7d_count": week,
        "item_events_30d_count": month,
        "item_events_90d_count": quarter,
        "item_trend_7d_log_ratio": _trend(week, month, 7 / 30),
        "item_trend_30d_log_ratio": _trend(month, quarter, 30 / 90),
        "item_users_count": rows.users.fill_null(0),
        "item_repeat_user_share": rows.repeat_users / rows.users,
        "item_companions_per_basket": rows.companions,
        "item_price_paid": rows.price_paid,
    }
    return rows.select("item_id", *(features[name].cast("float32").name(name) for name in ITEM_FEATURES))


def _totals(events: Table, before: int) -> Table:
    past = events.filter(events.occurred_at < timestamp(before))
    windows = {
        f"events_{days}d": (past.occurred_at >= timestamp(before - days * DAY_SECONDS)).sum()
        for days in (7, 30, 90)
    }
    return past.group_by("item_id").agg(
        events=past.count(),
        **windows,
        last_at=past.occurred_at.max(),
        price_paid=past.value.median(where=past.event_type == "purchase"),
    )


def _company(visited: Table) -> Table:
    """Return each item's users, repeating users, and mean number of other items per basket."""
    baskets = visited.group_by("user_id", "day").agg(size=visited.count())
    beside = visited.inner_join(baskets, ["user_id", "day"])
    beside = beside.group_by("item_id").agg(companions=(beside.size - 1).mean())
    pairs = visited.group_by("user_id", "item_id").agg(days=visited.count())
    users = pairs.group_by("item_id").agg(users=pairs.count(), repeat_users=(pairs.days > 1).sum())
    return users.inner_join(beside, "item_id").select("item_id", "users", "repeat_users", "companions")


def _trend(short: NumericValue, long: NumericValue, ratio: float) -> FloatingValue:
    return ((short + 1) / (long * ratio + 1)).ln()
