"""Named random streams, and draws whose first results do not depend on how many follow.

That is what lets a shop grow by a day without its earlier days changing.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

NEVER = 1_000_000_000
"""The day on which something that stays leaves."""


class Stream(IntEnum):
    """The purpose of a random stream.

    A number is part of every shop's nature and must never get a new meaning.
    """

    USER_ARRIVALS = 1
    USER_LIFETIMES = 2
    USER_SENIORITY = 3
    USER_TASTES = 4
    USER_ACTIVITY = 5
    USER_COUNTRIES = 6
    STAPLE_OWNERS = 7
    STAPLE_TASTES = 8
    STAPLE_ITEMS = 9
    STAPLE_TEMPOS = 10
    ITEM_ARRIVALS = 20
    ITEM_LIFETIMES = 21
    ITEM_SENIORITY = 22
    ITEM_CATEGORIES = 23
    ITEM_TASTES = 24
    ITEM_POPULARITY = 25
    ITEM_PRICES = 26
    ITEM_TITLES = 27
    CATEGORY_TASTES = 28
    CALIBRATION = 40
    DAY = 41
    LIVE_VISIT = 50
    LIVE_DRIFT = 51
    LIVE_ARRIVALS = 52
    LIVE_FAULTS = 53
    SHOWROOM = 60
    SHIFT_CATEGORIES = 70
    SHIFT_TASTES = 71
    SHIFT_ROWS = 72


def stream(seed: int, what: Stream, part: int = 0) -> np.random.Generator:
    """Return a random generator that depends on nothing but its arguments.

    Args:
        seed: The shop's seed.
        what: The purpose of the stream.
        part: The number of a part with a stream of its own, such as a day.
    """
    return np.random.default_rng((seed, int(what), part))


def arrival_days(rng: np.random.Generator, n_start: int, per_day: float, n_days: int) -> NDArray[np.int64]:
    """Draw the days on which users or items arrive: some at the start, then a Poisson process.

    The arrivals of a shorter time are the first arrivals of a longer one.

    Args:
        rng: The random stream of the arrivals.
        n_start: The number of arrivals on day 0.
        per_day: The mean number of later arrivals per day.
        n_days: The number of days.

    Returns:
        int64[n], ascending.
    """
    later: list[float] = []
    day = 1.0
    while per_day > 0 and (day := day + float(rng.exponential(1 / per_day))) < n_days:
        later.append(day)
    return np.concatenate((np.zeros(n_start, np.int64), np.asarray(later).astype(np.int64)))


def departure_days(rng: np.random.Generator, arrival: NDArray[np.int64], per_day: float) -> NDArray[np.int64]:
    """Draw the first day on which each user or item is gone, at a constant hazard per day.

    Args:
        rng: The random stream of the lifetimes.
        arrival: int64[n], the days of arrival. Each stays for at least one day.
        per_day: The chance to leave, per day; 0: all stay.

    Returns:
        int64[n]; NEVER or later for those that stay.
    """
    uniform = 1 - rng.random(len(arrival))
    if per_day <= 0:
        return np.full(len(arrival), NEVER)
    lifetime = np.ceil(np.log(uniform) / np.log1p(-per_day))
    departure: NDArray[np.int64] = arrival + np.clip(lifetime, 1, NEVER).astype(np.int64)
    return departure


def seniority_days(rng: np.random.Generator, arrival: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw the day on which each user or item was first seen.

    Args:
        rng: The random stream of the seniority.
        arrival: int64[n], the days of arrival.

    Returns:
        int64[n]: the day of arrival; for arrivals on day 0, a day up to two years earlier.
    """
    return np.where(arrival > 0, arrival, -rng.integers(1, 731, size=len(arrival)))


def dirichlet(rng: np.random.Generator, alpha: NDArray[np.floating]) -> NDArray[np.float32]:
    """Draw from a Dirichlet distribution for each row of `alpha`.

    Args:
        rng: The random stream.
        alpha: float[n, Z], the parameters. A small floor keeps a row from being all zeros.

    Returns:
        float32[n, Z]; rows add up to 1.
    """
    gammas = rng.standard_gamma(alpha) + 1e-9
    shares: NDArray[np.float32] = (gammas / gammas.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def draw_tastes(mixtures: NDArray[np.float32], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a taste for each row of `mixtures`, by inversion.

    Args:
        mixtures: float32[n, Z], the weights of the tastes.
        uniform: float64[n], uniform random numbers in [0, 1).

    Returns:
        int64[n].
    """
    cumulative = np.cumsum(mixtures, axis=1, dtype=np.float64)
    tastes: NDArray[np.int64] = np.argmax(cumulative > uniform[:, None] * cumulative[:, -1:], axis=1)
    return tastes


def draw_items(
    appeal: NDArray[np.float64], tastes: NDArray[np.int64], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return an item for each taste, by inversion, in proportion to the taste's column of `appeal`.

    O(mZ + n log m). Items that are added at the end with an appeal of 0 change no draw.

    Args:
        appeal: float64[m, Z]; no column is all 0.
        tastes: int64[n].
        uniform: float64[n], uniform random numbers in [0, 1).

    Returns:
        int64[n].
    """
    items = np.empty(len(tastes), np.int64)
    order = np.argsort(tastes, kind="stable")
    bounds = np.searchsorted(tastes[order], np.arange(appeal.shape[1] + 1))
    for taste in range(appeal.shape[1]):
        rows = order[bounds[taste] : bounds[taste + 1]]
        if not len(rows):
            continue
        cumulative = np.cumsum(appeal[:, taste])
        items[rows] = np.searchsorted(cumulative, uniform[rows] * cumulative[-1], side="right")
    return items
