"""Uniformly random lists: the floor of every leaderboard, and the policy whose log teaches most."""

from __future__ import annotations

from typing import Self

import numpy as np

from tastemaker.plugins import Batch, Capabilities, Config, Ranking, Recommender, TrainingData, forbid, select
from tastemaker.plugins.arrays import Float32, UInt64

HASHES_AT_ONCE = 32_768
"""As many as the processor's cache holds while they are mixed."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The generator's step: 2^64 over the golden ratio, odd."""


class RandomConfig(Config):
    """No hyperparameters."""


class Random(Recommender[RandomConfig]):
    """Each allowed item is equally likely at each position.

        s_ui = -h(seed_u, i),   h uniform on [0, 1]

    A random permutation puts each of its m items at each position with probability 1/m: the propensity. The
    list is a pure function of the request's seed.
    """

    name = "random"
    reference = "Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (the hash)"
    config_type = RandomConfig
    capabilities = Capabilities(stochastic=True)
    state = ("n_items",)

    def fit(self, data: TrainingData) -> Self:
        self.n_items = np.asarray(data.n_items, np.int64)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        scores = np.empty((len(batch), int(self.n_items)), np.float32)
        step = max(1, HASHES_AT_ONCE // max(scores.shape[1], 1))
        for start in range(0, len(batch), step):
            rows = slice(start, start + step)
            scores[rows] = -uniform(batch.seeds[rows], scores.shape[1])
        forbid(scores, batch)
        allowed = np.isfinite(scores).sum(axis=1)
        ranking = select(scores, batch, k)
        chance = (1 / np.maximum(allowed, 1)).astype(np.float32)
        return ranking._replace(propensities=ranking.propensities * chance[:, None])


def uniform(seeds: UInt64, n_items: int) -> Float32:
    """float32[n, n_items] in [0, 1]: the outputs of one splitmix64 generator a row, started at mix(seed).

    Floats are finest near 0: the smallest values, which decide the list, keep 24 significant bits. No ties.
    """
    steps = np.arange(1, n_items + 1, dtype=np.uint64) * GOLDEN
    hashed = mix(mix(seeds)[:, None] + steps)
    values: Float32 = hashed.astype(np.float32) * np.float32(2.0**-64)
    return values


def mix(z: UInt64) -> UInt64:
    """The finalizer of splitmix64, a bijection on 64 bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
