"""A home folder with model versions to serve, made as a run makes it, only smaller."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, ITEMS, USERS
from tastemaker.dataset.dataset import Dataset
from tastemaker.plugins import Recommender, discovery
from tastemaker.problem import EventReward, Objective, ProblemSpec
from tastemaker.registry import Registry, Version
from tastemaker.storage.engine import open_engine

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 30
N_USERS = 40
N_ITEMS = 25


def problem(name: str = "small shop") -> ProblemSpec:
    """Purchases count 1."""
    return ProblemSpec(name=name, objectives=(Objective(name="sales", events={"purchase": EventReward()}),))


def events(n: int = 600, seed: int = 0) -> pa.Table:
    """Purchases in which item-00 is most popular, then item-01, and so on."""
    rng = np.random.default_rng(seed)
    items = np.minimum(rng.geometric(0.15, n) - 1, N_ITEMS - 1)
    timestamps = np.sort(rng.uniform(0, DAYS * 86_400, n))
    return pa.table(
        {
            "event_id": [f"event-{number}" for number in range(n)],
            "user_id": [f"user-{number:02d}" for number in rng.integers(0, N_USERS, n)],
            "item_id": [f"item-{number:02d}" for number in items],
            "event_type": ["purchase"] * n,
            "value": rng.uniform(1, 20, n),
            "occurred_at": [START + timedelta(seconds=float(timestamp)) for timestamp in timestamps],
            "request_id": pa.nulls(n, pa.string()),
            "position": pa.nulls(n, pa.int32()),
        },
        schema=EVENTS,
    )


def fill(lake: Lake, rows: pa.Table) -> None:
    """Write events by day, and the catalogue."""
    by_day: dict[date, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        by_day.setdefault(row["occurred_at"].date(), []).append(row)
    for day, part in by_day.items():
        lake.write_day("events", day, pa.Table.from_pylist(part, schema=EVENTS))
    catalogue = [
        {
            "item_id": f"item-{number:02d}",
            "title": f"Item {number}",
            "category": "even" if number % 2 == 0 else "odd",
            "price": 1.0 + number,
            "first_seen_at": START,
        }
        for number in range(N_ITEMS)
    ]
    lake.write("items", pa.Table.from_pylist(catalogue, schema=ITEMS))
    people = [{"user_id": f"user-{n:02d}", "country": "NL", "first_seen_at": START} for n in range(N_USERS)]
    lake.write("users", pa.Table.from_pylist(people, schema=USERS))


def register(home: Path, model: Recommender[Any], dataset: Dataset) -> Version:
    """Fit a model on everything and register it in the home folder."""
    cut = dataset.cut()
    data = cut.training(0)
    model.fit(data)
    registry = Registry(open_engine(f"sqlite:///{home / 'tastemaker.db'}"), home / "artifacts")
    return registry.add(
        model,
        problem=dataset.problem,
        snapshot=cut.serving_snapshot,
        window=(cut.start, cut.end),
        counts={"events": data.events.count, "users": data.n_users, "items": data.n_items},
        seed=0,
    )


@cache
def _filled() -> Dataset:
    """Return the dataset of a lake with the events above, made once in a process: homes get copies."""
    folder = Path(tempfile.mkdtemp(prefix="tastemaker-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    lake = Lake(folder)
    fill(lake, events())
    return Dataset.load(lake, problem())


def make_home(home: Path, models: Sequence[str] = ("popularity",)) -> dict[str, Version]:
    """Fill a home folder's lake and register one version a model."""
    home.mkdir(parents=True, exist_ok=True)
    lake = Lake(home / "lake")
    shutil.copytree(_filled().lake.root, lake.root, dirs_exist_ok=True)
    dataset = replace(_filled(), lake=lake)
    return {name: register(home, discovery.get(name).recommender(), dataset) for name in models}
