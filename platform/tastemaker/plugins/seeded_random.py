"""Random numbers that are pure functions of a request's seed: no generator is kept, nothing is remembered.

Item i of a request with seed s gets the (i + 1)-th output of the splitmix64 generator started at mix(s).
Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tastemaker.plugins.arrays import Float32, UInt64

HASHES_AT_ONCE = 32_768
"""As many as the processor's cache holds while they are mixed."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The generator's step: 2^64 over the golden ratio, odd."""

_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_TWO_PI = np.float32(2 * np.pi)


def mix(z: UInt64) -> UInt64:
    """The finalizer of splitmix64, a bijection on 64 bits."""
    z = z ^ (z >> _SHIFTS[0])
    z *= _FACTORS[0]
    z ^= z >> _SHIFTS[1]
    z *= _FACTORS[1]
    z ^= z >> _SHIFTS[2]
    return z


def mix_one(z: int) -> int:
    """`mix` of one number."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)


def hashes(seeds: UInt64, n_items: int) -> UInt64:
    """uint64[n, n_items]: the first n_items outputs of each row's generator."""
    if len(seeds) == 1:  # a whole number is mixed in a quarter of an array's time
        return mix(_steps(n_items) + np.uint64(mix_one(int(seeds[0]))))[None]
    return mix(mix(seeds)[:, None] + _steps(n_items))


def uniform(seeds: UInt64, n_items: int) -> Float32:
    """float32[n, n_items] in [0, 1].

    Floats are finest near 0: the smallest values, which decide a list, keep 24 significant bits. No ties.
    """
    values = np.empty((len(seeds), n_items), np.float32)
    for rows in _blocks(len(seeds), n_items):
        values[rows] = hashes(seeds[rows], n_items).astype(np.float32) * np.float32(2.0**-64)
    return values


def normal(seeds: UInt64, n_items: int) -> Float32:
    """float32[n, n_items], standard normal: Box and Muller's transform of the halves of ⌈n_items / 2⌉ hashes.

        z_i, z_(i + ⌈n_items / 2⌉) = √(-2 log u) cos(2πv), √(-2 log u) sin(2πv),   |z| <= 6.8

    u and v are uniform on a grid of 2^-32: u is the i-th half in memory, v the one as many places further.
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
