"""A home folder of a small simulated shop, with models that learned from it: for visits by its own people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import small_shop
from support.served_homes import register
from tastemaker.data.lake import Lake, by_day
from tastemaker.dataset.dataset import Dataset
from tastemaker.plugins import discovery
from tastemaker.problem import load_problem
from tastemaker.registry import Version
from tastemaker.settings import OnlineStoreSettings, Settings
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import Shop

CONFIG = ShopConfig(n_users=4_000, n_items=120, n_days=40, events_per_day=300, seed=5)
"""So many users that those who leave for good during an outage are not missed."""
PROBLEM = """
name: visited shop
objectives:
  - name: interest
    events: {purchase: {weight: 1.0}, cart: {weight: 0.5}, view: {weight: 0.1}}
split: {test_days: 10}
"""


def make_shop_home(
    home: Path, models: Sequence[str] = ("popularity",), config: ShopConfig = CONFIG
) -> dict[str, Version]:
    """Fill a home folder's lake with a shop's events, and register one version a model."""
    dataset = Dataset.load(_fill(home, config), load_problem(home / "problem.yaml"))
    return {name: register(home, discovery.get(name).recommender(), dataset) for name in models}


def register_again(home: Path, model: str) -> Version:
    """Register another version of a model in a home that has its events."""
    dataset = Dataset.load(Lake(home / "lake"), load_problem(home / "problem.yaml"))
    return register(home, discovery.get(model).recommender(), dataset)


def make_ranker_home(home: Path, online_store: OnlineStoreSettings) -> Version:
    """The same with a ranker, which reads the users' features from the online store."""
    from tastemaker.features.snapshots import weekly_cuts, write_snapshots
    from tastemaker_features import store

    chosen = settings(home, online_store=online_store)
    lake = _fill(home)
    problem = load_problem(chosen.problem)
    bare = Dataset.load(lake, problem)
    write_snapshots(lake, chosen.features, weekly_cuts(int(bare.events.times[0]), bare.end, most=4))
    store.apply(chosen)
    store.materialize(chosen, bare.end)
    dataset = Dataset.load(lake, problem, feature_root=chosen.features)
    return register(home, discovery.get("ranker").recommender(**small_shop.RANKER), dataset)


def _fill(home: Path, config: ShopConfig = CONFIG) -> Lake:
    home.mkdir(parents=True, exist_ok=True)
    (home / "problem.yaml").write_text(PROBLEM, encoding="utf-8")
    shop, lake = Shop(config), Lake(home / "lake")
    for table in shop.read():
        for day, rows in by_day(table):
            lake.write_day("events", day, rows)
    lake.write("items", shop.items())
    lake.write("users", shop.users())
    return lake


def settings(home: Path, **overrides: Any) -> Settings:
    """The settings of such a home."""
    return Settings(home=home, problem=home / "problem.yaml", **overrides)


def environment(home: Path, config: ShopConfig = CONFIG) -> dict[str, str]:
    """What informs a process about this home and its shop."""
    options = config.model_dump(mode="json", exclude_defaults=True)
    return {
        "TASTEMAKER_HOME": str(home),
        "TASTEMAKER_PROBLEM": str(home / "problem.yaml"),
        "TASTEMAKER_SOURCE__NAME": "simulated",
        "TASTEMAKER_SOURCE__OPTIONS": json.dumps(options),
    }
