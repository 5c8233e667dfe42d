"""The purchases of a real shop, for tests and benchmarks that fit a model on them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np

from tastemaker.plugins import Events, TrainingData
from tastemaker.simulator.regret import Showroom
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import Shop
from tastemaker.snapshot.ids import IdIndex

SMALL = ShopConfig(n_users=300, n_items=600, n_days=60, events_per_day=200)


def purchases(path: Path) -> TrainingData:
    """What the known customers of UCI Online Retail bought, a line per event, in the order of their times."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT CustomerID::VARCHAR, StockCode, epoch(InvoiceDate)::BIGINT AS time FROM read_parquet(?) "
            "WHERE CustomerID IS NOT NULL AND Quantity > 0 ORDER BY time",
            [str(path)],
        ).fetchall()
    people, goods = (IdIndex.build(row[part] for row in rows) for part in (0, 1))
    users, items = (ids.lookup([row[part] for row in rows]) for part, ids in enumerate((people, goods)))
    times = np.array([row[2] for row in rows])
    events = Events(users, items, np.ones(len(rows), np.float32), times)
    return TrainingData(events, len(people), len(goods), end=int(times[-1]) + 1)


def small_purchases() -> TrainingData:
    """What was bought in a small simulated shop, where it only matters that everything runs."""
    return Showroom(Shop(SMALL)).data
