"""A home of a few users with a taste each, and a model whose best hyperparameters are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from support.small_lakes import DAY, START, Row, make_lake
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
from tastemaker.plugins.discovery import Plugin
from tastemaker.settings import Settings
from tastemaker.workflows.workspace import Workspace

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


class ShortAimConfig(AimConfig):
    """As Aims, with a bound that its aim has to keep: each value of both is allowed, but not each pair."""

    at_most: Annotated[float, Search(0, 10)] = 5.0

    @model_validator(mode="after")
    def keep_the_bound(self) -> Self:
        """Refuse an aim above the bound."""
        if self.aim > self.at_most:
            raise ValueError("aim must be at most at_most")
        return self


class ShortAims(Aims):
    """Aims with a bound."""

    name = "short_aims"
    config_type = ShortAimConfig
    state = ("blur",)


SHORT_AIMS = Plugin("short_aims", ShortAims, "tests", "1", "tuning_worlds:ShortAims")


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


def world(home: Path, events: list[Row] | None = None, problem: str = PROBLEM, **settings: Any) -> Workspace:
    """A home with these events, ready to train."""
    make_lake(home / "lake", rows() if events is None else events)
    (home / "problem.yaml").write_text(problem, encoding="utf-8")
    return Workspace(Settings(home=home, problem=home / "problem.yaml", **settings))


class LotsConfig(Config):
    """Nothing that matters."""

    number: Annotated[int, Search(0, 1_000)] = 0
    """Of the lots that are drawn."""


class Lots(Recommender[LotsConfig]):
    """Random lists for each user, number and training window: no number is better than another."""

    name = "lots"
    reference = "none"
    config_type = LotsConfig
    capabilities = Capabilities(personalizes=True)
    state = ("end",)

    def fit(self, data: TrainingData) -> Self:
        self.end = np.array([data.end])
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        drawn = [
            np.random.default_rng([self.config.number, int(self.end[0]), int(user) + 1]).random(
                batch.history.n_items, np.float32
            )
            for user in batch.users
        ]
        return select(np.array(drawn, np.float32), batch, k)


LOTS = Plugin("lots", Lots, "tests", "1", "tuning_worlds:Lots")


class LatestConfig(Config):
    """No hyperparameters."""


class Latest(Recommender[LatestConfig]):
    """What the user had last; it learns nothing."""

    name = "latest"
    reference = "none"
    config_type = LatestConfig
    capabilities = Capabilities(personalizes=True)
    state = ("nothing",)
    fits: ClassVar[list[int]] = []
    """The end of the data of each fit."""

    def fit(self, data: TrainingData) -> Self:
        self.fits.append(data.end)
        self.nothing = np.zeros(1, np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        ages = batch.history.matrix((batch.history.last_times - START + 1).astype(np.float32)).toarray()
        return select(ages, batch, k)


LATEST = Plugin("latest", Latest, "tests", "1", "tuning_worlds:Latest")
DRIFT_PROBLEM = """
name: drift
objectives: [{name: sales, events: {purchase: {}}}]
metric: hit_rate
placement: {k: 1}
split: {test_days: 7}
slices: {user_columns: []}
"""


def drifting_rows(changing: float, *, users: int = 600, weeks: int = 6, seed: int = 3) -> list[Row]:
    """Each user buys one favourite all week; each Monday it is another one with the chance `changing`."""
    rng = np.random.default_rng(seed)
    favourites, made = rng.integers(0, 200, users), []
    for week in range(weeks):
        if week:
            moved = rng.random(users) < changing
            favourites = np.where(moved, (favourites + rng.integers(1, 200, users)) % 200, favourites)
        for day in (0, 6):
            for user, item in enumerate(favourites):
                made.append(Row(f"user {user:03}", f"item {item:03}", (7 * week + day) * DAY + user))
    return made
