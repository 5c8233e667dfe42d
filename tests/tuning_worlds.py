"""A home of a few users with a taste each, and a model whose best hyperparameters are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np

from small_lakes import DAY, Row, make_lake
from tastemaker.errors import PluginError
from tastemaker.plugins import (
    Batch,
    Capabilities,
    Choice,
    Config,
    Ranking,
    Recommender,
    Search,
    TrainingData,
    select,
)
from tastemaker.plugins.finder import Plugin
from tastemaker.settings import Settings
from tastemaker.workspace import Workspace

DAYS = 20
TEST_DAYS = 4
N_USERS, N_ITEMS = 30, 20
PROBLEM = f"""
name: tastes
objectives: [{{name: sales, events: {{purchase: {{}}}}}}]
placement: {{k: 3}}
split: {{test_days: {TEST_DAYS}}}
slices: {{user_columns: []}}
"""
BEST = 7.0


class AimConfig(Config):
    """How well it aims."""

    aim: Annotated[float, Search(0, 10)] = 1.0
    """Best at 7."""
    side: Annotated[Literal["wrong", "right"], Choice("wrong", "right")] = "wrong"
    """Best at right."""
    fails_above: float = 11.0
    """Fitting fails where aim is above this."""


class Aims(Recommender[AimConfig]):
    """What the user had, blurred by |aim - 7| and turned around on the wrong side."""

    name = "aims"
    reference = "none"
    config_type = AimConfig
    capabilities = Capabilities(personalizes=True)
    state = ("blur",)
    latest: ClassVar[list[int]] = []
    """The last event that each fit saw."""

    def fit(self, data: TrainingData) -> Self:
        if self.config.aim > self.config.fails_above:
            raise PluginError(f"aim is {self.config.aim}, must be at most {self.config.fails_above}")
        self.latest.append(int(data.events.times[-1]))
        noise = np.random.default_rng(0).standard_normal(data.n_items)
        self.blur = (abs(self.config.aim - BEST) * noise).astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        had = batch.history.matrix(batch.history.counts.astype(np.float32)).toarray()
        return select((had if self.config.side == "right" else -had) + self.blur, batch, k)


AIMS = Plugin("aims", Aims, "tests", "1", "tuning_worlds:Aims")


def rows(seed: int = 0, days: int = DAYS) -> list[Row]:
    """Each user buys from three items of their own, sometimes another, twice a day."""
    rng = np.random.default_rng(seed)
    made = []
    for day in range(days):
        for user in range(N_USERS):
            for _ in range(2):
                own = user * 3 + int(rng.integers(3))
                item = own if rng.random() < 0.8 else int(rng.integers(N_ITEMS))
                second = day * DAY + int(rng.integers(DAY))
                made.append(Row(f"user {user:02}", f"item {item % N_ITEMS:02}", second))
    return made


def world(home: Path, events: list[Row] | None = None, **settings: Any) -> Workspace:
    """A home with these events, ready to train."""
    make_lake(home / "lake", rows() if events is None else events)
    (home / "problem.yaml").write_text(PROBLEM, encoding="utf-8")
    return Workspace(Settings(home=home, problem=home / "problem.yaml", **settings))
