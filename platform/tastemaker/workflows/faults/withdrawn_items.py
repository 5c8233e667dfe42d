"""Items that are withdrawn from a service within a block, and on offer again after it.

They are noted in a file meanwhile: the simulation after one that was killed offers them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from tastemaker.api.schemas import ItemUpsert
from tastemaker.client import Client
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.page import upsert
from tastemaker.util.atomic_files import atomic_write

NAME = Path("simulate") / "withdrawn.json"
"""In the home folder: the items as they are offered again."""


@contextmanager
def withdrawn(home: Path, client: Client, shop: Shop, share: float) -> Iterator[None]:
    """Withdraw a share of the items within a block, the most popular first.

    Args:
        home: The home folder.
        client: Of the service.
        shop: The shop, on the last day of its data.
        share: Of the items.

    Yields:
        Nothing, once the service has withdrawn them; they are on offer again at the end.

    Raises:
        ServiceError: The service does not take the change. It is a TastemakerError.
    """
    day = shop.config.n_days - 1
    catalogue, _ = shop.on(day)
    # also those that the shop has taken off by then: services offer what they were not asked to withdraw
    order = np.argsort(-catalogue.attraction_on(day), kind="stable")
    gone = order[: round(share * len(order))].tolist()
    path = home / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_bytes(msgspec.json.encode([upsert(catalogue, item, available=True) for item in gone]))
    try:
        client.upsert_items([upsert(catalogue, item, available=False) for item in gone])
        yield
    finally:
        offer_again(home, client)


def offer_again(home: Path, client: Client) -> None:
    """Offer the items again that a simulation withdrew, if there are any.

    Args:
        home: The home folder, in which the items are noted; the note is removed.
        client: Of the service.

    Raises:
        ServiceError: The service does not take the change, and the note stays.
    """
    path = home / NAME
    if path.exists():
        client.upsert_items(msgspec.json.decode(path.read_bytes(), type=list[ItemUpsert]))
        path.unlink()
