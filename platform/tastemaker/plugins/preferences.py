"""Preferences from rewards: how the shipped models read likes and dislikes.

A reward is what an event is worth to the problem. Its sign says whether the user wants more of the item: a
dislike, a return or a complaint has a weight below 0 in the problem file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins.arrays import Bool, Float32, History, Int32


def preferences(rewards: Float32) -> Float32:
    """Return how much each reward counts for or against its item.

        p(r) = 1 if r > 0, else max(r, -1)

    A like counts once, however much the user spent; a dislike counts by its size, and at most once. Without
    rewards below 0 it is the binary preference of Hu, Koren and Volinsky, ICDM 2008, equation (1).

    Args:
        rewards: float32[m], the rewards of events or the summed rewards of (user, item) pairs.

    Returns:
        float32[m], in [-1, 1].

    >>> preferences(np.array([30, 1, 0, -0.25, -7], np.float32)).tolist()
    [1.0, 1.0, 0.0, -0.25, -1.0]
    """
    counted: Float32 = np.where(rewards > 0, np.float32(1), np.maximum(rewards, np.float32(-1)))
    return counted


def item_popularity(
    items: Int32, rewards: Float32, n_items: int, weights: NDArray[np.floating] | None = None
) -> Float32:
    """Return the popularity of each item: the preferences for it less those against it.

        s_i = P_i if R_i >= 0, else min(P_i, R_i),    P_i = Σ w p(r),  R_i = Σ w r

    over the rewards r of item i, with `p` of `preferences`. An item whose rewards sum below 0 ranks below
    items without an event, and an item that some users dislike and none likes ranks below all others.
    Lowering a reward never raises its item. Without a reward below 0 it is a count.

    Args:
        items: int32[m], the item of each reward.
        rewards: float32[m].
        n_items: The number of items in the catalogue.
        weights: float[m], the weight w of each reward; 1 if None.

    Returns:
        float32[n_items].

    >>> item_popularity(np.array([0, 0, 1, 2]), np.array([1, 5, 1, -1], np.float32), 4).tolist()
    [2.0, 1.0, -5.0, 0.0]
    """
    w = np.ones(len(items)) if weights is None else weights
    counted = np.bincount(items, w * preferences(rewards), n_items)
    worth = np.bincount(items, w * rewards, n_items)
    scores = np.where(worth >= 0, counted, np.minimum(counted, worth))
    last = disliked_only(items, rewards, n_items)
    if last.any():
        scores[last] -= np.ptp(scores) + 1
    return scores.astype(np.float32)


def popularity_by_user(history: History) -> Float32:
    """Return the popularity of each item among users, float32[n_items]: `item_popularity` of the pairs' sums.

    Each user counts at most once per item, however often they had it.
    """
    return item_popularity(history.items, history.rewards, history.n_items)


def disliked_only(items: Int32, rewards: Float32, n_items: int) -> Bool:
    """Return which items have a reward below 0 and none above it.

    Args:
        items: int32[m], the item of each reward.
        rewards: float32[m].
        n_items: The number of items in the catalogue.

    Returns:
        bool[n_items].
    """
    liked, disliked = np.zeros(n_items, np.bool_), np.zeros(n_items, np.bool_)
    liked[items[rewards > 0]] = True
    disliked[items[rewards < 0]] = True
    return disliked & ~liked


def rank_last(scores: Float32, last: Bool, order: Float32) -> None:
    """Lower the scores of some items, in place, below all other scores of their row.

    Args:
        scores: float32[n, n_items], changed in place.
        last: bool[n_items], the items to rank last.
        order: float32[n_items], by which those items are ordered among themselves.
    """
    if last.any():
        among = order[last] - order[last].max()
        scores[:, last] = scores.min(axis=1, keepdims=True) - 1 + among / (1 - among.min())
