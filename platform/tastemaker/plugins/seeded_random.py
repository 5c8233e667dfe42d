"""Counter-based random numbers: pure functions of a request's seed, without the state of a generator.

Item i of a request with seed s gets the (i + 1)-th output of the splitmix64 generator started at mix(s).
Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tastemaker.plugins.arrays import Float32, UInt64

HASHES_AT_ONCE = 32_768
"""Hashes per block, so that a block fits into the processor's cache."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The generator's step: 2^64 over the golden ratio, odd."""

_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_TWO_PI = np.float32(2 * np.pi)


def mix(z: UInt64) -> UInt64:
    """Return the finalizer of splitmix64 of each number: a bijection on 64 bits."""
    z = z ^ (z >> _SHIFTS[0])
    z *= _FACTORS[0]
    z ^= z >> _SHIFTS[1]
    z *= _FACTORS[1]
    z ^= z >> _SHIFTS[2]
    return z


def mix_one(z: int) -> int:
    """Return `mix` of one number."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)


def hashes(seeds: UInt64, n_items: int) -> UInt64:
    """Return the first outputs of each row's generator.

    Args:
        seeds: uint64[n].
        n_items: How many outputs.

    Returns:
        uint64[n, n_items].
    """
    if len(seeds) == 1:  # a whole number is mixed in a quarter of an array's time
        return mix(_steps(n_items) + np.uint64(mix_one(int(seeds[0]))))[None]
    return mix(mix(seeds)[:, None] + _steps(n_items))


def uniform(seeds: UInt64, n_items: int) -> Float32:
    """Return uniform random numbers in [0, 1].

    Floats are finest near 0: small values keep 24 significant bits, so rank by the smallest to avoid ties.

    Args:
        seeds: uint64[n].
        n_items: How many numbers per seed.

    Returns:
        float32[n, n_items].

    >>> values = uniform(np.array([7, 7, 8], np.uint64), 3)
    >>> bool((values[0] == values[1]).all()), bool((values[0] == values[2]).any())
    (True, False)
    """
    values = np.empty((len(seeds), n_items), np.float32)
    for rows in _blocks(len(seeds), n_items):
        values[rows] = hashes(seeds[rows], n_items).astype(np.float32) * np.float32(2.0**-64)
    return values


def normal(seeds: UInt64, n_items: int) -> Float32:
    """Return standard normal random numbers, by Box and Muller's transform of the halves of hashes.

        z_i, z_(i + ⌈n_items / 2⌉) = √(-2 log u) cos(2πv), √(-2 log u) sin(2πv),   |z| <= 6.8

    u and v are uniform on a grid of 2^-32, of the ⌈n_items / 2⌉ hashes of a row: u is the i-th half in
    memory, v the half ⌈n_items / 2⌉ places after it.

    Args:
        seeds: uint64[n].
        n_items: How many numbers per seed.

    Returns:
        float32[n, n_items].
    """
    pairs = (n_items + 1) // 2
    values = np.empty((len(seeds), n_items), np.float32)
    for rows in _blocks(len(seeds), n_items):
        halves = hashes(seeds[rows], pairs).view(np.uint32).astype(np.float32)
        halves += np.float32(0.5)
        halves *= np.float32(2.0**-32)
        radius = np.sqrt(np.float32(-2) * np.log(halves[:, :pairs]))
        angle = _TWO_PI * halves[:, pairs:]
        np.multiply(radius, np.cos(angle), out=values[rows, :pairs])
        np.multiply(
            radius[:, : n_items - pairs], np.sin(angle)[:, : n_items - pairs], out=values[rows, pairs:]
        )
    return values


@lru_cache(maxsize=8)
def _steps(n_items: int) -> UInt64:
    steps = np.arange(1, n_items + 1, dtype=np.uint64) * GOLDEN
    steps.flags.writeable = False
    return steps


def _blocks(n: int, n_items: int) -> list[slice]:
    step = max(1, HASHES_AT_ONCE // max(n_items, 1))
    return [slice(start, start + step) for start in range(0, n, step)]
