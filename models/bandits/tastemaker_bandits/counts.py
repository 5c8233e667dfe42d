"""Bandits whose arms have two sums each, of impressions and of rewards: the base of three policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tastemaker.plugins import Feedback, Recommender, TrainingData
from tastemaker.plugins.arrays import Int64
from tastemaker_bandits.common import (
    SECONDS_PER_DAY,
    BanditConfig,
    Float64,
    approval,
    fade,
    harm,
    observations,
    step_of,
)

BUCKETS = 16
"""A window slides in sixteenths of its length: it holds between 15/16 and all of it."""


class CountConfig(BanditConfig):
    """How the sums start and how they fade."""

    prior_successes: Annotated[float, Field(ge=0)] = 0.1
    """Successes that each arm starts with, beside those of the history."""
    prior_failures: Annotated[float, Field(ge=0)] = 0.9
    """Failures that each arm starts with, beside those of the history."""
    window_days: Annotated[float, Field(gt=0, le=3650)] | None = None
    """Only feedback of this many days before the newest counts. None: all counts. Not with half_life_days."""

    @model_validator(mode="after")
    def _one_way_to_forget(self) -> Self:
        if self.window_days is not None and self.half_life_days is not None:
            raise ValueError("window_days and half_life_days are both given; choose one way to forget")
        return self


ConfigT = TypeVar("ConfigT", bound=CountConfig)


class CountBandit(Recommender[ConfigT]):
    """The sums N_i = Σ w (e_p + h) of impressions and S_i = Σ w r of rewards over the feedback about i.

    r is the reward cut to [0, 1], h = min(-reward, 1) where that is below 0, else 0: an item that did harm
    counts as one more failed impression. e_p is the place's examination probability; w is 1, fades as
    2^(-age / half-life), or is 1 inside the window and 0 outside. The prior never fades. The order of
    feedback is indifferent: w is a function of the times alone, and what comes late finds the place that it
    would have had.
    """

    state = ("impressions", "rewards", "prior_impressions", "prior_rewards", "clock", "learned")

    impressions: Float64
    """float64[buckets, n_items]: N, one row unless a window slides."""
    rewards: Float64
    """float64[buckets, n_items]: S"""
    prior_impressions: Float64
    prior_rewards: Float64
    clock: Int64
    """int64[]: the newest step of the half-life, or the newest bucket of the window."""
    learned: Int64
    """int64[]: rows of feedback since the fit: where in its log a replay continues."""

    def fit(self, data: TrainingData) -> Self:
        config = self.config
        shape = (1 if config.window_days is None else BUCKETS, data.n_items)
        self.impressions, self.rewards = np.zeros(shape), np.zeros(shape)
        history = config.history_impressions if len(data.events) else 0.0
        liked, disliked = approval(data)
        self.prior_rewards = config.prior_successes + history * liked
        self.prior_impressions = config.prior_successes + config.prior_failures + history * (1 + disliked)
        self.clock = self._ticks(np.asarray(data.end, np.int64))
        self.learned = np.zeros((), np.int64)
        self.refresh(None)
        return self if data.feedback is None else self.update(data.feedback)

    def update(self, feedback: Feedback) -> Self:
        known = observations(feedback, self.impressions.shape[1], self.config.examination)
        self.learned += len(feedback)
        if len(known.items):
            rows, weights = self._turn_clock(self._ticks(known.times))
            shown = known.examination + harm(known.rewards)
            np.add.at(self.impressions, (rows, known.items), weights * shown)
            np.add.at(self.rewards, (rows, known.items), weights * np.clip(known.rewards, 0, 1))
            forgets = self.config.half_life_days is not None or self.config.window_days is not None
            self.refresh(None if forgets else known.items)
        return self

    @classmethod
    def load(cls, folder: Path, config: ConfigT) -> Self:
        """Load into memory, not memory-mapped: a model that learns must not write to the artifact."""
        model = super().load(folder, config)
        for name in cls.state:
            setattr(model, name, np.array(getattr(model, name)))
        model.refresh(None)
        return model

    def refresh(self, items: NDArray[np.integer] | None) -> None:
        """Update what is derived from the sums, after those of these arms, or of all, have changed."""

    def totals(self, items: NDArray[np.integer] | None = None) -> tuple[Float64, Float64]:
        """Return impressions and rewards, the prior's included.

        Args:
            items: The arms; None for all.

        Returns:
            float64[len(items)] each.
        """
        chosen = slice(None) if items is None else items
        return (
            self.prior_impressions[chosen] + self.impressions[:, chosen].sum(axis=0),
            self.prior_rewards[chosen] + self.rewards[:, chosen].sum(axis=0),
        )

    def _ticks(self, times: Int64) -> Int64:
        if self.config.half_life_days is not None:
            return step_of(times, self.config.half_life_days)
        if self.config.window_days is not None:
            bucket_seconds = self.config.window_days * SECONDS_PER_DAY / BUCKETS
            return np.floor_divide(times, bucket_seconds).astype(np.int64)
        return np.zeros_like(times)

    def _turn_clock(self, ticks: Int64) -> tuple[Int64, Float64]:
        """Age the sums to the newest tick, and return the bucket and the weight of each new entry."""
        newest = max(int(self.clock), int(ticks.max()))
        passed = newest - int(self.clock)
        self.clock = np.asarray(newest, np.int64)
        if self.config.half_life_days is not None:
            for sums in (self.impressions, self.rewards) if passed else ():
                sums *= fade(np.int64(passed))
            return np.zeros_like(ticks), fade(newest - ticks)
        if self.config.window_days is not None:
            emptied = np.arange(newest - min(passed, BUCKETS) + 1, newest + 1) % BUCKETS
            self.impressions[emptied] = self.rewards[emptied] = 0
            return ticks % BUCKETS, (ticks > newest - BUCKETS).astype(np.float64)
        return ticks, np.ones(len(ticks))
