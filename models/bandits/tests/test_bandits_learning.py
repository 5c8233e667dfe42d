"""The checks of learning where the past fades and where there is a context: the defaults have neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastemaker.plugins import Batch, Events, Feedback, History, Recommender, TrainingData
from tastemaker.plugins.checks import Check, Subject, learning
from tastemaker_bandits.epsilon_greedy import EpsilonGreedy
from tastemaker_bandits.lin_thompson import LinThompson, LinThompsonConfig
from tastemaker_bandits.lin_ucb import LinUCB, LinUCBConfig
from tastemaker_bandits.logistic_thompson import LogisticThompson, LogisticThompsonConfig
from tastemaker_bandits.thompson import Thompson, ThompsonConfig
from tastemaker_bandits.ucb1 import UCB1, UCB1Config

ARMS, WIDTH, ROWS = 6, 4, 300


class FadingConfig(ThompsonConfig):
    """Feedback of three days ago counts half; few look at the lower places."""

    half_life_days: float | None = 3.0
    examination: tuple[float, ...] = (1.0, 0.5, 0.25)


class FadingThompson(Thompson):
    """With a half-life."""

    config_type = FadingConfig


class SlidingConfig(UCB1Config):
    """Only the last four days count."""

    window_days: float | None = 4.0


class SlidingUCB1(UCB1):
    """With a window."""

    config_type = SlidingConfig


class FadingLinearConfig(LinThompsonConfig):
    """Feedback of three days ago counts half."""

    half_life_days: float | None = 3.0
    history_impressions: float = 20.0


class FadingLinThompson(LinThompson):
    """With a half-life."""

    config_type = FadingLinearConfig


@pytest.mark.parametrize("check", learning.CHECKS[1:], ids=lambda check: check.__name__)
@pytest.mark.parametrize("model", [FadingThompson, SlidingUCB1, FadingLinThompson])
def test_what_fades_passes_the_checks_of_learning(model: type[Recommender[Any]], check: Check) -> None:
    check(Subject(model))


def feedback() -> Feedback:
    rng = np.random.default_rng(6)
    return Feedback(
        users=np.zeros(ROWS, np.int32),
        items=rng.integers(0, ARMS, ROWS).astype(np.int32),
        positions=rng.integers(0, 3, ROWS).astype(np.int32),
        rewards=(rng.random(ROWS) < 0.3).astype(np.float32),
        propensities=np.ones(ROWS, np.float32),
        times=np.sort(rng.integers(0, 5 * 86_400, ROWS)),
        context=rng.normal(size=(ROWS, WIDTH)).astype(np.float32),
    )


def linear_models() -> list[Recommender[Any]]:
    looks: dict[str, Any] = {"context_size": WIDTH, "examination": (1.0, 0.7, 0.5), "half_life_days": 2.0}
    return [
        LinUCB(LinUCBConfig(**looks)),
        LinThompson(LinThompsonConfig(**looks)),
        LogisticThompson(LogisticThompsonConfig(**looks)),
    ]


def fitted(model: Recommender[Any]) -> Any:
    none = np.empty(0, np.int32)
    events = Events(none, none, none.astype(np.float32), none.astype(np.int64))
    return type(model)(model.config).fit(TrainingData(events, 0, ARMS, end=0))


def require_same_beliefs(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-8, atol=1e-10)
    assert one.clock == other.clock
    assert one.learned == other.learned


@pytest.mark.parametrize("model", linear_models(), ids=lambda model: model.name)
def test_with_a_context_one_batch_is_one_by_one(model: Recommender[Any]) -> None:
    """To 1e-8: where order is indifferent, a batch fades the past once and its rows each at their time."""
    log, at_once, alone = feedback(), fitted(model), fitted(model)
    at_once.update(log)
    for row in range(ROWS):
        alone.update(log[row : row + 1])
    require_same_beliefs(at_once, alone)


@pytest.mark.parametrize("model", linear_models()[:2], ids=lambda model: model.name)
def test_with_a_context_replicas_converge(model: Recommender[Any]) -> None:
    log = feedback()
    order = np.random.default_rng(1).permutation(ROWS)
    one, other = fitted(model).update(log), fitted(model)
    for start in range(0, ROWS, 11):
        other.update(log[order[start : start + 11]])
    require_same_beliefs(one, other)


@pytest.mark.parametrize("model", linear_models(), ids=lambda model: model.name)
def test_with_a_context_snapshot_and_replay_lose_nothing(model: Recommender[Any], tmp_path: Path) -> None:
    """The snapshot says where in the log the replay continues; the state is then the same to the last bit."""
    log = feedback()
    running = fitted(model).update(log[:130])
    running.save(tmp_path)
    running.update(log[130:])
    restarted: Any = type(model).load(tmp_path, model.config)
    restarted.update(log[int(restarted.learned) :])
    np.testing.assert_array_equal(running.mean, restarted.mean)
    np.testing.assert_array_equal(running.covariance, restarted.covariance)
    batch = Batch(
        np.full(5, -1, np.int32),
        History.empty(5, ARMS),
        np.arange(5, dtype=np.uint64),
        now=0,
        context=np.ones((5, WIDTH), np.float32),
    )
    for part, again in zip(running.recommend(batch, 3), restarted.recommend(batch, 3), strict=True):
        np.testing.assert_array_equal(part, again)


@pytest.mark.parametrize("kind", [EpsilonGreedy, UCB1, Thompson, LinUCB, LinThompson, LogisticThompson])
def test_harm_counts_for_more_than_no_success_and_by_its_size(kind: type[Recommender[Any]]) -> None:
    """Half of what is shown pleases; the other half does nothing, some harm, or more harm."""

    def belief(reward: float) -> float:
        n = 20
        learned = fitted(kind(history_impressions=0)).update(
            Feedback(
                users=np.zeros(n, np.int32),
                items=np.zeros(n, np.int32),
                positions=np.zeros(n, np.int32),
                rewards=np.resize(np.array([1, reward], np.float32), n),
                propensities=np.ones(n, np.float32),
                times=np.arange(n, dtype=np.int64),
            )
        )
        if hasattr(learned, "totals"):
            impressions, rewards = learned.totals()
            return float(rewards[0] / impressions[0])
        return float(learned.mean[0, 0])

    assert belief(0.0) > belief(-0.25) > belief(-1.0)


@pytest.mark.parametrize("kind", [EpsilonGreedy, UCB1, Thompson])
def test_harm_adds_its_size_to_the_impressions(kind: type[Recommender[Any]]) -> None:
    rewards = np.array([1, 0.5, 0, -0.25, -1, -7], np.float32)
    model = fitted(kind(history_impressions=0)).update(
        Feedback(
            users=np.zeros(6, np.int32),
            items=np.zeros(6, np.int32),
            positions=np.zeros(6, np.int32),
            rewards=rewards,
            propensities=np.ones(6, np.float32),
            times=np.arange(6, dtype=np.int64),
        )
    )
    assert model.impressions.sum() == pytest.approx(6 + 0.25 + 1 + 1)
    assert model.rewards.sum() == pytest.approx(1.5)
