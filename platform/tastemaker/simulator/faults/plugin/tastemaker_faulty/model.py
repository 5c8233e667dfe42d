"""A model of popularity that fails while a file switches faults on, to test and demonstrate alerts."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tastemaker.plugins import Batch, Config, FeatureTable, Ranking, Recommender, TrainingData, select
from tastemaker.plugins.arrays import Int32

from .held import HeldResources

READ_SECONDS = 0.2
"""How often the file is read."""
SLOW_SECONDS = 0.2
OVERLOADED_SECONDS = 0.4
HANG_SECONDS = 0.05
HELD = {"cpu", "disk", "file_descriptors", "memory"}
"""Faults that hold something of the machine."""
BAD = {"bad_version", "no_model"}
"""Faults with which answers are not those that were given when the version was registered."""


class FaultyConfig(Config):
    """Config of the model that fails on demand."""

    switch: str = ""
    """Path of the file that switches faults on; empty: none ever is."""


class Faulty(Recommender[FaultyConfig]):
    """s_i = the sum of the rewards of item i, for all users; rewards below 0 lower it."""

    name = "faulty"
    reference = "Avizienis et al., Basic Concepts and Taxonomy of Dependable and Secure Computing (2004)"
    config_type = FaultyConfig
    state: ClassVar[tuple[str, ...]] = ("scores",)
    _faults: ClassVar[dict[str, float]] = {}
    _read_at: ClassVar[float] = -1.0
    _was_sound: ClassVar[bool] = False
    """Whether this process has ever answered without a fault."""
    _held: ClassVar[HeldResources | None] = None

    def fit(self, data: TrainingData) -> Faulty:
        """Add up the rewards of each item."""
        self.scores = np.zeros(data.n_items, np.float32)
        np.add.at(self.scores, data.events.items, data.events.rewards)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        """Return the most popular items, or fail as the file says."""
        faults = self._current()
        scores = np.tile(self.scores, (len(batch), 1))
        if not faults:
            Faulty._was_sound = True
            return select(scores, batch, k)
        if "no_model" in faults and Faulty._was_sound:  # the next worker finds no version that is sound
            os.kill(os.getpid(), signal.SIGKILL)
        if BAD & faults.keys():
            scores = -scores
        hit = np.random.default_rng(batch.seeds[0]).random()
        if hit < faults.get("worker_crash", 0.0):
            os.kill(os.getpid(), signal.SIGKILL)
        if hit < faults.get("model_error", 0.0):
            raise RuntimeError("a simulated fault of the model")
        if hit < faults.get("slow_model", 0.0):
            time.sleep(SLOW_SECONDS)
        if hit < faults.get("overloaded", 0.0):
            time.sleep(OVERLOADED_SECONDS)
        while hit < self._current().get("model_hang", 0.0):
            time.sleep(HANG_SECONDS)
        ranking = select(scores, batch, k)
        invalid = _of_users(batch, faults.get("nan_scores", 0.0))
        if invalid.any():
            values = ranking.scores.copy()
            values[invalid] = np.nan
            ranking = Ranking(ranking.items, values, ranking.propensities)
        short = _of_users(batch, faults.get("short_rows", 0.0))
        if short.any():
            items, values = ranking.items.copy(), ranking.scores.copy()
            propensities = ranking.propensities.copy()
            items[short, 1:], values[short, 1:], propensities[short, 1:] = -1, -np.inf, 0.0
            ranking = Ranking(items, values, propensities)
        return ranking

    def contributions(self, batch: Batch, items: Int32) -> FeatureTable | None:
        """Return None: the scores have no parts. Raises RuntimeError while errors are switched on."""
        if self._current().get("errors"):
            raise RuntimeError("a simulated fault of an endpoint")
        return None

    def _current(self) -> dict[str, float]:
        """Return the shares of the faults that are switched on; read again after READ_SECONDS."""
        now = time.monotonic()
        if now - Faulty._read_at > READ_SECONDS or now < Faulty._read_at:
            Faulty._read_at = now
            Faulty._faults = _read(self.config.switch)
            if HELD & Faulty._faults.keys():
                self._hold()
        return Faulty._faults

    def _hold(self) -> None:
        """Hold what the faults of the machine say, once per process."""
        if Faulty._held is None:
            switch = self.config.switch
            Faulty._held = HeldResources(lambda: _read(switch), Path(switch).parent)
        Faulty._held.follow()


def _read(switch: str) -> dict[str, float]:
    """Return the faults of the file; none if it is missing, malformed or has expired."""
    try:
        found = json.loads(Path(switch).read_text("utf-8"))
        return dict(found["faults"]) if time.time() < found["expires_at"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _of_users(batch: Batch, share: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return bool[n]: a fixed share of the users; unknown users by their request."""
    numbers = np.where(batch.users >= 0, batch.users.astype(np.uint64), batch.seeds)
    mixed = (numbers * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return np.asarray(mixed / float(1 << 24) < share)
