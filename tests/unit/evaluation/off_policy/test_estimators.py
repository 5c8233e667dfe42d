"""The estimators against answers by hand, small worlds enumerated whole, and independent formulas."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
import pytest

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy import BanditFeedback, EvaluationPolicy, estimate
from tastemaker.evaluation.off_policy import estimators as e
from tastemaker.evaluation.off_policy.diagnostics import diagnose
from tastemaker.evaluation.off_policy.estimate import evaluate
from tastemaker.evaluation.off_policy.reward_models import Logistic, Predicted, Ridge, cross_fit
from tastemaker.stats.concentration import empirical_bernstein

WEIGHTS = np.array([2.0, 0.0, 0.5, 1.5])
REWARDS = np.array([1.0, 1.0, 0.0, 2.0])
LOGGED_Q = np.array([0.5, 0.5, 1.0, 1.0])
TARGET_Q = np.array([1.0, 0.0, 0.5, 0.5])


def test_known_answers() -> None:
    """w·r is 2, 0, 0, 3; w·(r − q̂) is 1, 0, −0.5, 1.5."""
    assert e.direct_method(TARGET_Q).value == 0.5
    assert e.ips(WEIGHTS, REWARDS).value == 1.25
    assert e.clipped_ips(WEIGHTS, REWARDS, 1.0).value == 0.75
    assert e.self_normalized_ips(WEIGHTS, REWARDS).value == 1.25
    assert e.self_normalized_ips(WEIGHTS * 2, REWARDS).value == 1.25
    assert e.doubly_robust(WEIGHTS, REWARDS, LOGGED_Q, TARGET_Q).value == 1.0
    assert e.switch_doubly_robust(WEIGHTS, REWARDS, LOGGED_Q, TARGET_Q, 1.5).value == 0.75
    assert e.replay(np.array([True, False, False, True]), REWARDS).value == 1.5


def test_limits_that_nothing_reaches_change_nothing() -> None:
    assert e.clipped_ips(WEIGHTS, REWARDS, 2.0).value == e.ips(WEIGHTS, REWARDS).value
    switched = e.switch_doubly_robust(WEIGHTS, REWARDS, LOGGED_Q, TARGET_Q, 2.0)
    assert switched.value == e.doubly_robust(WEIGHTS, REWARDS, LOGGED_Q, TARGET_Q).value
    nothing = e.switch_doubly_robust(WEIGHTS, REWARDS, LOGGED_Q, TARGET_Q, 0.0)
    assert nothing.value == e.direct_method(TARGET_Q).value


def test_contributions_average_to_the_value_and_give_the_delta_methods_spread() -> None:
    """Independent: the variance of a ratio of means from the covariance of both."""
    rng = np.random.default_rng(0)
    weights, rewards = rng.gamma(2.0, 0.5, 5000), rng.random(5000)
    found = e.self_normalized_ips(weights, rewards)
    assert found.contributions.mean() == pytest.approx(found.value, abs=1e-12)
    (vn, c), (_, vd) = np.cov(weights * rewards, weights)
    mean = weights.mean()
    expected = (vn - 2 * found.value * c + found.value**2 * vd) / mean**2
    assert found.contributions.var(ddof=1) == pytest.approx(expected)


def test_each_position_is_normalized_by_itself() -> None:
    positions = np.array([0, 1, 0, 1])
    found = e.self_normalized_ips(WEIGHTS, REWARDS, positions)
    first, second = 2.0 / 2.5, 3.0 / 1.5
    assert found.value == pytest.approx((first + second) / 2)


class World:
    """Two contexts, three actions, rewards 0 or 1: small enough to be enumerated."""

    contexts = np.array([0.3, 0.7])
    logging = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    target = np.array([[0.1, 0.1, 0.8], [0.0, 0.9, 0.1]])
    rewards = np.array([[0.1, 0.9, 0.5], [0.2, 0.6, 0.3]])
    truth = float((contexts[:, None] * target * rewards).sum())

    cells = np.array(list(product(range(2), range(3), range(2))))
    x, a, r = cells.T
    chance = contexts[x] * logging[x, a] * np.where(r == 1, rewards[x, a], 1 - rewards[x, a])
    log = BanditFeedback.of(a, r, logging[x, a], n_actions=3, contexts=x[:, None])
    policy = EvaluationPolicy.of(log, target[x])

    @classmethod
    def sample(cls, n: int, rng: np.random.Generator) -> tuple[BanditFeedback, EvaluationPolicy]:
        """A log of n rounds."""
        drawn = rng.choice(len(cls.cells), n, p=cls.chance)
        x, a, r = cls.cells[drawn].T
        log = BanditFeedback.of(a, r, cls.logging[x, a], n_actions=3, contexts=x[:, None])
        return log, EvaluationPolicy.of(log, cls.target[x])


def predicted_by(table: np.ndarray) -> Predicted:
    """What a model that predicts this table, float64[n, n_actions], says of the enumerated log."""
    logged = table[np.arange(len(World.log)), World.log.actions]
    return Predicted(logged, (World.target[World.x] * table).sum(axis=1))


def test_unbiased_in_an_enumerated_world() -> None:
    """DR whatever the model says; the direct method only with the right one."""
    assert World.chance.sum() == pytest.approx(1)
    wrong = np.random.default_rng(0).random((2, 3))[World.x]
    for predicted, right in ((wrong, False), (World.rewards[World.x], True)):
        found = evaluate(World.log, World.policy, predicted_by(predicted), limit=math.inf)
        value = {name: World.chance @ each.contributions for name, each in found.items()}
        for name in ("ips", "clipped_ips", "dr", "switch_dr"):
            assert value[name] == pytest.approx(World.truth), name
        assert math.isclose(value["direct_method"], World.truth) is right


def test_replay_is_unbiased_where_logging_is_uniform() -> None:
    """Where the target's draw is the logged action, the log is a sample of the target's own."""
    matched = World.contexts[World.x] * World.target[World.x, World.a] / 3
    happened = np.where(World.r == 1, World.rewards[World.x, World.a], 1 - World.rewards[World.x, World.a])
    value = (matched * happened * World.r).sum() / (matched * happened).sum()
    assert value == pytest.approx(World.truth)
    rng = np.random.default_rng(3)
    log, target = World.sample(40_000, rng)
    uniform = BanditFeedback.of(
        actions := rng.integers(0, 3, 40_000),
        rng.random(40_000) < World.rewards[log.contexts[:, 0].astype(int), actions],
        np.full(40_000, 1 / 3),
        n_actions=3,
        contexts=log.contexts,
    )
    report = estimate(uniform, EvaluationPolicy.of(uniform, World.target[uniform.contexts[:, 0].astype(int)]))
    low, high = report.results["replay"].bootstrap[1:]
    assert low <= World.truth <= high
    assert "replay" not in estimate(log, target).results


def test_doubly_robust_halves_the_variance_with_a_good_model() -> None:
    """Against the exact variances, which the enumeration gives."""
    found = evaluate(World.log, World.policy, predicted_by(World.rewards[World.x]), limit=math.inf)
    variance = {
        name: World.chance @ (each.contributions - World.truth) ** 2
        for name, each in found.items()
        if name in ("ips", "dr")
    }
    assert variance["dr"] < variance["ips"] / 2
    log, target = World.sample(20_000, np.random.default_rng(1))
    report = estimate(log, target, reward_model=Ridge())
    assert report.results["dr"].estimate.contributions.var() < 0.6 * variance["ips"]


def test_lists_under_the_item_position_assumption() -> None:
    """All ordered pairs of three items, uniformly logged; what each position earns does not see the other."""
    earned = np.array([[0.9, 0.5, 0.1], [0.4, 0.3, 0.2]])
    pairs = list(permutations(range(3), 2))
    log = BanditFeedback.of(
        np.ravel(pairs),
        [earned[place, item] for pair in pairs for place, item in enumerate(pair)],
        np.full(12, 1 / 3),
        n_actions=3,
        positions=np.tile([0, 1], 6),
        rounds=np.repeat(range(6), 2),
    )
    target = EvaluationPolicy.by_position(log, np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    found = evaluate(log, target, None, limit=math.inf)
    assert found["ips"].value == pytest.approx(0.9 + 0.2)
    assert found["snips"].value == pytest.approx(0.9 + 0.2)
    assert len(found["ips"].contributions) == 6


@pytest.mark.parametrize("model", [Ridge(), Logistic()])
def test_reward_models_learn_and_never_see_what_they_predict(model: Ridge | Logistic) -> None:
    log, target = World.sample(6_000, np.random.default_rng(2))
    x = log.contexts[:, 0].astype(int)
    predicted = cross_fit(log, target, model, folds=3)
    assert abs(predicted.logged - World.rewards[x, log.actions]).mean() < 0.12
    assert abs(predicted.target - (World.target * World.rewards).sum(axis=1)[x]).mean() < 0.12
    changed = BanditFeedback.of(
        log.actions,
        np.r_[1 - log.rewards[0], log.rewards[1:]],
        log.propensities,
        n_actions=3,
        contexts=log.contexts,
    )
    again = cross_fit(changed, target, model, folds=3)
    assert (again.logged[0], again.target[0]) == (predicted.logged[0], predicted.target[0])
    assert not np.array_equal(again.logged, predicted.logged)


@pytest.mark.parametrize("model", [Ridge(), Logistic()])
def test_draws_stand_for_the_distribution(model: Ridge | Logistic) -> None:
    """Ten draws in exactly the target's shares say what its table says; -1 shows nothing, and is worth 0."""
    log, target = World.sample(3_000, np.random.default_rng(6))
    shares = np.array([[0] + [1] + [2] * 8, [1] * 9 + [2]])[log.contexts[:, 0].astype(int)]
    drawn = EvaluationPolicy.of_logged_actions(log, target.chosen, shares)
    one, other = (cross_fit(log, each, model) for each in (target, drawn))
    np.testing.assert_allclose(one.target, other.target, atol=1e-12)
    np.testing.assert_array_equal(one.logged, other.logged)
    half = EvaluationPolicy.of_logged_actions(log, target.chosen, np.where(np.arange(10) < 5, shares, -1))
    assert cross_fit(log, half, model).target.mean() < one.target.mean()
    assert estimate(log, drawn, reward_model=model).diagnostics.unsupported == 0


@pytest.mark.parametrize(("model", "least"), [(Ridge(), 0.77), (Logistic(), 0.6)])
def test_features_predict_actions_that_were_never_logged(model: Ridge | Logistic, least: float) -> None:
    """Rewards grow with the one feature of an action. Action 4 has the greatest, and no row in the log.

    Its mean reward is 0.8, that of the others 0.43. The logistic model's penalty draws it towards theirs.
    """
    rng = np.random.default_rng(8)
    features = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])[:, None]
    actions = rng.integers(0, 4, 8_000)
    rewards = rng.random(8_000) < 0.5 + 0.3 * features[actions, 0]
    log = BanditFeedback.of(actions, rewards, np.full(8_000, 0.25), n_actions=5, action_features=features)
    last = EvaluationPolicy.of_logged_actions(log, np.zeros(8_000), np.full((8_000, 1), 4))
    assert least < cross_fit(log, last, model).target.mean() < 0.83
    assert diagnose(log, last).unsupported == 1


def test_lightgbm_fits_the_protocol() -> None:
    lightgbm = pytest.importorskip("lightgbm")

    class Boosted:
        def fit(self, log: BanditFeedback) -> Boosted:
            data = lightgbm.Dataset(np.column_stack([log.contexts, log.actions]), log.rewards)
            settings = {"verbosity": -1, "num_threads": 1, "num_leaves": 8, "deterministic": True}
            self.trees = lightgbm.train(settings, data, num_boost_round=20)
            return self

        def predict(self, contexts: np.ndarray, positions: np.ndarray, actions: np.ndarray) -> np.ndarray:
            pairs = np.column_stack([np.repeat(contexts, actions.shape[1], axis=0), actions.ravel()])
            return np.reshape(self.trees.predict(pairs), actions.shape)

    log, target = World.sample(5_000, np.random.default_rng(4))
    low, high = estimate(log, target, reward_model=Boosted(), folds=2).results["dr"].bootstrap[1:]
    assert low <= World.truth <= high


def test_empirical_bernstein_by_hand() -> None:
    """Four values, mean 0.5, s² = 1/3, δ = 0.05: ln(80) = 4.38203."""
    found = empirical_bernstein(np.array([0.0, 0.0, 1.0, 1.0]), 0, 1)
    width = math.sqrt(2 / 3 * math.log(80) / 4) + 7 * math.log(80) / 9
    assert found.value == 0.5
    assert found.high - 0.5 == pytest.approx(width)
    assert found.low == pytest.approx(0.5 - width)


def test_empirical_bernstein_refuses_a_range_that_is_left() -> None:
    with pytest.raises(OffPolicyError, match=r"a contribution is 2\.0, must be in \[0, 1\]"):
        empirical_bernstein(np.array([0.0, 2.0]), 0, 1)


def test_a_log_of_its_own_policy_is_worth_its_mean() -> None:
    log, _ = World.sample(3_000, np.random.default_rng(5))
    report = estimate(log, EvaluationPolicy.of_logged_actions(log, log.propensities))
    for name in ("ips", "clipped_ips", "snips"):
        assert report.results[name].estimate.value == pytest.approx(report.logged.value)
        assert report.uplift(name, log).high == pytest.approx(0, abs=1e-12)
