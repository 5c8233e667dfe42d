"""Models of the expected reward q(x, a, p), and cross-fitting: no row is predicted by what saw its reward.

Another model, such as LightGBM, fits in by having the two methods below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.logged import Float64, Int64, Logged


class Fitted(Protocol):
    """A reward model that has learned."""

    def predict(self, contexts: Float64, positions: Int64) -> Float64:
        """float64[n, n_actions]: the expected reward of every action; contexts float64[n, d]."""


class RewardModel(Protocol):
    """A reward model's hyperparameters."""

    def fit(self, log: Logged) -> Fitted:
        """Learn from a log. The log's own propensities need not be used."""


def cross_fit(log: Logged, model: RewardModel, *, folds: int = 5, seed: int = 0) -> Float64:
    """float64[n, n_actions]: each row predicted by a model fitted on the other folds. Folds are of rounds.

    A model that saw rᵢ would pull q̂ᵢ towards it, and the doubly robust correction would be too small.
    Reference: Chernozhukov et al., "Double/debiased machine learning", Econometrics Journal 21, 2018.
    """
    if not 2 <= folds <= log.n_rounds:
        raise OffPolicyError(f"folds is {folds}, must be in [2, {log.n_rounds}] (the rounds)", fix="pass 5")
    fold = np.random.default_rng(seed).permutation(log.n_rounds)[log.rounds] % folds
    predicted = np.empty((len(log), log.n_actions))
    for number in range(folds):
        out = fold == number
        fitted = model.fit(log[~out])
        predicted[out] = fitted.predict(log.contexts[out], log.positions[out])
    return predicted


@dataclass(frozen=True)
class Ridge:
    """q(x, a, p) = shared ridge on (1, x, p) + each action's own ridge on what that leaves.

        θ = (ZᵀZ + λI)⁻¹ Zᵀ r,    θₐ = (ZₐᵀZₐ + λI)⁻¹ Zₐᵀ (r − Zθ)ₐ

    An action that was never logged is worth what the shared part says. Hoerl and Kennard, 1970.
    """

    regularization: float = 10.0
    """λ: in rows; an action with fewer rows than this is mostly predicted by the shared part."""

    def fit(self, log: Logged) -> FittedRidge:
        """Solve one small system for all actions and one for each. O(n d² + n_actions d³)."""
        n_positions = log.n_positions
        z = _design(log.contexts, log.positions, n_positions)
        width = z.shape[1]
        penalty = self.regularization * np.eye(width)
        shared = np.linalg.solve(z.T @ z + 1e-6 * len(z) * np.eye(width), z.T @ log.rewards)
        left = log.rewards - z @ shared
        grams = np.tile(penalty, (log.n_actions, 1, 1))
        moments = np.zeros((log.n_actions, width))
        order = np.argsort(log.actions, kind="stable")
        bounds = np.searchsorted(log.actions[order], np.arange(log.n_actions + 1))
        for action in np.flatnonzero(np.diff(bounds)):
            rows = order[bounds[action] : bounds[action + 1]]
            grams[action] += z[rows].T @ z[rows]
            moments[action] = z[rows].T @ left[rows]
        own = np.linalg.solve(grams, moments[:, :, None])[:, :, 0]
        return FittedRidge(shared + own, n_positions)


@dataclass(frozen=True, eq=False)
class FittedRidge:
    """Coefficients."""

    coefficients: Float64
    """float64[n_actions, width]"""
    n_positions: int

    def predict(self, contexts: Float64, positions: Int64) -> Float64:
        """Zθₐ for every action."""
        predicted: Float64 = _design(contexts, positions, self.n_positions) @ self.coefficients.T
        return predicted


@dataclass(frozen=True)
class Logistic:
    """For rewards that are 0 or 1:  q(x, a, p) = σ(zᵀθ + αₐ),  penalty (λ/2)(‖θ‖² + ‖α‖²), intercept free."""

    regularization: float = 1.0
    """λ"""

    def fit(self, log: Logged) -> FittedLogistic:
        """L-BFGS on the convex log loss. Raises OffPolicyError if a reward is neither 0 nor 1."""
        if not np.isin(log.rewards, (0.0, 1.0)).all():
            raise OffPolicyError("a logistic reward model needs rewards of 0 or 1", fix="use Ridge()")
        z = _design(log.contexts, log.positions, log.n_positions)
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
        return FittedLogistic(found.x[:width], found.x[width:], log.n_positions)


@dataclass(frozen=True, eq=False)
class FittedLogistic:
    """Coefficients."""

    shared: Float64
    """float64[width]"""
    actions: Float64
    """float64[n_actions]"""
    n_positions: int

    def predict(self, contexts: Float64, positions: Int64) -> Float64:
        """The probability of a reward, for every action."""
        base = _design(contexts, positions, self.n_positions) @ self.shared
        predicted: Float64 = expit(base[:, None] + self.actions)
        return predicted


def _design(contexts: Float64, positions: Int64, n_positions: int) -> Float64:
    """float64[n, n_positions + d]: 1, each position but the first as 0 or 1, the context."""
    at = positions[:, None] == np.arange(1, n_positions)
    return np.column_stack([np.ones(len(positions)), at.astype(np.float64), contexts])
