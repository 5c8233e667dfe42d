"""A small, seeded lake for tests of features and of the feature store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, ITEMS, USERS
from tastemaker.features.snapshots import write_snapshots
from tastemaker.settings import OnlineStoreSettings, Settings
from tastemaker_features import store

FIRST = 1_600_000_000
DAY = 86_400
END = FIRST + 60 * DAY
N_USERS, N_ITEMS = 200, 50
ONLINE_STORES = (
    "sqlite",
    pytest.param("redis", marks=pytest.mark.servers),
    pytest.param("postgres", marks=pytest.mark.servers),
)
"""The kinds of online stores, as parameters of a fixture."""


def fill(lake: Lake, *, events: int = 4_000, seed: int = 0) -> None:
    """Sixty days of events by day, of users with and without a country, and of items with a category."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(FIRST, END, events))
    rows = pa.table(
        {
            "event_id": [f"event {number}" for number in range(events)],
            "user_id": [user_id(number) for number in rng.integers(0, N_USERS, events)],
            "item_id": [f"item {number}" for number in rng.integers(0, N_ITEMS, events)],
            "event_type": rng.choice(["purchase", "view"], events),
            "value": rng.integers(1, 400, events) / 4,
            "occurred_at": pa.array(times * 1_000_000, EVENTS.field("occurred_at").type),
            "request_id": pa.nulls(events, pa.string()),
            "position": pa.nulls(events, pa.int32()),
        }
    )
    days = times // DAY
    for day in np.unique(days):
        lake.write_day("events", day.astype("datetime64[D]").item(), rows.filter(pa.array(days == day)))
    first = FIRST * 1_000_000
    countries = [None if number % 5 == 0 else f"country {number % 3}" for number in range(N_USERS)]
    users = [(user_id(number), country, first, None) for number, country in enumerate(countries)]
    items = [
        (f"item {number}", None, f"category {number % 7}", None, first, None) for number in range(N_ITEMS)
    ]
    for table, schema, entries in (("users", USERS, users), ("items", ITEMS, items)):
        records = [dict(zip(schema.names, entry, strict=True)) for entry in entries]
        lake.write(table, pa.Table.from_pylist(records, schema))


def user_id(number: int) -> str:
    """Ids that no store may mistake: Unicode, spaces and signs."""
    return f"користувач {number}, «№»"


def filled(root: Path) -> Lake:
    """A lake at `root` with those events."""
    lake = Lake(root)
    fill(lake)
    return lake


def online_settings(request: pytest.FixtureRequest, home: Path) -> Settings:
    """Settings with an online store of the kind that is the fixture's parameter; it is empty."""
    url = None if request.param == "sqlite" else request.getfixturevalue(f"{request.param}_url")
    return Settings(home=home, online_store=OnlineStoreSettings(type=request.param, url=url))


def with_snapshots(settings: Settings, *cuts: int) -> Settings:
    """The settings, with snapshots at these times on disk and the registry applied; nothing is online yet."""
    write_snapshots(filled(settings.lake), settings.features, list(cuts))
    store.apply(settings)
    return settings
