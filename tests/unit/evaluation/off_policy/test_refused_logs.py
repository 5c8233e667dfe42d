"""What a log must be, and what it is refused for: a reason, what to log instead, and no figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy import BanditFeedback, EvaluationPolicy, estimate
from tastemaker.evaluation.off_policy.diagnostics import Diagnostics, calibration, diagnose, require_answer
from tastemaker.evaluation.off_policy.reward_models import FittedRidge, Logistic, Ridge, cross_fit

SOUND: dict[str, Any] = {"actions": [0, 1], "rewards": [0, 1], "propensities": [0.5, 1.0], "n_actions": 2}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"propensities": [0.5, 0.0]}, r"propensities\[1\] is 0\.0, must be above 0 and at most 1"),
        ({"propensities": [1.5, 0.5]}, r"propensities\[0\] is 1\.5, must be above 0 and at most 1"),
        ({"propensities": [0.5, np.nan]}, r"propensities\[1\] is nan, must be a finite number"),
        ({"propensities": [0.5, np.inf]}, r"propensities\[1\] is inf, must be a finite number"),
        ({"propensities": [1e-300, 1]}, r"propensities\[0\] is 1e-300, must be at least 1e-09"),
        ({"rewards": [1e200, 1]}, r"rewards\[0\] is 1e\+200, must be at most 1e\+15 in size"),
        ({"positions": [0, 10_000]}, r"positions\[1\] is 10000, must be below 10000"),
        (
            {"rounds": [7, 7], "positions": [1, 1]},
            "rows 0 and 1 are the same round's position 1, which shows one action",
        ),
        ({"propensities": [0.5]}, "propensities has 1 rows, actions has 2"),
        ({"rewards": [0, 1, 0]}, "rewards has 3 rows, actions has 2"),
        ({"rewards": [np.inf, 1]}, r"rewards\[0\] is inf, must be a finite number"),
        ({"actions": [0, 2]}, r"actions\[1\] is 2, must be in \[0, 2\)"),
        ({"actions": [0, 0.5]}, r"actions\[1\] is 0\.5, must be a whole number"),
        ({"actions": [], "rewards": [], "propensities": []}, "the log is empty"),
        ({"positions": [0, -1]}, r"positions\[1\] is -1, must be at least 0"),
        ({"contexts": [[1.0], [np.nan]]}, r"contexts\[1\] is \[nan\], must be a finite number"),
        ({"contexts": [1.0, 2.0]}, "contexts has 1 dimensions, must have 2"),
        ({"action_features": [[1.0]]}, "action_features has 1 rows, there are 2 actions"),
        ({"rounds": [0, 0, 1]}, "rounds has 3 rows, actions has 2"),
    ],
)
def test_a_malformed_log_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(OffPolicyError, match=message):
        BanditFeedback.of(**(SOUND | wrong))


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        ([[0.5, 0.5]], r"distribution has shape \(1, 2\), must be \(2, 2\)"),
        ([[0.5, 0.5], [0.5, 0.4]], r"row sums of the distribution\[1\] is 0\.9, must be 1"),
        ([[1.5, -0.5], [1, 0]], r"row sums of the distribution\[0\].* of no negative part"),
        ([[np.nan, 1], [1, 0]], r"distribution\[0\] is \[nan  1\.\], must be a finite number"),
    ],
)
def test_a_malformed_policy_is_refused(distribution: Any, message: str) -> None:
    with pytest.raises(OffPolicyError, match=message):
        EvaluationPolicy.of(BanditFeedback.of(**SOUND), distribution)


def test_malformed_probabilities_of_what_was_logged_are_refused() -> None:
    log = BanditFeedback.of(**SOUND)
    with pytest.raises(OffPolicyError, match=r"chosen\[0\] is 1\.1, must be in \[0, 1\]"):
        EvaluationPolicy.of_logged_actions(log, [1.1, 0.0])
    with pytest.raises(OffPolicyError, match=r"drawn has 2 rows of actions in \[0, 2\]"):
        EvaluationPolicy.of_logged_actions(log, [1.0, 0.0], np.array([[0], [2]]))
    with pytest.raises(OffPolicyError, match="chosen has 1 rows, the log has 2"):
        EvaluationPolicy.of_logged_actions(log, [1.0])


def uniform(n: int = 5_000, n_actions: int = 5, seed: int = 0) -> BanditFeedback:
    """A third of the rounds are rewarded, whatever is shown."""
    rng = np.random.default_rng(seed)
    return BanditFeedback.of(
        rng.integers(0, n_actions, n), rng.random(n) < 1 / 3, np.full(n, 1 / n_actions), n_actions=n_actions
    )


def always(log: BanditFeedback, action: int) -> EvaluationPolicy:
    """The policy that shows one action."""
    distribution = np.zeros((len(log), log.n_actions))
    distribution[:, action] = 1
    return EvaluationPolicy.of(log, distribution)


def test_diagnostics_by_hand() -> None:
    log = BanditFeedback.of([0, 1, 0, 1], [1, 0, 0, 1], [0.5, 0.25, 1.0, 0.5], n_actions=3)
    found = diagnose(log, EvaluationPolicy.by_position(log, [[0.25], [0.5], [0.25]]))
    weights = np.array([0.5, 2.0, 0.25, 1.0])
    assert found.effective_sample_size == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert found.mean_weight == weights.mean()
    assert found.mean_weight_error == pytest.approx(weights.std(ddof=1) / 2)
    assert found.max_weight == 2.0
    assert found.unsupported == 0.25  # action 2 was never logged
    assert (found.matched, found.rewarded, found.certain) == (4, 2, 0.25)


def test_refused_where_nothing_was_explored() -> None:
    log = BanditFeedback.of(np.zeros(1000), np.ones(1000), np.ones(1000), n_actions=2)
    with pytest.raises(OffPolicyError, match="every logged propensity is 1") as caught:
        estimate(log, always(log, 1))
    assert "serve a stochastic policy" in str(caught.value.fix)


def test_refused_where_an_action_was_never_logged() -> None:
    log = uniform()
    lacking = BanditFeedback.of(log.actions, log.rewards, log.propensities, n_actions=6)
    with pytest.raises(OffPolicyError, match=r"100\.0% of its probability on actions that the log never"):
        estimate(lacking, always(lacking, 5))


def test_refused_where_the_propensities_are_wrong() -> None:
    log = uniform()
    wrong = BanditFeedback.of(log.actions, log.rewards, log.propensities * 1.5, n_actions=5)
    with pytest.raises(OffPolicyError, match=r"the mean weight is 0\.6\d+ ± .*, must be 1"):
        estimate(wrong, always(wrong, 0))


def test_refused_where_the_mean_weight_shows_missing_support() -> None:
    """The distribution isn't known, but half of the target's lists hold what the log never shows."""
    log = uniform()
    half = EvaluationPolicy.of_logged_actions(log, np.where(log.actions == 0, 0.5, 0.0))
    with pytest.raises(OffPolicyError, match="the log lacks actions that the target shows"):
        estimate(log, half)


def test_refused_where_too_little_is_left() -> None:
    log = uniform(n=400, n_actions=5)
    with pytest.raises(OffPolicyError, match=r"effective sample size is \d+ of 400 .*at least 200") as caught:
        estimate(log, always(log, 2))
    assert "times as much" in str(caught.value.fix)


def test_refused_where_too_little_was_rewarded() -> None:
    log = uniform()
    poor = BanditFeedback.of(log.actions, np.arange(len(log)) < 9, log.propensities, n_actions=5)
    with pytest.raises(
        OffPolicyError, match=r"only \d of the impressions that the target might have shown are rewarded"
    ):
        estimate(poor, always(poor, 2))


def test_refused_where_few_heavy_rewards_decide() -> None:
    """Twelve rewards; one of them weighs as much as a hundred others."""
    log = uniform()
    weights = np.where(np.arange(len(log)) % 500 == 0, 100.0, 1.0)
    rare = BanditFeedback.of(log.actions, np.arange(len(log)) % 417 == 0, 1 / (5 * weights), n_actions=5)
    target = EvaluationPolicy.of_logged_actions(rare, np.full(len(log), 0.2 / weights.mean()))
    with pytest.raises(OffPolicyError, match=r"rewarded effective size is [0-9.]+, must be at least 10"):
        estimate(rare, target)


def test_refused_where_there_are_few_rounds() -> None:
    log = uniform()
    lists = np.arange(len(log)) // 100
    long = BanditFeedback.of(
        log.actions, log.rewards, log.propensities, n_actions=5, rounds=lists, positions=np.arange(5000) % 100
    )
    with pytest.raises(OffPolicyError, match="the log has 50 rounds, must have at least 100"):
        estimate(long, EvaluationPolicy.of_logged_actions(long, long.propensities))


@pytest.mark.parametrize("name", [name for name in Diagnostics._fields if name != "calibration"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_figure_that_decides_passes_as_no_number(name: str, value: float) -> None:
    """A figure that refuses some logs refuses one of which it is not known."""
    log = uniform()
    sound = diagnose(log, EvaluationPolicy.of_logged_actions(log, log.propensities))
    require_answer(sound)
    decides = {"effective_sample_size", "rounds", "rewarded", "rewarded_effective_size"}
    broken = Diagnostics(**{**sound._asdict(), name: value})
    if np.isnan(value) and name in {*decides, "mean_weight", "unsupported", "certain"}:
        with pytest.raises(OffPolicyError):
            require_answer(broken)
    if value == -np.inf and name in decides:
        with pytest.raises(OffPolicyError):
            require_answer(broken)


def test_a_target_that_knows_fewer_positions_is_refused() -> None:
    log = BanditFeedback.of([0, 1], [0, 1], [0.5, 0.5], n_actions=2, positions=[0, 2], rounds=[0, 0])
    with pytest.raises(
        OffPolicyError, match=r"positions\[1\] is 2, must be below 2, the columns of the table"
    ):
        EvaluationPolicy.by_position(log, [[0.5, 0.5], [0.5, 0.5]])


def test_a_reward_outside_the_given_range_is_refused() -> None:
    log = uniform()
    target = EvaluationPolicy.of_logged_actions(log, log.propensities)
    with pytest.raises(
        OffPolicyError, match=r"rewards\[\d+\] is 1\.0, must be in the reward_range \[0, 0\.5\]"
    ):
        estimate(log, target, reward_range=(0, 0.5))
    with pytest.raises(OffPolicyError, match="must be in the reward_range"):
        estimate(log, target, reward_range=(0, np.nan))
    with pytest.raises(OffPolicyError, match="limit is nan, must be a weight above 0"):
        estimate(log, target, limit=np.nan)


def test_a_reward_model_that_predicts_no_number_is_refused() -> None:
    class Broken(Ridge):
        def fit(self, log: BanditFeedback) -> FittedRidge:
            return FittedRidge(np.full((log.n_actions, 1), np.nan), log.n_positions)

    log = uniform()
    with pytest.raises(OffPolicyError, match="direct_method is nan, which is not a finite number"):
        estimate(log, always(log, 1), reward_model=Broken())


def test_calibration_distinguishes_right_propensities_from_wrong_ones() -> None:
    rng = np.random.default_rng(1)
    chances = rng.dirichlet(np.full(8, 2.0), 20_000)  # another distribution each round
    actions = (rng.random(20_000)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(0, 7)
    right = chances[np.arange(20_000), actions]
    sound, wrong = (
        calibration(BanditFeedback.of(actions, np.zeros(20_000), said, n_actions=8))
        for said in (right, right**0.8)
    )
    assert all(abs(each.observed - each.predicted) < 0.02 for each in sound)
    assert max(each.worst for each in wrong) > 10 > max(each.worst for each in sound)


def test_equal_propensities_share_a_bin() -> None:
    (only,) = calibration(uniform())
    assert only.pairs == 5
    assert only.predicted == pytest.approx(0.2)
    assert only.worst < 3.5


def test_a_logistic_model_needs_yes_or_no() -> None:
    log = BanditFeedback.of([0, 1], [0.5, 1], [0.5, 0.5], n_actions=2)
    with pytest.raises(OffPolicyError, match="needs rewards of 0 or 1"):
        cross_fit(log, always(log, 1), Logistic(), folds=2)
    with pytest.raises(OffPolicyError, match="neither the target's distribution nor draws are given"):
        cross_fit(log, EvaluationPolicy.of_logged_actions(log, [0.5, 0.5]), Logistic(), folds=2)
    with pytest.raises(OffPolicyError, match=r"folds is 3, must be in \[2, 2\]"):
        cross_fit(log, always(log, 1), Logistic(), folds=3)
