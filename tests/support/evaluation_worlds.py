"""A small world to evaluate models in: a split made of arrays, and a model that recommends given lists."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.dataset.split import Split
from tastemaker.plugins import Batch, Config, Events, Ranking, Recommender, TrainingData, select
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot

DAY = 86_400


def small_split(
    n_users: int = 60,
    n_items: int = 20,
    *,
    unknown: int = 0,
    repeats: bool = True,
    available: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Split:
    """Random purchases by `n_users`; the last `unknown` of the evaluated users were not seen in training."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users, dtype=np.int32), 4)
    items = np.minimum(rng.geometric(0.2, len(users)) - 1, n_items - 1).astype(np.int32)
    times = np.sort(rng.integers(0, 30 * DAY, len(users)))
    events = Events(users, items, rng.exponential(10, len(users)).astype(np.float32), times)
    train = TrainingData(
        events,
        n_users,
        n_items,
        30 * DAY,
        repeats=repeats,
        available=available,
        rng=np.random.default_rng(seed),
    )
    user_ids = IdIndex.build(f"user-{one:04}" for one in range(n_users))
    snapshot = Snapshot(
        user_ids=user_ids,
        item_ids=IdIndex.build(f"item-{one:04}" for one in range(n_items)),
        history=train.history,
        end=train.end,
        repeats=repeats,
        available=available,
        popular=np.arange(n_items, dtype=np.int32),
        item_features=None,
        data_hash=f"{seed:064x}",
    )
    evaluated = np.arange(n_users, dtype=np.int32)
    evaluated[n_users - unknown :] = -1
    wanted = rng.random((n_users, n_items)) < np.linspace(0.4, 0.05, n_items)
    wanted[:, 0] |= ~wanted.any(axis=1)
    rewards = np.where(wanted, rng.exponential(10, wanted.shape), 0).astype(np.float32)
    return Split(
        train=train,
        snapshot=snapshot,
        users=evaluated,
        user_ids=[f"user-{one:04}" for one in range(n_users)],
        relevant=csr_array(rewards),
        unreachable=0,
        unevaluated=0,
        start=0,
        cut=train.end,
        end=37 * DAY,
        data_hash=snapshot.data_hash,
        user_slices={
            "users": np.where(np.arange(n_users) % 3, "old", "new"),
            "country": np.where(np.arange(n_users) % 5 < 3, "Österreich", "Italia"),
        },
        item_slices={"head": np.arange(n_items) < 4, "tail": np.arange(n_items) >= 4},
    )


class ScriptedConfig(Config):
    """What the model does."""

    noise: float = 0.0
    """Scores are the items' popularity plus this much noise, drawn at fitting."""
    upside_down: bool = False
    """Recommend the least popular items."""


class Scripted(Recommender[ScriptedConfig]):
    """Popularity with noise: some models are better, some worse, some the same."""

    name = "scripted"
    reference = "none"
    config_type = ScriptedConfig
    state = ("item_scores",)
    fits: ClassVar[list[float]] = []
    """The first random number of each fit."""

    def fit(self, data: TrainingData) -> Self:
        noise = data.rng.standard_normal(data.n_items)
        self.fits.append(float(noise[0]))
        counts = np.bincount(data.events.items, minlength=data.n_items)
        sign = -1 if self.config.upside_down else 1
        self.item_scores: NDArray[Any] = (sign * counts + self.config.noise * noise).astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.item_scores, (len(batch), 1)), batch, k)
