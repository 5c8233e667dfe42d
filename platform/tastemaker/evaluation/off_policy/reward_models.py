"""Models of the expected reward q(x, a, p), and cross-fitting: no row's model was fitted on its reward.

Another model, such as LightGBM, can be used if it implements the two protocols below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.bandit_feedback import BanditFeedback, EvaluationPolicy, Float64, Int64

AT_ONCE = 500_000
"""Pairs of impression and action that are predicted in one call."""


class FittedRewardModel(Protocol):
    """Protocol of a fitted reward model."""

    def predict(self, contexts: Float64, positions: Int64, actions: Int64) -> Float64:
        """Return the expected rewards of c actions for each of n contexts.

        Args:
            contexts: float64[n, d].
            positions: int64[n].
            actions: int64[n, c].

        Returns:
            float64[n, c].
        """


class RewardModel(Protocol):
    """Protocol of a reward model that can be fitted."""

    def fit(self, log: BanditFeedback) -> FittedRewardModel:
        """Fit to a log. The log's propensities need not be used."""


class Predicted(NamedTuple):
    """Predictions of a reward model for each impression."""

    logged: Float64
    """q̂ᵢ, float64[n]: for the logged action."""
    target: Float64
    """q̂πᵢ, float64[n]: in expectation over the target's actions."""

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest prediction."""
        return float(min(map(np.min, self))), float(max(map(np.max, self)))


def cross_fit(
    log: BanditFeedback, target: EvaluationPolicy, model: RewardModel, *, folds: int = 5, seed: int = 0
) -> Predicted:
    """Predict each row by a model fitted on the other folds. Folds are of rounds.

    A model that saw rᵢ would pull q̂ᵢ towards it, and the doubly robust correction would be too small.
    Reference: Chernozhukov et al., "Double/debiased machine learning", Econometrics Journal 21, 2018.

    Args:
        log: The logged impressions.
        target: The policy to be evaluated, with its distribution or draws.
        model: The reward model.
        folds: The number of folds, at least 2.
        seed: Seed of the folds.

    Returns:
        Predictions of the reward of each impression, in the order of the log.

    Raises:
        OffPolicyError: `folds` is out of range, or neither the target's distribution nor draws are given.
    """
    if not 2 <= folds <= log.n_rounds:
        raise OffPolicyError(f"folds is {folds}, must be in [2, {log.n_rounds}] (the rounds)", fix="pass 5")
    if (support := target.support(log.n_actions)) is None:
        raise OffPolicyError(
            "neither the target's distribution nor draws are given", fix="pass its distribution, or draws"
        )
    fold = np.random.default_rng(seed).permutation(log.n_rounds)[log.rounds] % folds
    found = Predicted(np.empty(len(log)), np.empty(len(log)))
    step = max(1, AT_ONCE // support[0].shape[1])
    for number in range(folds):
        fitted = model.fit(log[fold != number])
        out = np.flatnonzero(fold == number)
        for rows in (out[start : start + step] for start in range(0, len(out), step)):
            actions, chances = (part[rows] for part in support)
            known = log.contexts[rows], log.positions[rows]
            found.logged[rows] = fitted.predict(*known, log.actions[rows, None])[:, 0]
            found.target[rows] = (fitted.predict(*known, np.maximum(actions, 0)) * chances).sum(axis=1)
    return found


@dataclass(frozen=True)
class Ridge:
    """Reward model: a regression on (z, φₐ) shared by all actions, plus a ridge per action on its residuals.

        (θ, ψ) = argmin ‖r − Zθ − Φψ‖²,    θₐ = (ZₐᵀZₐ + λI)⁻¹ Zₐᵀ (r − Zθ − Φψ)ₐ,    q = zᵀ(θ + θₐ) + φₐᵀψ

    z = (1, x, p), and φₐ are the action's features. An action that was never logged is predicted by the
    shared part. Reference: Hoerl and Kennard, 1970.
    """

    regularization: float = 10.0
    """λ, in rows: an action with fewer rows than this is mostly predicted by the shared part."""

    def fit(self, log: BanditFeedback) -> FittedRidge:
        """Solve one small system for all actions and one for each logged. O(n d² + n_actions d³)."""
        z = _design(log.contexts, log.positions, log.n_positions)
        width = z.shape[1]
        both = np.column_stack([z, log.action_features[log.actions]])
        shared = np.linalg.solve(both.T @ both + 1e-6 * len(z) * np.eye(both.shape[1]), both.T @ log.rewards)
        left = log.rewards - both @ shared
        coefficients = np.tile(shared[:width], (log.n_actions, 1))
        coefficients[:, 0] += log.action_features @ shared[width:]
        penalty = self.regularization * np.eye(width)
        order = np.argsort(log.actions, kind="stable")
        bounds = np.searchsorted(log.actions[order], np.arange(log.n_actions + 1))
        for action in np.flatnonzero(np.diff(bounds)):
            rows = order[bounds[action] : bounds[action + 1]]
            gram, cross = z[rows].T @ z[rows] + penalty, z[rows].T @ left[rows]
            coefficients[action] += np.linalg.solve(gram, cross)
        return FittedRidge(coefficients, log.n_positions)


@dataclass(frozen=True, eq=False)
class FittedRidge:
    """Fitted `Ridge`."""

    coefficients: Float64
    """float64[n_actions, width]: θ + θₐ, and φₐᵀψ in the first column."""
    n_positions: int

    def predict(self, contexts: Float64, positions: Int64, actions: Int64) -> Float64:
        """Return the expected rewards, zᵀ(θ + θₐ) + φₐᵀψ, float64[n, c].

        Args:
            contexts: float64[n, d].
            positions: int64[n].
            actions: int64[n, c].
        """
        z = _design(contexts, positions, self.n_positions)
        return np.asarray(np.einsum("nw,ncw->nc", z, self.coefficients[actions]))


@dataclass(frozen=True)
class Logistic:
    """Reward model for rewards of 0 or 1:  q(x, a, p) = σ(zᵀθ + φₐᵀψ + αₐ), φₐ the action's features.

    The penalty is (λ/2)(‖θ‖² + ‖ψ‖² + ‖α‖²), without the intercept.
    """

    regularization: float = 1.0
    """λ"""

    def fit(self, log: BanditFeedback) -> FittedLogistic:
        """Fit by L-BFGS on the convex log loss. Raises OffPolicyError if a reward is neither 0 nor 1."""
        if not np.isin(log.rewards, (0.0, 1.0)).all():
            raise OffPolicyError("a logistic reward model needs rewards of 0 or 1", fix="use Ridge()")
        own = _design(log.contexts, log.positions, log.n_positions)
        z = np.column_stack([own, log.action_features[log.actions]])
        width = z.shape[1]
        penalized = np.r_[0.0, np.ones(width - 1 + log.n_actions)] * self.regularization

        def loss(parameters: Float64) -> tuple[float, Float64]:
            logits = z @ parameters[:width] + parameters[width:][log.actions]
            slope = expit(logits) - log.rewards
            gradient = np.r_[z.T @ slope, np.bincount(log.actions, weights=slope, minlength=log.n_actions)]
            value = float((np.logaddexp(0, logits) - log.rewards * logits).sum())
            return value + float(penalized @ parameters**2) / 2, gradient + penalized * parameters

        start = np.zeros(width + log.n_actions)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
        shared, of_features = np.split(found.x[:width], [own.shape[1]])
        actions = found.x[width:] + log.action_features @ of_features
        return FittedLogistic(shared, actions, log.n_positions)


@dataclass(frozen=True, eq=False)
class FittedLogistic:
    """Fitted `Logistic`."""

    shared: Float64
    """float64[width]"""
    actions: Float64
    """float64[n_actions]: φₐᵀψ + αₐ"""
    n_positions: int

    def predict(self, contexts: Float64, positions: Int64, actions: Int64) -> Float64:
        """Return the probabilities of a reward, σ(zᵀθ + φₐᵀψ + αₐ), float64[n, c].

        Args:
            contexts: float64[n, d].
            positions: int64[n].
            actions: int64[n, c].
        """
        base = _design(contexts, positions, self.n_positions) @ self.shared
        predicted: Float64 = expit(base[:, None] + self.actions[actions])
        return predicted


def _design(contexts: Float64, positions: Int64, n_positions: int) -> Float64:
    """Return float64[n, n_positions + d]: 1, each position except the first as 0 or 1, the context."""
    at = positions[:, None] == np.arange(1, n_positions)
    return np.column_stack([np.ones(len(positions)), at.astype(np.float64), contexts])
