"""What bandits lose in the simulated shop, against random lists, what sells best, and the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tastemaker.plugins import Batch, Ranking, Recommender
from tastemaker.simulator.regret import Showroom
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.click_model import examination
from tastemaker_bandits.lin_thompson import LinThompson, LinThompsonConfig
from tastemaker_bandits.lin_ucb import LinUCB, LinUCBConfig
from tastemaker_bandits.logistic_thompson import LogisticThompson, LogisticThompsonConfig
from tastemaker_baselines.popularity import Popularity
from tastemaker_baselines.random import Random

REQUESTS = 4_000
SHOP = ShopConfig(n_users=300, n_items=30, n_days=10, tastes=3, events_per_day=200, taste_concentration=0.2)
LOOKS: dict[str, Any] = {
    "context_size": 3,
    "examination": tuple(examination(5)),
    "history_impressions": 0,
    "exploration": 0.3,
}


@pytest.fixture(scope="module")
def room() -> Showroom:
    return Showroom(Shop(SHOP))


def lost(room: Showroom, model: Recommender[Any]) -> np.ndarray:
    model.fit(room.data)
    return room.regret(model.top_k, REQUESTS, model.update if model.capabilities.learns_online else None)


@pytest.mark.parametrize("reward", ["click", "cart"])
def test_who_knows_the_tastes_loses_nothing(reward: Any) -> None:
    room = Showroom(Shop(SHOP), reward=reward)
    np.testing.assert_allclose(room.regret(room.oracle, 500), 0, atol=1e-9)

    def upside_down(batch: Batch, k: int) -> Ranking:
        best = room.oracle(batch, k)
        return Ranking(best.items[:, ::-1], best.scores[:, ::-1], best.propensities[:, ::-1])

    assert 0 < room.regret(upside_down, 500)[-1] < room.regret(Random().fit(room.data).top_k, 500)[-1]


@pytest.mark.parametrize("model", [Random(), Popularity()], ids=lambda model: model.name)
def test_who_learns_nothing_loses_as_much_without_end(room: Showroom, model: Recommender[Any]) -> None:
    """A straight line: no point of it is off by more than 3 % of the whole."""
    regret = lost(room, model)
    straight = regret[-1] * np.arange(1, REQUESTS + 1) / REQUESTS
    assert abs(regret - straight).max() < 0.03 * regret[-1]
    assert (np.diff(regret) >= -1e-12).all()


@pytest.mark.parametrize(
    "model",
    [
        LinUCB(LinUCBConfig(**LOOKS)),
        LinThompson(LinThompsonConfig(**LOOKS)),
        LogisticThompson(LogisticThompsonConfig(**LOOKS)),
    ],
    ids=lambda model: model.name,
)
def test_who_learns_loses_ever_less(room: Showroom, model: Recommender[Any]) -> None:
    """The last quarter costs less than half of the first, and all of it less than half of random lists."""
    regret = lost(room, model)
    quarter = REQUESTS // 4
    assert regret[-1] - regret[-quarter] < 0.5 * regret[quarter]
    assert regret[-1] < 0.5 * lost(room, Random())[-1]
