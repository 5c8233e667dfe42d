"""The bandits against answers worked out by hand or another way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import beta, kstest

from tastemaker.errors import PluginError
from tastemaker.plugins import Batch, Events, Feedback, History, Recommender, TrainingData
from tastemaker_bandits.beta_sampler import BetaSampler
from tastemaker_bandits.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
from tastemaker_bandits.lin_thompson import LinThompson, LinThompsonConfig
from tastemaker_bandits.lin_ucb import LinUCB, LinUCBConfig
from tastemaker_bandits.logistic_thompson import LogisticThompson, LogisticThompsonConfig
from tastemaker_bandits.thompson import Thompson, ThompsonConfig
from tastemaker_bandits.ucb1 import UCB1, UNTRIED, UCB1Config

DAY = 86_400
NO_EVENTS = Events(
    np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64)
)


def arms(n: int) -> TrainingData:
    """A catalogue without a past."""
    return TrainingData(NO_EVENTS, n_users=0, n_items=n, end=0)


def shown(
    items: list[int],
    rewards: list[float],
    *,
    positions: list[int] | None = None,
    days: list[float] | None = None,
    context: NDArray[Any] | None = None,
) -> Feedback:
    n = len(items)
    return Feedback(
        users=np.zeros(n, np.int32),
        items=np.array(items, np.int32),
        positions=np.zeros(n, np.int32) if positions is None else np.array(positions, np.int32),
        rewards=np.array(rewards, np.float32),
        propensities=np.ones(n, np.float32),
        times=(np.zeros(n) if days is None else np.array(days) * DAY).astype(np.int64),
        context=None if context is None else context.astype(np.float32),
    )


def ask(n_items: int, n: int = 1, context: NDArray[Any] | None = None) -> Batch:
    return Batch(
        np.full(n, -1, np.int32),
        History.empty(n, n_items),
        np.arange(n, dtype=np.uint64),
        now=0,
        context=None if context is None else context.astype(np.float32),
    )


def by_item(model: Recommender[Any], batch: Batch, n_items: int) -> NDArray[np.float32]:
    """The scores of the first row, by item number."""
    ranking = model.recommend(batch, n_items)
    scores = np.empty(n_items, np.float32)
    scores[ranking.items[0]] = ranking.scores[0]
    return scores


def test_ucb1_by_hand() -> None:
    """Three arms shown 2, 1 and 0 times: 1/2 + √(2 ln 3 / 2), 0 + √(2 ln 3 / 1), and untried first."""
    model = UCB1(UCB1Config(prior_successes=0, prior_failures=0)).fit(arms(3))
    model.update(shown([0, 0, 1], [1, 0, 0]))
    assert model.recommend(ask(3), 3).items.tolist() == [[2, 0, 1]]
    assert by_item(model, ask(3), 3) == pytest.approx(
        [0.5 + np.log(3) ** 0.5, (2 * np.log(3)) ** 0.5, UNTRIED]
    )


def test_the_history_is_worth_what_the_config_says() -> None:
    """Of four users three had item 0, one had item 1: 8 impressions say 6 and 2 successes, plus the prior."""
    events = Events(
        np.array([0, 1, 2, 3, 3, 3], np.int32),
        np.array([0, 0, 0, 1, 1, 2], np.int32),
        np.array([1, 1, 1, 1, 1, 0], np.float32),
        np.arange(6),
    )
    data = TrainingData(events, n_users=5, n_items=3, end=DAY)
    config = ThompsonConfig(history_impressions=8, prior_successes=1, prior_failures=2)
    a, b = Thompson(config).fit(data).posterior()
    assert a.tolist() == [7, 3, 1]
    assert b.tolist() == [4, 8, 10]
    ridge = LinUCB(LinUCBConfig(history_impressions=8, regularization=2)).fit(data)
    assert ridge.mean[:, 0] == pytest.approx(np.array([6, 2, 0]) / 10)
    logistic = LogisticThompson(LogisticThompsonConfig(history_impressions=8)).fit(data)
    assert expit(logistic.mean[:, 0]) == pytest.approx(np.array([6.5, 2.5, 0.5]) / 9)


def test_logged_feedback_is_learned_by_fit() -> None:
    feedback = shown([1, 1, 0], [1, 0, 0])
    fitted = Thompson().fit(replace(arms(2), feedback=feedback))
    updated = Thompson().fit(arms(2)).update(feedback)
    np.testing.assert_array_equal(fitted.posterior(), updated.posterior())
    assert fitted.learned == updated.learned == 3


def test_beta_posterior_counts_successes_and_failures() -> None:
    model = Thompson(ThompsonConfig(prior_successes=1, prior_failures=1)).fit(arms(2))
    model.update(shown([0, 0, 0, 1, -1], [1, 0, 1, 0, 1]))
    a, b = model.posterior()
    assert (a.tolist(), b.tolist()) == ([3, 1], [2, 2])


def test_a_place_that_few_look_at_counts_less() -> None:
    """Place 2 is looked at by a quarter: four showings there are one at place 1."""
    model = EpsilonGreedy(EpsilonGreedyConfig(prior_failures=0, prior_successes=0, examination=(1, 0.25)))
    model.fit(arms(2)).update(shown([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 0, 1], positions=[1, 1, 2, 7, 0, 0]))
    impressions, rewards = model.totals()
    assert (impressions.tolist(), rewards.tolist()) == ([1, 2], [1, 1])


def test_position_bias_is_removed() -> None:
    """θ = 0.4 shown at five places, looked at ever less: counts and regressions find 0.4."""
    rng = np.random.default_rng(3)
    looked = (1.0, 0.6, 0.4, 0.3, 0.2)
    places = rng.integers(0, 5, 40_000)
    clicks = (rng.random(places.size) < 0.4 * np.array(looked)[places]).astype(float)
    feedback = shown([0] * places.size, clicks.tolist(), positions=places.tolist())
    counts = UCB1(UCB1Config(examination=looked)).fit(arms(1)).update(feedback)
    impressions, rewards = counts.totals()
    assert rewards[0] / impressions[0] == pytest.approx(0.4, abs=0.015)
    line = LinUCB(LinUCBConfig(examination=looked)).fit(arms(1)).update(feedback)
    assert line.mean[0, 0] == pytest.approx(0.4, abs=0.015)


def test_feedback_fades_by_half_with_each_half_life() -> None:
    config = EpsilonGreedyConfig(half_life_days=4, prior_failures=0, prior_successes=0)
    model = EpsilonGreedy(config).fit(arms(2)).update(shown([0, 0, 1], [1, 0, 1], days=[0, 4, 8]))
    assert model.totals()[0] == pytest.approx([1 / 4 + 1 / 2, 1])
    model.update(shown([0], [1], days=[4]))  # comes late, counts as if it had been in time
    assert model.totals()[0] == pytest.approx([1 / 4 + 1 / 2 + 1 / 2, 1])


def test_a_window_forgets_what_left_it() -> None:
    config = UCB1Config(window_days=16, prior_failures=0, prior_successes=0)
    model = UCB1(config).fit(arms(3)).update(shown([0, 1], [1, 1], days=[0, 10]))
    assert model.totals()[0].tolist() == [1, 1, 0]
    model.update(shown([2, 0], [0, 0], days=[17, 0.5]))  # the second comes late, and after its time
    assert model.totals()[0].tolist() == [0, 1, 1]
    model.update(shown([2], [0], days=[500]))
    assert model.totals()[0].tolist() == [0, 0, 1]


def test_two_ways_to_forget_are_refused() -> None:
    with pytest.raises(ValidationError, match="choose one way to forget"):
        UCB1Config(window_days=3, half_life_days=3)


def test_lin_ucb_is_a_ridge_regression_an_arm() -> None:
    """Means and bonuses against explicit normal equations, at places of different examination."""
    rng = np.random.default_rng(0)
    n, d, m = 300, 4, 5
    looked = np.array([1.0, 0.5])
    items, places, x = rng.integers(0, m, n), rng.integers(0, 2, n), rng.normal(size=(n, d))
    rewards = rng.random(n)
    model = LinUCB(LinUCBConfig(context_size=d, regularization=0.7, exploration=1.3, examination=(1.0, 0.5)))
    model.fit(arms(m)).update(shown(items.tolist(), rewards.tolist(), positions=places.tolist(), context=x))
    request = np.array([[0.3, -1.0, 2.0, 0.1]])
    scores = by_item(model, ask(m, context=request), m)
    full = np.hstack((np.ones((n, 1)), x.astype(np.float32)))
    z = np.append(1, request)
    for item in range(m):
        mine = items == item
        rows = full[mine] * looked[places[mine], None]
        gram = 0.7 * np.eye(d + 1) + rows.T @ rows
        theta = np.linalg.solve(gram, rows.T @ rewards[mine])
        bonus = 1.3 * np.sqrt(z @ np.linalg.solve(gram, z))
        assert scores[item] == pytest.approx(z @ theta + bonus, rel=1e-4)


def test_a_faded_regression_is_a_weighted_one() -> None:
    rng = np.random.default_rng(1)
    x, rewards, days = rng.normal(size=(60, 2)), rng.random(60), np.sort(rng.integers(0, 9, 60))
    config = LinUCBConfig(context_size=2, intercept=False, half_life_days=3, regularization=0.5)
    model = LinUCB(config).fit(arms(1))
    for start in range(0, 60, 13):
        part = slice(start, start + 13)
        model.update(
            shown([0] * len(x[part]), rewards[part].tolist(), days=days[part].tolist(), context=x[part])
        )
    steps = np.floor(days / (3 / 32))
    weights = np.exp2(-(steps.max() - steps) / 32)
    rows = x.astype(np.float32).astype(float)
    gram = 0.5 * np.eye(2) + (rows * weights[:, None]).T @ rows
    assert model.covariance[0] == pytest.approx(np.linalg.inv(gram))
    assert model.mean[0] == pytest.approx(
        np.linalg.solve(gram, (rows * weights[:, None]).T @ rewards), rel=1e-5
    )


def _negative_log_posterior(
    w: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], precision: float
) -> float:
    z = x @ w
    return float(0.5 * precision * w @ w + np.logaddexp(0, z).sum() - y @ z)


def test_one_logistic_update_finds_the_exact_mode() -> None:
    """Against scipy's minimum; the new precision is the Hessian there."""
    x = np.array([[1.0, 0.5, -2.0]])
    for reward in (1.0, 0.0, 0.3):
        model = LogisticThompson(LogisticThompsonConfig(context_size=2, regularization=0.2)).fit(arms(1))
        model.update(shown([0], [reward], context=x[:, 1:]))
        y = np.array([np.float64(np.float32(reward))])
        found = minimize(_negative_log_posterior, np.zeros(3), (x, y, 0.2), tol=1e-12)
        assert model.mean[0] == pytest.approx(found.x, abs=1e-5)
        chance = expit(x[0] @ model.mean[0])
        hessian = 0.2 * np.eye(3) + chance * (1 - chance) * np.outer(x, x)
        assert model.covariance[0] == pytest.approx(np.linalg.inv(hessian))


def test_many_logistic_updates_come_near_the_batch_optimum() -> None:
    """The online belief after 2,000 clicks lies within one posterior standard deviation of the optimum."""
    rng = np.random.default_rng(5)
    x = np.hstack((np.ones((2000, 1)), rng.normal(size=(2000, 2))))
    y = (rng.random(2000) < expit(x @ [-1.0, 0.8, -0.5])).astype(np.float64)
    model = LogisticThompson(LogisticThompsonConfig(context_size=2)).fit(arms(1))
    model.update(shown([0] * 2000, y.tolist(), context=x[:, 1:]))
    best = minimize(_negative_log_posterior, np.zeros(3), (x, y, 1.0), tol=1e-10).x
    chance = expit(x @ best)
    deviations = np.sqrt(np.diag(np.linalg.inv(np.eye(3) + (x * (chance * (1 - chance))[:, None]).T @ x)))
    assert (np.abs(model.mean[0] - best) < deviations).all()
    assert np.sqrt(np.diag(model.covariance[0])) == pytest.approx(deviations, rel=0.1)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.9), (0.5, 40.0), (1.0, 1.0), (3.0, 2.0), (60.0, 940.0)])
def test_beta_variates_are_beta_distributed(a: float, b: float) -> None:
    """Kolmogorov and Smirnov's test of 20,000 variates does not reject at one in ten thousand."""
    log_odds = BetaSampler(np.full(100, a), np.full(100, b)).sample(np.arange(200, dtype=np.uint64))
    values = expit(log_odds.ravel().astype(np.float64))
    assert kstest(values, beta(a, b).cdf).pvalue > 1e-4


def test_context_of_another_width_is_refused() -> None:
    model = LinThompson(LinThompsonConfig(context_size=3)).fit(arms(2))
    with pytest.raises(PluginError, match="the context has 2 columns"):
        model.recommend(ask(2, context=np.ones((1, 2))), 1)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_context_that_is_not_finite_counts_as_zero(missing: float) -> None:
    learned = [
        LinUCB(LinUCBConfig(context_size=2))
        .fit(arms(3))
        .update(shown([0, 1], [1, 0], context=np.array([[1.0, value], [0.5, 2]])))
        for value in (missing, 0.0)
    ]
    asked = [None, np.array([[0.0, missing]])]
    scores = [model.recommend(ask(3, context=context), 3).scores for model in learned for context in asked]
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, scores[:1] * 4)


def test_a_bandit_without_anything_to_look_at_is_refused() -> None:
    with pytest.raises(PluginError, match="nothing to learn from"):
        LinUCB(LinUCBConfig(intercept=False)).fit(arms(2))


def test_feedback_about_an_item_beyond_the_catalogue_is_refused() -> None:
    with pytest.raises(PluginError, match="item 2, but the model has 2 arms"):
        UCB1().fit(arms(2)).update(shown([2], [1.0]))


def test_arms_without_a_past_are_explored_sooner_or_later() -> None:
    """Three arms fail 200 times each; one was never shown: it is now in nearly all lists of one."""
    model = Thompson(ThompsonConfig(prior_successes=1, prior_failures=1)).fit(arms(4))
    model.update(shown([0, 1, 2] * 200, [0.0] * 600))
    first = model.recommend(ask(4, 200), 1).items[:, 0]
    assert (first == 3).mean() > 0.9
