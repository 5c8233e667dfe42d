"""What the bandits lose in an environment whose success rates are known. Loose limits, fixed seeds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tastemaker.plugins import Recommender
from tastemaker_bandits.environment import Environment
from tastemaker_bandits.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
from tastemaker_bandits.lin_thompson import LinThompson, LinThompsonConfig
from tastemaker_bandits.lin_ucb import LinUCB, LinUCBConfig
from tastemaker_bandits.logistic_thompson import LogisticThompson, LogisticThompsonConfig
from tastemaker_bandits.thompson import Thompson, ThompsonConfig
from tastemaker_bandits.ucb1 import UCB1, UCB1Config

pytestmark = pytest.mark.slow

PLAIN = Environment(arms=8, taste_spread=0.0, base=-1.0, base_spread=1.0)
"""All users have the same tastes."""
PERSONAL = Environment(arms=8, taste_spread=1.5, base=-1.0, context_size=3)
LOOKED = Environment().examination
LOOKS: dict[str, Any] = {"context_size": 3, "examination": LOOKED}


def loss(model: Recommender[Any], environment: Environment, requests: int = 6000, seeds: int = 3) -> Any:
    """float64[requests]: mean cumulative regret over a few seeds."""
    return np.mean([replace(environment, seed=seed).regret(model, requests) for seed in range(seeds)], axis=0)


@pytest.mark.parametrize(
    "model",
    [
        UCB1(UCB1Config(exploration=0.5, prior_successes=0, prior_failures=0, examination=LOOKED)),
        Thompson(ThompsonConfig(prior_successes=1, prior_failures=1, examination=LOOKED)),
    ],
    ids=lambda model: model.name,
)
def test_regret_grows_sublinearly(model: Recommender[Any]) -> None:
    """The last third of the requests costs less than half of what the first third did."""
    lost = loss(model, PLAIN)
    assert lost[-1] - lost[3999] < 0.5 * lost[1999]


@pytest.mark.parametrize(
    "model",
    [
        LinUCB(LinUCBConfig(exploration=0.5, **LOOKS)),
        LinThompson(LinThompsonConfig(exploration=0.25, **LOOKS)),
        LogisticThompson(LogisticThompsonConfig(exploration=0.5, **LOOKS)),
    ],
    ids=lambda model: model.name,
)
def test_contextual_policies_have_less_regret_where_tastes_differ(model: Recommender[Any]) -> None:
    """After 3,000 requests they lose less than a third of what the best list for all loses."""
    blind = loss(Thompson(ThompsonConfig(examination=LOOKED)), PERSONAL, 3000)
    lost = loss(model, PERSONAL, 3000)
    assert lost[-1] - lost[1499] < (blind[-1] - blind[1499]) / 3


def test_forgetting_lowers_regret_where_tastes_drift() -> None:
    """New rates every 1,500 requests (about a day): a half-life and a window lose less than a full memory."""
    drifting = replace(PLAIN, change_every=1500)
    prior: dict[str, Any] = {"prior_successes": 1, "prior_failures": 1, "examination": LOOKED}
    full = loss(Thompson(ThompsonConfig(**prior)), drifting)[-1]
    assert loss(Thompson(ThompsonConfig(half_life_days=0.2, **prior)), drifting)[-1] < 0.8 * full
    assert loss(Thompson(ThompsonConfig(window_days=0.6, **prior)), drifting)[-1] < 0.8 * full


def test_examination_probabilities_lower_regret() -> None:
    """Blind to places, a policy takes items that were not looked at for items that are not liked."""
    informed = loss(EpsilonGreedy(EpsilonGreedyConfig(examination=LOOKED)), PLAIN)[-1]
    blind = loss(EpsilonGreedy(), PLAIN)[-1]
    assert informed < blind


def test_regret_is_never_negative_and_repeats() -> None:
    lost = PERSONAL.regret(Thompson(), 500)
    assert (np.diff(lost) >= -1e-12).all()
    np.testing.assert_array_equal(lost, PERSONAL.regret(Thompson(), 500))
