"""The names, order and meanings of the features. Importing this module imports no library.

Each feature is a number known strictly before a given time; one without a value is missing (NULL in
Parquet, NaN in arrays). A day is a UTC day; a basket is all that one user did on one day; a visit is one item
in one basket. `country` is text, which is stored beside the numbers for reports and Feast; models read its
share.

Features of a (user, item) pair are not stored: there are users times items of them, nearly all empty, and
they follow from the history that comes with every request. A model computes them from it, in training as in
serving.
"""

from __future__ import annotations

USER_MEANINGS = {
    "user_recency_days": "days since the latest event",
    "user_tenure_days": "days since the user was first seen, by a sign-up or an event",
    "user_events_count": "events",
    "user_events_30d_count": "events in the last 30 days",
    "user_active_days_count": "days with an event",
    "user_tempo_days": "mean gap between active days; missing until there are two",
    "user_items_count": "distinct items",
    "user_categories_count": "distinct categories of those items",
    "user_items_per_basket": "mean number of distinct items on an active day",
    "user_repeat_visit_share": "share of visits to an item that the user had on an earlier day",
    "user_purchases_count": "events of type purchase",
    "user_spend_total": "sum of the purchases' values, in the shop's currency",
    "user_spend_per_purchase": "mean value of a purchase, in the shop's currency; missing until there is one",
    "user_country_share": "share of the users known by then who are in the same country",
}

ITEM_MEANINGS = {
    "item_recency_days": "days since the latest event",
    "item_age_days": "days since the item was first seen, by an offer or an event",
    "item_events_count": "events",
    "item_events_7d_count": "events in the last 7 days",
    "item_events_30d_count": "events in the last 30 days",
    "item_events_90d_count": "events in the last 90 days",
    "item_trend_7d_log_ratio": "ln((events in 7 days + 1) / (7/30 · events in 30 days + 1)); 0 is steady",
    "item_trend_30d_log_ratio": "ln((events in 30 days + 1) / (30/90 · events in 90 days + 1)); 0 is steady",
    "item_users_count": "distinct users",
    "item_repeat_user_share": "share of its users who had it on two or more days",
    "item_companions_per_basket": "co-purchase: mean number of other items in the baskets that hold it",
    "item_price_paid": "median value of a purchase of it, in the shop's currency; missing until there is one",
}

USER_FEATURES = tuple(USER_MEANINGS)
ITEM_FEATURES = tuple(ITEM_MEANINGS)

USER_FEATURES_OF_OTHERS = ("user_country_share",)
"""User features that depend on other users' events, too."""
