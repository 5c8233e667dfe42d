"""The items most similar to one: by co-occurrence, and by content where no user had it yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tastemaker.snapshot.item_content import Listed
from tastemaker.snapshot.snapshot import Snapshot

N_ALIKE = 50
"""The most items that are found by content."""


class Alike(NamedTuple):
    """An item by its number, and its similarity."""

    item: int
    score: float


def similar(snapshot: Snapshot, item: int) -> list[Alike]:
    """Return the items similar to a known one, most similar first, sold out items included.

    Args:
        snapshot: The known items.
        item: The number of the item in the catalogue.

    Returns:
        The items that occur with it; those alike in content, at most N_ALIKE and on another scale, only where
        there is none of these. Empty if there are neither.
    """
    return list(_co_occurring(snapshot, item)) or by_content(snapshot, _listed(snapshot, item), but_not=item)


def by_content(snapshot: Snapshot, listed: Listed, *, but_not: int | None = None) -> list[Alike]:
    """Return the known items most similar to an item by title, category and price.

    Args:
        snapshot: The known items.
        listed: The attributes of the item, which need not be known itself.
        but_not: The number of an item to leave out, such as the item itself.
    """
    if snapshot.content is None:
        return []
    items, scores = snapshot.content.alike(listed, N_ALIKE + 1)
    pairs = map(Alike, items.tolist(), scores.tolist())
    return [alike for alike in pairs if alike.item != but_not][:N_ALIKE]


def _co_occurring(snapshot: Snapshot, item: int) -> Iterator[Alike]:
    if snapshot.neighbours is None:
        return
    items, scores = snapshot.neighbours.items[item], snapshot.neighbours.scores[item]
    for other, score in zip(items.tolist(), scores.tolist(), strict=True):
        if other >= 0:
            yield Alike(other, score)


def _listed(snapshot: Snapshot, item: int) -> Listed:
    content = snapshot.content
    if content is None:
        return Listed()
    price = float(content.prices[item])
    return Listed(content.title(item), content.category(item), price if price == price else None)
