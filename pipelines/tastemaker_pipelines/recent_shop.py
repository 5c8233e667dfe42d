"""The dates of a simulated shop that is open now."""

from __future__ import annotations

from datetime import date, timedelta


def recent_first_day(today: date) -> date:
    """Return the first day for a simulated shop that ends within the week before `today`.

    It is on the weekday of the shop's own first day, so that the shop's weekly rhythm stays.
    """
    from tastemaker.simulator.shop.config import ShopConfig

    shop = ShopConfig()
    weeks = (today - timedelta(days=shop.n_days) - shop.start).days // 7
    return shop.start + timedelta(weeks=weeks)
