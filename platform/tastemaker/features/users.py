"""The users' features as one Ibis expression. `tastemaker.features.names` says what each means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastemaker.features.moments import DAY_SECONDS, days_until, moment, utc_day, visits
from tastemaker.features.names import USER_FEATURES

if TYPE_CHECKING:
    from ibis import Table


def user_features(events: Table, users: Table, items: Table, before: int) -> Table:
    """`user_id`, USER_FEATURES as float32, `country`: one row a user first seen before `before` (seconds UTC).

    No row depends on an event at or after `before`. A user's country and an item's category are taken as they
    are now: the tables keep no history of them.
    """
    import ibis

    done = _totals(events, before)
    breadth = _breadth(visits(events, before), items)
    known = users.filter(users.first_seen_at < moment(before))
    rows = done.outer_join(known, "user_id")
    # A user who is missing from the users table until later has events but no known country yet.
    rows = rows.select(
        ibis.coalesce(rows.user_id, rows.user_id_right).name("user_id"),
        "country",
        *done.columns[1:],
        first_seen_at=ibis.least(rows.first_at, rows.first_seen_at),
    )
    rows = rows.left_join(breadth, "user_id").drop("user_id_right")
    country = rows.filter(rows.country.notnull()).group_by("country").agg(compatriots=lambda t: t.count())
    rows = rows.left_join(country, "country").drop("country_right")
    population = rows.count().over()
    return rows.select(
        "user_id",
        "country",
        user_recency_days=days_until(before, rows.last_at),
        user_tenure_days=days_until(before, rows.first_seen_at),
        user_events_count=rows.events.fill_null(0),
        user_events_30d_count=rows.events_30d.fill_null(0),
        user_active_days_count=rows.active_days.fill_null(0),
        user_tempo_days=(rows.last_day - rows.first_day) / (rows.active_days - 1).nullif(0),
        user_items_count=rows.n_items.fill_null(0),
        user_categories_count=rows.n_categories.fill_null(0),
        user_items_per_basket=rows.visits / rows.active_days,
        user_repeat_visit_share=1 - rows.n_items / rows.visits,
        user_purchases_count=rows.purchases.fill_null(0),
        user_spend_total=rows.spend.fill_null(0),
        user_spend_per_purchase=rows.spend / rows.purchases.nullif(0),
        user_country_share=rows.compatriots / population,
    ).select("user_id", *(ibis._[name].cast("float32").name(name) for name in USER_FEATURES), "country")


def _totals(events: Table, before: int) -> Table:
    past = events.filter(events.occurred_at < moment(before))
    bought = past.event_type == "purchase"
    return past.group_by("user_id").agg(
        events=past.count(),
        events_30d=past.count(past.occurred_at >= moment(before - 30 * DAY_SECONDS)),
        first_at=past.occurred_at.min(),
        last_at=past.occurred_at.max(),
        first_day=utc_day(past.occurred_at.min()),
        last_day=utc_day(past.occurred_at.max()),
        purchases=past.count(bought),
        spend=past.value.sum(where=bought),
    )


def _breadth(visited: Table, items: Table) -> Table:
    """Distinct days, items and categories a user, from distinct visits: no step holds a set a group."""
    pairs = visited.group_by("user_id", "item_id").agg(visits=visited.count())
    days = visited.select("user_id", "day").distinct()
    days = days.group_by("user_id").agg(active_days=days.count())
    categorized = pairs.inner_join(items.select("item_id", "category"), "item_id").select(
        "user_id", "category"
    )
    categories = categorized.filter(categorized.category.notnull()).distinct()
    categories = categories.group_by("user_id").agg(n_categories=categories.count())
    breadth = pairs.group_by("user_id").agg(n_items=pairs.count(), visits=pairs.visits.sum())
    breadth = breadth.inner_join(days, "user_id").left_join(categories, "user_id")
    return breadth.select("user_id", "n_items", "visits", "active_days", "n_categories")
