"""A simulated environment whose success rates are known, to measure a policy's regret while it learns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit

from tastemaker.plugins import Batch, Events, Feedback, History, Recommender, TrainingData
from tastemaker_bandits.common import Float64


@dataclass(frozen=True)
class Environment:
    """Users with contexts x ~ N(0, I) look at place p of a list with probability e_p and take item i with

    P(r = 1 | i, x, p) = e_p σ(β_i + xᵀw_i),   β_i ~ N(β, σ_β²),  w_i ~ N(0, σ_w² I)
    """

    seed: int = 0
    arms: int = 20
    context_size: int = 5
    examination: tuple[float, ...] = (1.0, 0.6, 0.4)
    """e: also the length of the lists."""
    base: float = -2.0
    """β"""
    base_spread: float = 0.7
    """σ_β"""
    taste_spread: float = 0.5
    """σ_w; 0: all users are the same."""
    change_every: int = 0
    """Tastes are drawn again after so many requests; 0: never."""
    at_once: int = 20
    """Requests that are answered before their feedback is learned from."""
    seconds_between: int = 60

    def regret(self, model: Recommender[Any], requests: int) -> Float64:
        """Return the cumulative regret: the expected reward of the best list less that of the list shown.

        Each list has as many places as `examination`. The world's coins depend on the seed alone.

        Args:
            model: A bandit that learns online; it is fitted to nothing, and then learns from the clicks, in
                place.
            requests: The number of requests to answer, each with its own context.

        Returns:
            float64[requests], in clicks: the regret of each request and all before it.
        """
        model.fit(self._nothing)
        rng = np.random.default_rng([self.seed, 1])
        lost = np.empty(requests)
        looked = np.asarray(self.examination)
        k = len(looked)
        for start in range(0, requests, self.at_once):
            n = min(self.at_once, requests - start)
            x = rng.normal(size=(n, self.context_size))
            rates = self.rates(x, start)
            items = model.top_k(self._batch(x, rng, start), k).items
            chances = np.take_along_axis(rates, items.astype(np.int64), axis=1) * looked
            best = np.sort(rates, axis=1)[:, : -k - 1 : -1] @ looked
            lost[start : start + n] = best - chances.sum(axis=1)
            clicks = rng.random((n, k)) < chances
            model.update(
                Feedback(
                    users=np.full(n * k, -1, np.int32),
                    items=items.ravel(),
                    positions=np.tile(np.arange(k, dtype=np.int32), n),
                    rewards=clicks.ravel().astype(np.float32),
                    propensities=np.ones(n * k, np.float32),
                    times=np.full(n * k, start * self.seconds_between, np.int64),
                    context=np.repeat(x, k, axis=0).astype(np.float32),
                )
            )
        return np.cumsum(lost)

    def rates(self, x: Float64, request: int) -> Float64:
        """Return P(r = 1) of each arm at an examined position as of this request, float64[n, arms].

        Args:
            x: float64[n, context_size], the users' contexts.
            request: The number of the request, from 0; tastes are those of its period of `change_every`
                requests.
        """
        era = request // self.change_every if self.change_every else 0
        rng = np.random.default_rng([self.seed, 0, era])
        bases = self.base + self.base_spread * rng.normal(size=self.arms)
        tastes = self.taste_spread * rng.normal(size=(self.arms, self.context_size))
        return np.asarray(expit(bases + x @ tastes.T))

    @cached_property
    def _nothing(self) -> TrainingData:
        none = np.empty(0, np.int32)
        events = Events(none, none, none.astype(np.float32), none.astype(np.int64))
        return TrainingData(events, n_users=0, n_items=self.arms, end=0)

    def _batch(self, x: Float64, rng: np.random.Generator, start: int) -> Batch:
        n = len(x)
        return Batch(
            users=np.full(n, -1, np.int32),
            history=History.empty(n, self.arms),
            seeds=rng.integers(2**63, size=n, dtype=np.uint64),
            now=start * self.seconds_between,
            context=x.astype(np.float32),
        )
