"""The checkerboard check: a personalizing model must recommend each user's one held-out item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tastemaker.plugins.arrays import Events
from tastemaker.plugins.attributes import ItemAttributes
from tastemaker.plugins.checks.subject import (
    DAY_SECONDS,
    DAYS,
    START,
    Check,
    CheckFailed,
    DoesNotApply,
    Subject,
)

SIDE = 50


def checkerboard_is_recovered(subject: Subject) -> None:
    """Check that each user is recommended the one item of their own parity that they lack.

    Even users have every even item but the one of their own number, odd users every odd one. All items are
    equally popular, so that only the histories, titles and categories distinguish them. The data set is that
    of implicit's test suite.
    """
    if not subject.recommender.capabilities.personalizes:
        raise DoesNotApply("it does not declare that it personalizes")
    data = replace(subject.data(checkerboard(), SIDE, SIDE), items=even_and_odd())
    batch = subject.batch(data, list(range(SIDE)))
    batch = replace(batch, excluded=batch.history.matrix(np.ones(len(batch.history.items), np.bool_)))
    found = subject.recommender().fit(data).recommend(batch, 1).items[:, 0]
    wrong = np.nonzero(found != np.arange(SIDE))[0]
    if len(wrong):
        raise CheckFailed(
            f"{len(wrong)} of {SIDE} users are not recommended their held-out item; "
            f"user {wrong[0]} gets {found[wrong[0]]}"
        )


def checkerboard() -> Events:
    """Return an event for each square of a 50 x 50 checkerboard except its diagonal, in random order."""
    users, items = np.nonzero(np.indices((SIDE, SIDE)).sum(axis=0) % 2 + np.eye(SIDE) == 0)
    rng = np.random.default_rng(11)
    order = rng.permutation(len(users))
    return Events(
        users[order].astype(np.int32),
        items[order].astype(np.int32),
        np.ones(len(users), np.float32),
        START + np.sort(rng.integers(0, DAYS * DAY_SECONDS, len(users))),
    )


def even_and_odd() -> ItemAttributes:
    """Return the attributes of the checkerboard's items: title and category say even or odd."""
    kinds = [("even", "odd")[item % 2] for item in range(SIDE)]
    return ItemAttributes.of([str(item) for item in range(SIDE)], title=kinds, category=kinds)


CHECKS: tuple[Check, ...] = (checkerboard_is_recovered,)
