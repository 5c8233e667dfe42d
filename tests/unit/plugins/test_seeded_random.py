"""Random numbers by hashing against published outputs and known moments."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from tastemaker.plugins.seeded_random import GOLDEN, mix, normal, uniform


def test_the_hash_is_splitmix64() -> None:
    """The published first outputs of the generator seeded with 1234567 (Vigna's splitmix64.c)."""
    states = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * GOLDEN
    assert mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_hashes_have_the_moments_of_a_uniform() -> None:
    values = uniform(np.arange(300, dtype=np.uint64), 2000).astype(np.float64)
    assert values.mean() == pytest.approx(0.5, abs=5 / np.sqrt(12 * values.size))
    assert values.var() == pytest.approx(1 / 12, rel=0.01)
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 5 / np.sqrt(values.size)
    assert -log2(values.min()) == pytest.approx(log2(values.size), abs=5)


def test_normals_have_the_distribution_of_a_normal() -> None:
    """Kolmogorov's distance of 400,000 values is below its 0.01 % limit, 2.2 / √n; the tail is there."""
    from scipy.stats import norm

    values = np.sort(normal(np.arange(400, dtype=np.uint64), 1000).ravel().astype(np.float64))
    ranks = (np.arange(values.size) + 0.5) / values.size
    assert np.abs(norm.cdf(values) - ranks).max() < 2.2 / np.sqrt(values.size)
    assert 4 < values.max() < 6.8


def test_a_row_has_the_same_numbers_alone_and_in_a_batch() -> None:
    seeds = np.arange(100, dtype=np.uint64)
    np.testing.assert_array_equal(normal(seeds, 900)[57:58], normal(seeds[57:58], 900))
    np.testing.assert_array_equal(uniform(seeds, 900)[57:58], uniform(seeds[57:58], 900))
