"""Figures of a whole shop. A database may have those of several problems, and reported ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Row

from tastemaker.storage.tables import OWN_SOURCE


class ShopKey(NamedTuple):
    """Whose users a figure is of."""

    source: str
    problem: str

    @classmethod
    def of(cls, row: Row[Any]) -> ShopKey:
        """Return the shop of a row of `measurements`."""
        return cls(row.source, row.problem)


def largest_shop(rows: Iterable[Row[Any]]) -> ShopKey:
    """Return the shop with most users, of those whose figures the platform computed if there is one."""
    users: dict[ShopKey, int] = {}
    for row in rows:
        users[ShopKey.of(row)] = max(users.get(ShopKey.of(row), 0), row.n or 0)
    return max(
        users,
        key=lambda shop: (shop.source == OWN_SOURCE, users[shop], shop),
        default=ShopKey(OWN_SOURCE, ""),
    )
