"""What a model learns from: the training window in `fit`, and feedback in `update`."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import PluginError
from tastemaker.plugins.arrays import Bool, Events, FeatureSource, Float32, History, Int32, Int64
from tastemaker.plugins.attributes import Attributes, ItemAttributes
from tastemaker.plugins.read_only import ReadOnly

# Defaults that stand for an argument that was left out.
_NO_ITEMS = ItemAttributes.of([])
_NO_USERS = Attributes.of([])


@dataclass(frozen=True, eq=False)
class Feedback(ReadOnly):
    """Bandit feedback: the rewards of n impressions, among them those of 0, oldest first.

    An impression is one item shown at one position of one list.
    """

    users: Int32
    """int32[n]: user numbers, -1 for a user that training did not see."""
    items: Int32
    """int32[n]: the item shown; -1 for an item that training did not see, to be ignored."""
    positions: Int32
    """int32[n]: its position in the list, from 0."""
    rewards: Float32
    """float32[n]: the reward that the impression earned; 0 for none."""
    propensities: Float32
    """float32[n]: the probability with which the logging policy put the item at this position."""
    times: Int64
    """int64[n]: when the item was shown, seconds since 1970 UTC."""
    context: Float32 | None = None
    """float32[n, d]: the context of the request; None without contexts."""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, selection: slice | NDArray[Any]) -> Feedback:
        """Return the impressions at a slice, mask or index array."""
        return Feedback(
            self.users[selection],
            self.items[selection],
            self.positions[selection],
            self.rewards[selection],
            self.propensities[selection],
            self.times[selection],
            None if self.context is None else self.context[selection],
        )


@dataclass(frozen=True, eq=False)
class TrainingData(ReadOnly):
    """The training window: everything that a model may learn from in `fit`."""

    events: Events
    """The events of the window."""
    n_users: int
    """The number of users; user numbers are in [0, n_users)."""
    n_items: int
    """The number of items; item numbers are in [0, n_items)."""
    end: int
    """The end of the window, exclusive, in seconds since 1970 UTC: every event is earlier."""
    repeats: bool = True
    """Whether the problem allows an item to be recommended to a user who already had it."""
    k: int = 10
    """The length of the lists that the problem asks for."""
    features: FeatureSource | None = None
    """User and item features by time; None where the model declares none."""
    available: Bool | None = None
    """bool[n_items]: the items that may be recommended at `end`; None if all may."""
    feedback: Feedback | None = None
    """Feedback to lists that were shown before `end`, oldest first; None if there is no log."""
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    """The source of randomness of `fit`: a model must use no other."""
    items: ItemAttributes = field(default_factory=lambda: _NO_ITEMS)
    """Ids, titles, categories and custom columns of the n_items items, as known at `end`."""
    users: Attributes = field(default_factory=lambda: _NO_USERS)
    """Ids, countries and custom columns of the n_users users, as known at `end`."""

    def __post_init__(self) -> None:
        """Use numbers as the ids of items and users whose attributes were left out.

        Raises:
            PluginError: There are more or fewer attributes than items, or than users.
        """
        if self.items is _NO_ITEMS:
            object.__setattr__(self, "items", ItemAttributes.of([str(n) for n in range(self.n_items)]))
        if self.users is _NO_USERS:
            ids = [str(n) for n in range(self.n_users)]
            object.__setattr__(self, "users", Attributes.of(ids, country=[""] * len(ids)))
        for what, n, attributes in (("items", self.n_items, self.items), ("users", self.n_users, self.users)):
            if len(attributes) != n:
                raise PluginError(
                    f"attributes of {len(attributes)} {what} were given for {n}",
                    fix=f"give one entry for each of the n_{what}",
                )
        super().__post_init__()

    @cached_property
    def history(self) -> History:
        """The events as a history, one row per user number."""
        return History.from_events(self.events, self.n_users, self.n_items)

    def reseeded(self) -> TrainingData:
        """Return the same data with a copy of `rng` in the same state, so that a fit can be repeated."""
        return replace(self, rng=deepcopy(self.rng)).with_history(self.history)

    def with_history(self, history: History) -> TrainingData:
        """Set `history` where it was computed already, which takes seconds for millions of events."""
        vars(self)["history"] = history
        return self

    def before(self, end: int) -> TrainingData:
        """Return the data as known at an earlier time, to make labels inside the window.

        Past availability is not known, so every item counts as available. The attributes of items and users
        are those at the end of the whole window.

        Args:
            end: Seconds since 1970 UTC; events and feedback at or after it are left out.
        """
        stop = int(np.searchsorted(self.events.times, end))
        feedback = self.feedback and self.feedback[self.feedback.times < end]
        return replace(self, events=self.events[:stop], end=end, available=None, feedback=feedback)
