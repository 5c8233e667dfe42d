"""The check of negative feedback: a reward below 0 counts against its item."""

from __future__ import annotations

import numpy as np

from tastemaker.plugins.arrays import Events
from tastemaker.plugins.checks.subject import (
    DAY_SECONDS,
    DAYS,
    N_ITEMS,
    N_USERS,
    SILENT_USER,
    START,
    Check,
    CheckFailed,
    Subject,
    shop_events,
)

DISLIKED, LIKED = 0, N_ITEMS - 1
"""A model that ranks ties by number would rank the disliked item first."""


def disliked_by_all_is_below_liked_by_all(subject: Subject) -> None:
    """Check that an item that all users liked ranks above one that all users disliked.

    All users had both items equally often. This holds for each of the users and for an unknown user with
    such a history; for a stochastic model, on average over many seeds. A model that ignores rewards may
    declare itself exempt.
    """
    data = subject.data(polarized_events())
    model = subject.recommender().fit(data)
    batch = subject.batch(data, [*range(SILENT_USER), -1], [*range(SILENT_USER), 0])
    if subject.recommender.capabilities.stochastic:
        batch = batch[np.tile(np.arange(len(batch)), 20)]
    items = model.recommend(batch, N_ITEMS).items
    places = {item: np.full(len(batch), N_ITEMS) for item in (LIKED, DISLIKED)}
    for item, place in places.items():
        row, at = np.nonzero(items == item)
        place[row] = at
    if subject.recommender.capabilities.stochastic:
        means = {item: float(place.mean()) for item, place in places.items()}
        if means[LIKED] >= means[DISLIKED]:
            raise CheckFailed(
                f"the mean rank of an item that all like is {means[LIKED]}, of one that all dislike "
                f"{means[DISLIKED]}; rewards below 0 must count against an item"
            )
        return
    wrong = np.flatnonzero(places[LIKED] > places[DISLIKED])
    if len(wrong):
        raise CheckFailed(
            f"user {batch.users[wrong[0]]} gets an item that all dislike before one that all like; rewards "
            "below 0 must count against an item"
        )


def polarized_events() -> Events:
    """Return the shop's events, with one event per user that likes LIKED and one that dislikes DISLIKED."""
    shop = shop_events()
    shop = shop[(shop.items != DISLIKED) & (shop.items != LIKED)]
    users = np.setdiff1d(np.arange(N_USERS, dtype=np.int32), [SILENT_USER])
    n = len(users)
    days = START + DAY_SECONDS * (np.arange(n, dtype=np.int64) % DAYS)
    events = Events(
        users=np.concatenate([shop.users, users, users]),
        items=np.concatenate([shop.items, np.full(n, DISLIKED, np.int32), np.full(n, LIKED, np.int32)]),
        rewards=np.concatenate([shop.rewards, np.full(n, -1, np.float32), np.full(n, 1, np.float32)]),
        times=np.concatenate([shop.times, days, days]),
    )
    return events[np.argsort(events.times, kind="stable")]


CHECKS: tuple[Check, ...] = (disliked_by_all_is_below_liked_by_all,)
