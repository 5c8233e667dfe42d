"""Definitions of what the lists show of the catalogue.

The queries read `item_days`, one row per model, version, day and item that was shown, with the item's
category and first day as they were known when the day was computed, and `ends`, which has the number of items
known at the end of a day. They count what was shown: there is no interval. `catalogue_cells` computes the
same from arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

from tastemaker.product.definition import MetricDefinition

NEW_ITEM_DAYS = 28
"""An item is new for so many days after it was first seen."""


@dataclass(frozen=True, kw_only=True)
class CatalogueMetric(MetricDefinition):
    """A figure over the items that the lists of a window showed."""

    value: str
    """SQL: the value, over the rows of _ITEMS_SHOWN."""

    @property
    def sql(self) -> str:
        """The figure over the window's items."""
        return f"SELECT {self.value} AS value\nFROM ({_ITEMS_SHOWN}\n)"


_ITEMS_SHOWN = """
    SELECT item_id, sum(impressions)::BIGINT AS impressions,
        sum(new_impressions)::BIGINT AS new_impressions, arg_max_null(category, day) AS category,
        any_value(items) AS items,
        coalesce(arg_max_null(first_seen_at, day) >= any_value(ends_at), true) AS is_unknown
    FROM item_days, ends WHERE day BETWEEN $first AND $last AND last = $last GROUP BY item_id"""
"""SQL: one row per item shown in a window. `items` is the number of items first seen before the window's end;
`is_unknown` says that an item is not one of them."""


_SIZE = "(any_value(items) + count(*) FILTER (is_unknown))"
"""SQL: the number of items in the catalogue, at least those shown."""

CATALOGUE = (
    CatalogueMetric(
        name="catalogue_coverage",
        title="Catalogue coverage",
        unit="share",
        words="The share of the catalogue's items that were in at least one list.",
        formula="|{items shown}| ∕ |catalogue|",
        does_not_say="How often: an item that was shown once counts like the most popular one.",
        direction="up",
        page="catalogue",
        value=f"count(*) / {_SIZE}",
    ),
    CatalogueMetric(
        name="top_1_percent_share",
        title="Share of the top 1 % of items",
        unit="share",
        words="The share of all shown items that goes to the most shown 1 % of the catalogue.",
        formula="Σ impressions of the ⌈1 % · |catalogue|⌉ most shown items ∕ Σ impressions",
        does_not_say="Whether users wanted these items.",
        direction="neither",
        page="catalogue",
        value="list_sum(list_sort(list(impressions), 'DESC')"
        f"[1 : ceil({_SIZE} / 100)::INTEGER]) / sum(impressions)",
    ),
    CatalogueMetric(
        name="new_item_share",
        title="Share of new items",
        unit="share",
        words=f"The share of all shown items that were in the catalogue for at most {NEW_ITEM_DAYS} days.",
        formula=f"Σ impressions of items of at most {NEW_ITEM_DAYS} days ∕ Σ impressions",
        does_not_say="How many new items there are.",
        direction="neither",
        page="catalogue",
        value="sum(new_impressions) / sum(impressions)",
    ),
    CatalogueMetric(
        name="exposure_share",
        title="Exposure by category",
        unit="share",
        words="The share of all shown items that belongs to a category.",
        formula="Σ impressions of the category's items ∕ Σ impressions",
        does_not_say="Whether the share is fair: a category may have more items, or more that users want.",
        direction="neither",
        page="catalogue",
        slice="category",
        value="sum(impressions) FILTER (category = $category) / sum(impressions)",
    ),
)
