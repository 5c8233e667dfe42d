"""The model under test, and the small synthetic shop that it is tested in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tastemaker.plugins.arrays import Batch, Events, FeatureTable
from tastemaker.plugins.attributes import Attributes, ItemAttributes
from tastemaker.plugins.recommender import Recommender
from tastemaker.plugins.training_data import Feedback, TrainingData

DAY_SECONDS = 86_400
START = 1_700_000_000
"""2023-11-14, the first day of the shop."""
DAYS = 120
N_USERS = 40
N_ITEMS = 30
SILENT_USER = N_USERS - 1
"""A known user without an event."""
COLD_ITEM = N_ITEMS - 1
"""An item of the catalogue without an event."""
CHECK_SEED = 7


class CheckFailed(AssertionError):
    """A model fails a check; the message says how."""


class DoesNotApply(Exception):
    """A check does not apply to a model; the message says why."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model class under test, with a fitted instance that the checks share."""

    recommender: type[Recommender[Any]]

    def __str__(self) -> str:
        return self.recommender.name

    @cached_property
    def model(self) -> Recommender[Any]:
        """The model, fitted on `data()` with the default hyperparameters."""
        return self.recommender().fit(self.data())

    def data(
        self, events: Events | None = None, n_users: int = N_USERS, n_items: int = N_ITEMS
    ) -> TrainingData:
        """Return new training data, the same for the same arguments.

        Args:
            events: The training events; None: those of `shop_events()`.
            n_users: Number of users.
            n_items: Number of items.
        """
        return TrainingData(
            shop_events() if events is None else events,
            n_users,
            n_items,
            end=START + DAYS * DAY_SECONDS,
            features=MadeUpFeatures(self.recommender, n_users, n_items),
            rng=np.random.default_rng(CHECK_SEED),
            items=shop_items(n_items),
            users=Attributes.of(
                [f"user {n}" for n in range(n_users)], country=[("France", "")[n % 2] for n in range(n_users)]
            ),
        )

    def batch(self, data: TrainingData, users: list[int], histories: list[int] | None = None) -> Batch:
        """Return one request per user number.

        Args:
            data: The training data that the histories are from.
            users: User numbers.
            histories: For each request, the user number whose history it has; its own if None.
        """
        features = MadeUpFeatures(self.recommender, data.n_users, data.n_items)
        rows = np.asarray(users, np.int32)
        return Batch(
            users=rows,
            history=data.history[np.asarray(users if histories is None else histories)],
            seeds=np.random.default_rng(CHECK_SEED).integers(2**63, size=len(rows), dtype=np.uint64),
            now=data.end + DAY_SECONDS,
            user_features=features.users(data.end)[rows],
            item_features=features.items(data.end),
        )

    def all_users(self) -> Batch:
        """Return a request of every user, of an unknown user with a history, and of one without."""
        return self.batch(self.data(), [*range(N_USERS), -1, -1], [*range(N_USERS), 0, -1])


@dataclass(frozen=True)
class MadeUpFeatures:
    """Synthetic features: standard normal values, some missing, for the columns that a model declares."""

    recommender: type[Recommender[Any]]
    n_users: int
    n_items: int

    def users(self, before: int) -> FeatureTable:
        return _made_up(self.recommender.capabilities.user_features, self.n_users, before)

    def items(self, before: int) -> FeatureTable:
        return _made_up(self.recommender.capabilities.item_features, self.n_items, before)


def _made_up(names: tuple[str, ...], n: int, before: int) -> FeatureTable:
    rng = np.random.default_rng(before)
    values = rng.normal(size=(n, len(names))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return FeatureTable(names, values)


def shop_events(seed: int = 0, n: int = 600) -> Events:
    """Return n events over 120 days, of all users but SILENT_USER and all items but COLD_ITEM.

    Few items are popular, some pairs repeat, and some rewards are 0 or below.

    Args:
        seed: Of the random choices.
        n: Number of events.
    """
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, N_ITEMS)
    return Events(
        users=rng.integers(0, N_USERS - 1, n).astype(np.int32),
        items=rng.choice(N_ITEMS - 1, n, p=popularity / popularity.sum()).astype(np.int32),
        rewards=rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0], n).astype(np.float32),
        times=START + np.sort(rng.integers(0, DAYS * DAY_SECONDS, n)),
    )


def shop_items(n: int = N_ITEMS) -> ItemAttributes:
    """Return the attributes of n items; every third has no title, and others no category or no price."""
    numbers = np.arange(n)
    return ItemAttributes.of(
        [f"item {number}" for number in numbers],
        title=[f"Thing {number % 4} of kind {number % 5}" if number % 3 else "" for number in numbers],
        category=[("tea", "cups", "")[number % 7 % 3] for number in numbers],
        price=np.where(numbers % 4, 1.0 + numbers, np.nan),
    )


def shop_feedback(seed: int = 2, n: int = 400) -> Feedback:
    """Return n impressions in the ten days after the 120: a quarter have reward 1, a tenth -1.

    Args:
        seed: Of the random choices.
        n: Number of impressions.
    """
    rng = np.random.default_rng(seed)
    opened = START + DAYS * DAY_SECONDS
    return Feedback(
        users=rng.integers(-1, N_USERS, n).astype(np.int32),
        items=rng.integers(-1, N_ITEMS, n).astype(np.int32),
        positions=rng.integers(0, 5, n).astype(np.int32),
        rewards=rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.65, 0.25]).astype(np.float32),
        propensities=rng.uniform(0.05, 1, n).astype(np.float32),
        times=opened + np.sort(rng.integers(0, 10 * DAY_SECONDS, n)),
    )


Check = Callable[[Subject], None]
"""A function that returns if the model passes, and raises CheckFailed or DoesNotApply if not."""
