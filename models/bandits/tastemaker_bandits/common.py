"""What every bandit shares: what history is worth, which places are looked at, how fast the past fades.

Under the position-based model a reward takes being looked at, P(reward | item i at p) = e_p θ_i, so an item
shown at place p is counted as e_p of an impression: Σ rewards / Σ e_p is an unbiased estimate of θ_i.
Lagrée, Vernade, Cappé, Multiple-play bandits in the position-based model, NeurIPS 2016.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tastemaker.errors import PluginError
from tastemaker.plugins import Config, Feedback, TrainingData
from tastemaker.plugins.arrays import Float32, Int32, Int64
from tastemaker.plugins.preferences import preferences

Float64 = NDArray[np.float64]
Probability = Annotated[float, Field(gt=0, le=1)]

SECONDS_PER_DAY = 86_400
FEW = 8
STEPS = 32
"""The past fades in steps of 1/32 of its half-life, by 2.1 % each: feedback of one step counts alike."""


class BanditConfig(Config):
    """How a bandit learns."""

    history_impressions: Annotated[float, Field(ge=0)] = 1000.0
    """h: what the training events are worth. Each arm starts as if shown h times, with the share of users who
    liked it as its success rate, and without success h times the share who disliked it. 0 ignores them."""
    examination: Annotated[tuple[Probability, ...], Field(min_length=1)] = (1.0,)
    """The probability that a user looks at place 1, 2, ... of a list; the last holds for all further ones."""
    half_life_days: Annotated[float, Field(gt=0, le=3650)] | None = None
    """Feedback this much older than the newest counts half, for tastes that drift. None: nothing fades."""


class Observations(NamedTuple):
    """The feedback about known items."""

    items: Int32
    rewards: Float64
    examination: Float64
    """float64[n]: the probability that the place was looked at."""
    times: Int64
    context: Float32 | None


def observations(feedback: Feedback, n_items: int, examination: tuple[float, ...]) -> Observations:
    """Return the feedback about known items, with the examination probability of each position.

    Args:
        feedback: The feedback; rows about item -1 are left out.
        n_items: The number of arms.
        examination: The probability that a user looks at each position; the last holds for all further ones.

    Raises:
        PluginError: An item is beyond the catalogue, so that the model has no arm for it.
    """
    items = feedback.items
    # Python's own are a tenth of an array's for one item, the usual number while serving.
    ends = items.tolist() if len(items) < FEW else [int(items.min()), int(items.max())]
    if max(ends, default=-1) >= n_items:
        raise PluginError(
            f"feedback about item {max(ends)}, but the model has {n_items} arms, 0 to {n_items - 1}",
            fix="train again on the catalogue that has it, or give -1 for unknown items",
        )
    if min(ends, default=0) < 0:
        feedback = feedback[items >= 0]
    looked = np.full(len(feedback), examination[-1])
    if len(examination) > 1:
        looked = np.asarray(examination)[np.minimum(feedback.positions, len(examination) - 1)]
    return Observations(
        feedback.items, feedback.rewards.astype(np.float64), looked, feedback.times, feedback.context
    )


class Approval(NamedTuple):
    """The shares of users who liked and disliked each item in the history."""

    liked: Float64
    """float64[n_items]: of all users with an event, the share whose summed reward of the item is above 0."""
    disliked: Float64
    """float64[n_items]: the share of users whose rewards are below 0, each counted by its size up to 1."""


def approval(data: TrainingData) -> Approval:
    """Return the approval of each item in the training events."""
    history = data.history
    users = max(int(np.count_nonzero(history.lengths)), 1)
    counted = preferences(history.rewards)
    liked, disliked = (
        np.bincount(history.items, np.maximum(part, 0), data.n_items) / users for part in (counted, -counted)
    )
    return Approval(liked, disliked)


def harm(rewards: Float64) -> Float64:
    """Return how many failed impressions each reward below 0 adds to its own, float64[n], at most 1."""
    return np.clip(-rewards, 0, 1)


def step_of(times: Int64 | int, half_life_days: float) -> Int64:
    """Return the number of whole steps, of 1/32 of the half-life each, since 1970.

    Args:
        times: Seconds since 1970 UTC, int64 of any shape or a number.
        half_life_days: The half-life in days, above 0.

    Returns:
        int64 of the shape of the times, rounded down.
    """
    return np.floor_divide(times, half_life_days * SECONDS_PER_DAY / STEPS).astype(np.int64)


def fade(steps: Int64 | np.int64) -> Float64:
    """Return what is left of a weight after so many steps, 2^(-steps / 32)."""
    return np.exp2(-np.asarray(steps, np.float64) / STEPS)
