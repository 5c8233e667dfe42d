"""The user features as an Ibis expression; `tastemaker.features.names` gives their meanings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.features.names import USER_FEATURES
from tastemaker.features.time_expressions import (
    days_until,
    first_seen,
    timestamp,
    utc_day,
    visits,
)
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from ibis import Table


def user_features(events: Table, users: Table, items: Table, before: int) -> Table:
    """Return the features of all users first seen before a given time.

    No row depends on an event at or after it. A user's country and an item's category are today's: the tables
    keep no history of them.

    Args:
        events: The table of events.
        users: The table of users.
        items: The table of items.
        before: Seconds since 1970 UTC.

    Returns:
        `user_id`, USER_FEATURES as float32 and `country`: one row per user.
    """
    known = users.filter(users.first_seen_at < timestamp(before))
    rows = (
        first_seen("user_id", events, users, before)
        .left_join(_totals(events, before), "user_id")
        .left_join(_breadth(visits(events, before), items), "user_id")
        .left_join(known.select("user_id", "country"), "user_id")
        .left_join(_compatriots(known), "country")
    )
    features = {
        "user_recency_days": days_until(before, rows.last_at),
        "user_tenure_days": days_until(before, rows.first_seen_at),
        "user_events_count": rows.events.fill_null(0),
        "user_events_30d_count": rows.events_30d.fill_null(0),
        "user_active_days_count": rows.active_days.fill_null(0),
        "user_tempo_days": (rows.last_day - rows.first_day) / (rows.active_days - 1).nullif(0),
        "user_items_count": rows.n_items.fill_null(0),
        "user_categories_count": rows.n_categories.fill_null(0),
        "user_items_per_basket": rows.visits / rows.active_days,
        "user_repeat_visit_share": 1 - rows.n_items / rows.visits,
        "user_purchases_count": rows.purchases.fill_null(0),
        "user_spend_total": rows.spend.fill_null(0),
        "user_spend_per_purchase": rows.spend / rows.purchases.nullif(0),
        "user_country_share": rows.country_share,
    }
    columns = [features[name].cast("float32").name(name) for name in USER_FEATURES]
    return rows.select("user_id", *columns, "country")


def _totals(events: Table, before: int) -> Table:
    past = events.filter(events.occurred_at < timestamp(before))
    bought = past.event_type == "purchase"
    return past.group_by("user_id").agg(
        events=past.count(),
        events_30d=(past.occurred_at >= timestamp(before - 30 * DAY_SECONDS)).sum(),
        last_at=past.occurred_at.max(),
        first_day=utc_day(past.occurred_at.min()),
        last_day=utc_day(past.occurred_at.max()),
        purchases=bought.sum(),
        spend=past.value.sum(where=bought),
    )


def _breadth(visited: Table, items: Table) -> Table:
    """Return distinct days, items and categories per user, from distinct visits, without a set per group."""
    pairs = visited.group_by("user_id", "item_id").agg(visits=visited.count())
    days = visited.select("user_id", "day").distinct()
    days = days.group_by("user_id").agg(active_days=days.count())
    categories = pairs.inner_join(items.filter(items.category.notnull()), "item_id")
    categories = categories.select("user_id", "category").distinct()
    categories = categories.group_by("user_id").agg(n_categories=categories.count())
    breadth = pairs.group_by("user_id").agg(n_items=pairs.count(), visits=pairs.visits.sum())
    return breadth.inner_join(days, "user_id").left_join(categories, "user_id").drop("user_id_right")


def _compatriots(known: Table) -> Table:
    """Return each country's share of the known users."""
    counted = known.group_by("country").agg(n_users=known.count())
    shares = counted.select("country", country_share=counted.n_users / counted.n_users.sum().over())
    return shares.filter(shares.country.notnull())
