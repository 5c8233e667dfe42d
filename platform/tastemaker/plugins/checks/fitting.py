"""Checks of `fit`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tastemaker.plugins.arrays import Events
from tastemaker.plugins.attributes import Attributes, ItemAttributes
from tastemaker.plugins.checks.compare import copies, require_same, require_untouched
from tastemaker.plugins.checks.subject import START, Check, CheckFailed, Subject, shop_events


def fit_leaves_its_input_alone(subject: Subject) -> None:
    """Check that `fit` does not write to its input."""
    data = subject.data()
    inputs = (data.events, data.history)
    before = [copies(value) for value in inputs]
    subject.recommender().fit(data)
    for value, copy in zip(inputs, before, strict=True):
        require_untouched(value, copy, "fit")


def seeded_fit_repeats(subject: Subject) -> None:
    """Check that two models fitted on the same data with the same random numbers recommend the same."""
    again = subject.recommender().fit(subject.data())
    batch = subject.all_users()
    require_same(subject.model.recommend(batch, 10), again.recommend(batch, 10), "two seeded fits")


def fit_twice_is_fit_once(subject: Subject) -> None:
    """Check that a second fit discards what the model learned in the first."""
    model = subject.recommender().fit(subject.data(shop_events(seed=1))).fit(subject.data())
    batch = subject.all_users()
    require_same(
        subject.model.recommend(batch, 10), model.recommend(batch, 10), "the second fit and the first"
    )


def one_event_is_enough(subject: Subject) -> None:
    """Check that a model can be fitted on one event of one user and one item."""
    event = Events(
        np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.float32), np.full(1, START, np.int64)
    )
    data = subject.data(event, n_users=1, n_items=1)
    ranking = subject.recommender().fit(data).recommend(subject.batch(data, [0, -1]), 1)
    if ranking.items.tolist() != [[0], [0]]:
        raise CheckFailed(f"the only item is 0, but the lists are {ranking.items.tolist()}")


def ids_are_enough(subject: Subject) -> None:
    """Check that lists are full in a shop whose items and users have ids and no other attributes."""
    data = subject.data()
    ids = [str(item) for item in range(data.n_items)]
    data = replace(
        data, items=ItemAttributes.of(ids), users=Attributes.of([str(user) for user in range(data.n_users)])
    )
    ranking = subject.recommender().fit(data).recommend(subject.all_users(), data.n_items)
    if (ranking.items < 0).any():
        raise CheckFailed("without titles, categories and custom columns, lists are not full")


CHECKS: tuple[Check, ...] = (
    fit_leaves_its_input_alone,
    seeded_fit_repeats,
    fit_twice_is_fit_once,
    one_event_is_enough,
    ids_are_enough,
)
