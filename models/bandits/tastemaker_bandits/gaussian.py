"""Bandits with a normal belief about each arm's coefficients: the base of the linear and logistic ones.

No inverse is recomputed: one observation changes it by a matrix of rank one (Sherman, Morrison).
"""

from __future__ import annotations

from abc import abstractmethod
from math import isfinite
from pathlib import Path
from typing import Annotated, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg.blas import dger

from tastemaker.errors import PluginError
from tastemaker.plugins import Batch, Feedback, Recommender, TrainingData
from tastemaker.plugins.arrays import Float32, Int64
from tastemaker_bandits.common import Approval, BanditConfig, Float64, approval, fade, observations, step_of

TINY = np.finfo(np.float32).tiny


class GaussianConfig(BanditConfig):
    """The context and the prior of the arms."""

    context_size: Annotated[int, Field(ge=0, le=1000)] = 0
    """The number of columns of the request's context. 0: it is ignored, and an arm has its intercept only."""
    intercept: bool = True
    """Put a 1 before the context; this coefficient starts at what the history says. Off: it says nothing."""
    regularization: Annotated[float, Field(gt=0)] = 1.0
    """λ, the prior precision of each coefficient."""


ConfigT = TypeVar("ConfigT", bound=GaussianConfig)


class GaussianBandit(Recommender[ConfigT]):
    """Each arm i believes that its coefficients are w_i ~ N(m_i, C_i), in the context x = (1, context):

        xᵀw_i ~ N(xᵀm_i, xᵀC_i x)

    A missing context (or value) counts as 0. C is kept in full, and its upper triangle once more in float32,
    side by side, so that all arms' variances are one product with the triangle of x xᵀ.
    Memory: 12 (d + 1)² bytes per arm.
    """

    state = ("mean", "covariance", "prior_mean", "prior_precision", "clock", "learned")

    mean: Float64
    """float64[n_items, d]: m"""
    covariance: Float64
    """float64[n_items, d, d]: C"""
    prior_mean: Float64
    """float64[n_items]: where the intercept started, and returns to as the past fades."""
    prior_precision: Float64
    """float64[d]: the diagonal of the prior's inverse covariance."""
    clock: Int64
    """int64[]: the newest step of the half-life."""
    learned: Int64
    """int64[]: rows of feedback since the fit: where in its log a replay continues."""

    @abstractmethod
    def start(self, approval: Approval, impressions: float) -> tuple[Float64, float]:
        """Return the intercepts' prior means and the precision that the history adds to them.

        Args:
            approval: The shares of users who liked and disliked each item.
            impressions: How many impressions the history counts as.

        Returns:
            float64[n_items], and one number.
        """

    @abstractmethod
    def learn(self, item: int, x: Float64, reward: float, examination: float, weight: float) -> None:
        """Learn one observation of an arm, by calling `condition`.

        Args:
            item: The arm.
            x: float64[d], the context.
            reward: The reward of the impression; it may be below 0.
            examination: The probability that the position was looked at.
            weight: The weight of the observation, below 1 if it is older than the newest.
        """

    def fit(self, data: TrainingData) -> Self:
        config = self.config
        size = config.context_size + config.intercept
        if not size:
            raise PluginError(
                f"{self.name} has nothing to learn from: context_size is 0 and intercept is off",
                fix="give context_size, the number of columns of the requests' context, or turn intercept on",
            )
        impressions = config.history_impressions if len(data.events) else 0.0
        self.prior_precision = np.full(size, config.regularization)
        self.prior_mean = np.zeros(data.n_items)
        if config.intercept:
            self.prior_mean, precision = self.start(approval(data), impressions)
            self.prior_precision[0] += precision
        self.mean = np.zeros((data.n_items, size))
        self.mean[:, 0] = self.prior_mean
        self.covariance = np.tile(np.diag(1 / self.prior_precision), (data.n_items, 1, 1))
        self.clock = self._ticks(np.asarray(data.end, np.int64))
        self.learned = np.zeros((), np.int64)
        self._derive()
        return self if data.feedback is None else self.update(data.feedback)

    @classmethod
    def load(cls, folder: Path, config: ConfigT) -> Self:
        """Load into memory, not memory-mapped: a model that learns must not write to the artifact."""
        model = super().load(folder, config)
        for name in cls.state:
            setattr(model, name, np.array(getattr(model, name)))
        model._derive()
        return model

    def update(self, feedback: Feedback) -> Self:
        known = observations(feedback, len(self.mean), self.config.examination)
        self.learned += len(feedback)
        if not len(known.items):
            return self
        contexts = self.contexts(known.context, len(known.items))
        rows = zip(known.items.tolist(), known.rewards.tolist(), known.examination.tolist(), strict=True)
        fades, order_independent = self.config.half_life_days is not None, self.capabilities.order_independent
        weights = (
            self._turn_clock(known.times).tolist() if fades and order_independent else [1.0] * len(contexts)
        )
        for row, (item, reward, examination) in enumerate(rows):
            if fades and not order_independent:  # the past fades before each row, as if rows came one by one
                weights[row] = float(self._turn_clock(known.times[row : row + 1])[0])
            self.learn(item, contexts[row], reward, examination, weights[row])
        self._refresh(known.items)
        return self

    def condition(self, item: int, cx: Float64, shrink: float, step: float) -> None:
        """Apply Bayes' rule to a normal belief and one observation of xᵀw, given Cx, in O(d²):

            C' = C - Cx (Cx)ᵀ h / (1 + h xᵀCx),    m' = m + Cx · step

        Args:
            item: The arm.
            cx: Cx, float64[d].
            shrink: h / (1 + h xᵀCx), with the observation's information h, one over its variance.
            step: The factor of Cx in the change of the mean.
        """
        dger(-shrink, cx, cx, a=self.covariance[item].T, overwrite_a=True)  # in place
        self.mean[item] += cx * step

    def contexts(self, context: Float32 | None, n: int) -> Float64:
        """Return the contexts x with their intercept, float64[n, d].

        d is `context_size`, and one more if there is an intercept, which comes first.

        Args:
            context: float32[n, context_size]; NaN and infinity count as 0, and None as 0 throughout. Ignored
                if `context_size` is 0.
            n: The number of requests or rows of feedback.

        Raises:
            PluginError: The requests' context has another width.
        """
        config = self.config
        x = np.zeros((n, self.mean.shape[1]))
        if config.intercept:
            x[:, 0] = 1
        if context is not None and config.context_size:
            if context.shape[1] != config.context_size:
                raise PluginError(
                    f"the context has {context.shape[1]} columns, {self.name} was set up for "
                    f"context_size = {config.context_size}",
                    fix="send as many numbers with each request, or train with another context_size",
                )
            x[:, config.intercept :] = context
            flat = x.ravel()
            if not isfinite(flat.dot(flat)):
                np.nan_to_num(x, copy=False, posinf=0, neginf=0)
        return x

    def beliefs(self, batch: Batch) -> tuple[Float32, Float32]:
        """Return the mean and the standard deviation of xᵀw of every arm, float32[n, n_items] each."""
        x = self.contexts(batch.context, len(batch)).astype(np.float32)
        n, size = x.shape
        products = (x[:, :, None] * x[:, None, :]).reshape(n, size * size).take(self._flat, axis=1)
        means: Float32 = x @ self._mean32.T
        variances: Float32 = (products * self._twice) @ self._packed.T
        np.maximum(variances, TINY, out=variances)
        return means, np.sqrt(variances, out=variances)

    def _derive(self) -> None:
        """Compute what follows from `state` and is kept for speed alone."""
        n_items, size = self.mean.shape
        rows, columns = np.triu_indices(size)
        self._flat = rows * size + columns
        self._twice = np.where(rows == columns, 1, 2).astype(np.float32)
        self._mean32 = np.empty((n_items, size), np.float32)
        self._packed = np.empty((n_items, len(self._flat)), np.float32)
        self._refresh(np.arange(n_items))

    def _refresh(self, items: NDArray[np.integer]) -> None:
        if len(items) == 1:
            item = int(items[0])
            self._mean32[item] = self.mean[item]
            self._packed[item] = self.covariance[item].ravel().take(self._flat)
            return
        touched = np.unique(items)
        self._mean32[touched] = self.mean[touched]
        self._packed[touched] = self.covariance.reshape(len(self.mean), -1)[touched][:, self._flat]

    def _ticks(self, times: Int64) -> Int64:
        half_life = self.config.half_life_days
        return np.zeros_like(times) if half_life is None else step_of(times, half_life)

    def _turn_clock(self, times: Int64) -> Float64:
        """Fade the beliefs to the newest step, and return the weight of each new observation.

        What was learned is the difference of natural parameters from the prior's, C⁻¹ - C₀⁻¹ and
        C⁻¹m - C₀⁻¹m₀: it fades, the prior stays.
        """
        ticks = self._ticks(times)
        newest = max(int(self.clock), int(ticks.max()))
        passed = newest - int(self.clock)
        self.clock = np.asarray(newest, np.int64)
        if passed:
            left, prior = fade(np.int64(passed)), np.diag(self.prior_precision)
            precision = np.linalg.inv(self.covariance)
            weighted = np.einsum("ijk,ik->ij", precision, self.mean) * left
            weighted[:, 0] += (1 - left) * self.prior_precision[0] * self.prior_mean
            self.covariance = np.asarray(np.linalg.inv(prior + left * (precision - prior)), np.float64)
            self.mean = np.einsum("ijk,ik->ij", self.covariance, weighted)
            self._refresh(np.arange(len(self.mean)))
        return fade(newest - ticks)
