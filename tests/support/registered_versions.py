"""A toy model, a snapshot and a backtest to register, for the tests of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sqlalchemy import Engine

from tastemaker.evaluation import results
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.plugins import Batch, Config, Events, History, Ranking, Recommender, TrainingData, select
from tastemaker.plugins.discovery import Plugin
from tastemaker.problem import ProblemSpec
from tastemaker.registry import Registry, Version
from tastemaker.registry.artifact import Precompute
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.stats.bootstrap import Interval

N_ITEMS = 3
START = datetime(2026, 1, 1, tzinfo=UTC)


class ToyConfig(Config):
    """Its one number."""

    weight: float = 1.0
    """w."""


class Toy(Recommender[ToyConfig]):
    """Scores an item by its number of events, times w."""

    name = "toy"
    reference = "none"
    config_type: ClassVar[type[Config]] = ToyConfig
    state = ("scores",)
    scores: np.ndarray

    def fit(self, data: TrainingData) -> Self:
        counts = np.bincount(data.events.items, minlength=data.n_items)
        self.scores = (self.config.weight * counts).astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.scores, (len(batch), 1)), batch, k)


def plugin(name: str = "toy") -> Plugin:
    """What discovery would find."""
    return Plugin(name, Toy, "tastemaker-toys", "1.2.3", "versions:Toy")


def problem(**fields: Any) -> ProblemSpec:
    """Purchases count 1; popularity is to be beaten in NDCG."""
    objectives = [{"name": "sales", "events": {"purchase": {}}}]
    return ProblemSpec.model_validate({"name": "shop", "objectives": objectives} | fields)


def toy(weight: float = 1.0, kind: type[Toy] = Toy) -> Toy:
    """A fitted model."""
    events = Events(np.zeros(4, np.int32), np.array([0, 1, 1, 2]), np.ones(4, np.float32), np.arange(4))
    return kind(ToyConfig(weight=weight)).fit(TrainingData(events, 1, N_ITEMS, end=10))


def snapshot(end: int = 10) -> Snapshot:
    """One user without a history."""
    return Snapshot(
        user_ids=IdIndex.build(["ü"]),
        item_ids=IdIndex.build("abc"),
        history=History.empty(1, N_ITEMS),
        end=end,
        repeats=True,
        available=None,
        popular=np.arange(N_ITEMS, dtype=np.int32),
        item_features=None,
        data_hash="d" * 64,
    )


def add(
    registry: Registry,
    *,
    weight: float = 1.0,
    backtest_id: str | None = None,
    spec: ProblemSpec | None = None,
    precompute: Precompute | None = None,
    kind: type[Toy] = Toy,
) -> Version:
    """Register a toy."""
    return registry.add(
        toy(weight, kind),
        problem=spec or problem(),
        snapshot=snapshot(),
        window=(0, 10),
        counts={"events": 4, "users": 1, "items": N_ITEMS},
        seed=0,
        backtest_id=backtest_id,
        precompute=precompute,
    )


def put_backtest(
    engine: Engine,
    artifacts: Path,
    model: str,
    values: Sequence[float],
    *,
    metric: str = "ndcg",
    data_hash: str = "d" * 64,
    config: dict[str, Any] | None = None,
    age_days: int = 0,
) -> str:
    """Store a backtest with one figure per user; returns its id."""
    identity = f"{model}-{metric}-{data_hash[:4]}-{age_days}"
    path = f"backtests/{identity}.npz"
    figures = np.asarray(values, np.float64)
    keys = np.arange(len(figures), dtype=np.uint64)
    results.save_users(artifacts / path, UserResults(10, keys, {metric: figures}))
    mean = float(figures.mean())
    results.put(
        engine,
        Backtest(
            id=identity,
            problem="shop",
            model=model,
            config={"weight": 1.0} if config is None else config,
            data_hash=data_hash,
            train_start=START,
            train_end=START + timedelta(days=30),
            test_end=START + timedelta(days=60),
            metrics={metric: Interval(mean, mean, mean)},
            users_path=path,
            users=len(figures),
            train_seconds=1.0,
            score_seconds=1.0,
            artifact_bytes=1,
            created_at=START - timedelta(days=age_days),
        ),
    )
    return identity
