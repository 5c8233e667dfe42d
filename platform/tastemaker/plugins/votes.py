"""What rewards say for and against items: how the shipped models read negative feedback.

A reward is what an event is worth to the problem, so its sign says whether people want more of it. A dislike,
a return or a complaint has a weight below 0 in the problem file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins.arrays import Bool, Float32, History, Int32


def votes(rewards: Float32) -> Float32:
    """float32[m]: what each reward, an event's or a pair's sum, counts for its item.

        v(r) = 1 if r > 0, else max(r, -1)

    Who likes an item counts once, however much they spent; who dislikes it counts against it by the size of
    the reward, and at most once.
    """
    counted: Float32 = np.where(rewards > 0, np.float32(1), np.maximum(rewards, np.float32(-1)))
    return counted


def net_votes(
    items: Int32, rewards: Float32, n_items: int, weights: NDArray[np.floating] | None = None
) -> Float32:
    """float32[n_items]: the votes for each item less those against it.

        s_i = V_i if R_i >= 0, else min(V_i, R_i),    V_i = Σ w v(r),  R_i = Σ w r

    over the rewards r of item i, weighed by w (1 unless given). So what did more harm than good ranks below
    what nobody had. What somebody dislikes and nobody likes is put below all else. Lowering a reward never
    raises its item. Without a reward below 0 it is a count.
    """
    w = np.ones(len(items)) if weights is None else weights
    counted, worth = np.bincount(items, w * votes(rewards), n_items), np.bincount(items, w * rewards, n_items)
    scores = np.where(worth >= 0, counted, np.minimum(counted, worth))
    last = disliked_only(items, rewards, n_items)
    if last.any():
        scores[last] -= np.ptp(scores) + 1
    return scores.astype(np.float32)


def popularity(history: History) -> Float32:
    """float32[n_items]: the `net_votes` of users, by what each item was worth to each of them in all."""
    return net_votes(history.items, history.rewards, history.n_items)


def disliked_only(items: Int32, rewards: Float32, n_items: int) -> Bool:
    """bool[n_items]: the items with a reward below 0 and none above it."""
    liked, disliked = np.zeros(n_items, np.bool_), np.zeros(n_items, np.bool_)
    liked[items[rewards > 0]] = True
    disliked[items[rewards < 0]] = True
    return disliked & ~liked


def put_last(scores: Float32, last: Bool, order: Float32) -> None:
    """Put the items that are `last`, bool[n_items], below all others of each row, in place, by their `order`.

    `scores` is float32[n, n_items], `order` float32[n_items].
    """
    if last.any():
        among = order[last] - order[last].max()
        scores[:, last] = scores.min(axis=1, keepdims=True) - 1 + among / (1 - among.min())
