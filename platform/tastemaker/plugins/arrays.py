"""The arrays that cross the border between the platform and a model.

Users and items are dense integers here: row and column numbers, never the ids that people see. Times are
int64 seconds since 1970-01-01 UTC. A model may keep views of these arrays but can't write to them: they are
read-only, also in the matrices made of them. `array.copy()` and `matrix.copy()` can be written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.errors import PluginError
from tastemaker.plugins.attributes import Attributes, ItemAttributes
from tastemaker.plugins.read_only import ReadOnly, read_only

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

NO_ITEM = -1
"""Pads a ranking or a candidate list that is shorter than its row."""

UNKNOWN_USER = -1
"""The number of a user without an event in the training data: in `Batch.users`."""

# What stands for an argument that was left out.
_UNTYPED: Int16 = read_only(np.empty(0, np.int16))
_NO_ITEMS = ItemAttributes.of([])
_NO_USERS = Attributes.of([])


@dataclass(frozen=True, eq=False)
class Events(ReadOnly):
    """What happened, one entry an event, oldest first."""

    users: Int32
    items: Int32
    rewards: Float32
    """What the event is worth to the problem: its event type's weight times its value."""
    times: Int64
    types: Int16 = field(default_factory=lambda: _UNTYPED)
    """int16[m]: each event's type as a place in `type_names`; all 0 where events are told without types."""
    type_names: tuple[str, ...] = ("event",)
    """The types of event that the problem counts, such as purchase and view; others are left out."""

    def __post_init__(self) -> None:
        if self.types is _UNTYPED:
            object.__setattr__(self, "types", np.zeros(len(self.users), np.int16))
        super().__post_init__()

    def __getitem__(self, selection: slice | NDArray[Any]) -> Events:
        """The events at a slice, mask or index array."""
        return Events(
            self.users[selection],
            self.items[selection],
            self.rewards[selection],
            self.times[selection],
            self.types[selection],
            self.type_names,
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def count(self) -> int:
        """How many events."""
        return len(self.users)


def ruled_out(rewards: Float32, repeats: bool) -> Bool:
    """Return bool[m]: which (user, item) pairs must not be recommended, given each pair's summed reward.

    All of them where the problem allows no repeats; otherwise those below 0, which the user disliked. This is
    the one place that decides it, for evaluation, for serving and for what a model learns from.
    """
    return rewards < 0 if repeats else np.ones(len(rewards), np.bool_)


@dataclass(frozen=True, eq=False)
class History(ReadOnly):
    """What each of n users did, one entry a (user, item) pair, in CSR form.

    Row i holds the items ``items[offsets[i]:offsets[i + 1]]``, in ascending order and each once.
    """

    offsets: Int64
    """int64[n + 1]"""
    items: Int32
    """int32[m]: item numbers, ascending inside a row."""
    rewards: Float32
    """float32[m]: the pair's summed reward."""
    counts: Int32
    """int32[m]: the pair's number of events."""
    last_times: Int64
    """int64[m]: when the pair's latest event happened."""
    n_items: int

    @classmethod
    def from_events(cls, events: Events, n_users: int, n_items: int) -> History:
        """Sum the events of each (user, item) pair. O(m log m) time, O(m) memory."""
        pairs = events.users.astype(np.int64) * n_items + events.items
        keys, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
        rewards = np.bincount(inverse, weights=events.rewards, minlength=len(keys))
        last_times = np.full(len(keys), np.iinfo(np.int64).min)
        np.maximum.at(last_times, inverse, events.times)
        offsets = np.searchsorted(keys, np.arange(n_users + 1, dtype=np.int64) * n_items)
        return cls(
            offsets.astype(np.int64),
            (keys % n_items).astype(np.int32) if n_items else np.empty(0, np.int32),
            rewards.astype(np.float32),
            counts.astype(np.int32),
            last_times,
            n_items,
        )

    @classmethod
    def empty(cls, n: int, n_items: int) -> History:
        """n users who did nothing."""
        return cls(
            np.zeros(n + 1, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.float32),
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            n_items,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> History:
        """The history of some rows; row -1 (an unknown user) is an empty one."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        known = rows >= 0
        starts = np.where(known, self.offsets[rows], 0)
        lengths = np.where(known, self.offsets[np.where(known, rows + 1, 0)] - starts, 0)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        flat = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)
        return History(
            offsets,
            self.items[flat],
            self.rewards[flat],
            self.counts[flat],
            self.last_times[flat],
            self.n_items,
        )

    @cached_property
    def lengths(self) -> Int64:
        """int64[n]: how many distinct items each row holds."""
        return read_only(np.diff(self.offsets))

    @cached_property
    def rows(self) -> Int64:
        """int64[m]: the row of each entry."""
        return read_only(np.repeat(np.arange(len(self)), self.lengths))

    def latest(self, n: int) -> History:
        """Return the history with at most n items a row: those of the latest events, of equal ones by number.

        O(m) time, and O(l log l) for the l entries of longer rows.
        """
        if self.lengths.max(initial=0) <= n:
            return self
        long = np.flatnonzero(self.lengths[self.rows] > n)
        rows = self.rows[long]
        order = np.lexsort((self.items[long], -self.last_times[long], rows))
        place = np.arange(len(long)) - np.searchsorted(rows, rows)  # the order is by row, as the rows are
        kept = np.ones(len(self.items), np.bool_)
        kept[long[order[place >= n]]] = False
        return History(
            np.concatenate(([0], np.cumsum(kept)))[self.offsets],
            self.items[kept],
            self.rewards[kept],
            self.counts[kept],
            self.last_times[kept],
            self.n_items,
        )

    def ruled_out(self, repeats: bool) -> csr_array | None:
        """Return bool n x n_items, what each row must not be shown because of its past; None if nothing is.

        See `ruled_out`.
        """
        if not repeats:
            return self.matrix(np.ones(len(self.items), np.bool_))
        out = ruled_out(self.rewards, repeats)
        if not out.any():
            return None
        offsets = np.concatenate(([0], np.cumsum(out)))[self.offsets]
        shape = (len(self), self.n_items)
        return csr_array((out[out], self.items[out], offsets), shape=shape)

    def matrix(self, values: NDArray[Any] | None = None) -> csr_array:
        """The n x n_items matrix of `values` (the rewards, unless told otherwise), read-only: see `copy`."""
        data = self.rewards if values is None else read_only(values)
        matrix = csr_array((data, self.items, self.offsets), shape=(len(self), self.n_items))
        matrix.indptr = read_only(matrix.indptr)  # scipy may have made it anew, in a narrower type
        matrix.indices = read_only(matrix.indices)
        matrix.has_canonical_format = True
        return matrix


@dataclass(frozen=True, eq=False)
class FeatureTable(ReadOnly):
    """Named numeric columns: ``values`` is float32[n, len(names)], NaN where a value is missing."""

    names: tuple[str, ...]
    values: Float32

    def select(self, names: Sequence[str]) -> FeatureTable:
        """These columns, in this order. Raises PluginError naming the columns that do not exist."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise PluginError(
                f"no feature named {', '.join(missing)}", fix=f"the features are: {', '.join(self.names)}"
            )
        return FeatureTable(tuple(names), self.values[:, [self.names.index(name) for name in names]])

    def __getitem__(self, rows: Any) -> FeatureTable:
        """The same columns for some rows; row -1 (unknown) is all NaN."""
        if not isinstance(rows, np.ndarray) or rows.dtype == np.bool_:
            return FeatureTable(self.names, self.values[rows])
        values = np.full((len(rows), len(self.names)), np.nan, np.float32)
        values[rows >= 0] = self.values[rows[rows >= 0]]
        return FeatureTable(self.names, values)


class FeatureSource(Protocol):
    """Point-in-time features: what was known strictly before a moment."""

    def users(self, before: int) -> FeatureTable:
        """One row a user number, from events with time < `before` (seconds since 1970 UTC)."""

    def items(self, before: int) -> FeatureTable:
        """One row an item number, from events with time < `before` (seconds since 1970 UTC)."""


@dataclass(frozen=True, eq=False)
class Feedback(ReadOnly):
    """What became of items that were shown, one entry a shown item: also of those that nobody touched."""

    users: Int32
    """int32[n]: user numbers, -1 for a user that training did not see."""
    items: Int32
    """int32[n]: the item shown; -1 for one that training did not see, from which nothing is learned."""
    positions: Int32
    """int32[n]: where in the list it stood, 0 for the first place."""
    rewards: Float32
    """float32[n]: what came of it; 0 if nothing did."""
    propensities: Float32
    """float32[n]: the probability with which the policy that showed it put it there."""
    times: Int64
    """int64[n]: when it was shown, seconds since 1970 UTC."""
    context: Float32 | None = None
    """float32[n, d]: the context of the request that it was shown for."""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, selection: slice | NDArray[Any]) -> Feedback:
        """The entries at a slice, mask or index array."""
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
    """Everything that a model may learn from."""

    events: Events
    n_users: int
    n_items: int
    end: int
    """The window's end, exclusive: no event happened at or after it."""
    repeats: bool = True
    """Whether the problem allows an item to be recommended to a user who already had it."""
    k: int = 10
    """The length of list that the problem asks for."""
    features: FeatureSource | None = None
    available: Bool | None = None
    """bool[n_items]: the items that may be recommended at `end`; None if all may."""
    feedback: Feedback | None = None
    """What became of the lists that were shown before `end`, oldest first, if that was logged."""
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    items: ItemAttributes = field(default_factory=lambda: _NO_ITEMS)
    """Ids, titles, categories and columns of the shop's own: n_items entries, as known at `end`."""
    users: Attributes = field(default_factory=lambda: _NO_USERS)
    """Ids, country and columns of the shop's own: n_users entries, as known at `end`."""

    def __post_init__(self) -> None:
        """Without attributes, an item's and a user's id is its number, and nothing else is known of them.

        Raises PluginError if there are not as many attributes as items, or as users.
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
        """One row a user number."""
        return History.from_events(self.events, self.n_users, self.n_items)

    def reseeded(self) -> TrainingData:
        """The same data with a generator of its own in the same state, so that a fit can be done again."""
        return replace(self, rng=deepcopy(self.rng)).with_history(self.history)

    def with_history(self, history: History) -> TrainingData:
        """This data, told its history where that was counted already: it takes seconds for millions."""
        vars(self)["history"] = history
        return self

    def before(self, end: int) -> TrainingData:
        """The same data as it was known at an earlier moment (for labels inside the window).

        Availability is not known for the past, so every item counts as available. What is said of items and
        users is what is known at the end of the whole window.
        """
        stop = int(np.searchsorted(self.events.times, end))
        feedback = self.feedback and self.feedback[self.feedback.times < end]
        return replace(self, events=self.events[:stop], end=end, available=None, feedback=feedback)


@dataclass(frozen=True, eq=False)
class Batch(ReadOnly):
    """n requests for recommendations. Evaluation and serving build the same batch."""

    users: Int32
    """int32[n]: user numbers, -1 for a user that training did not see."""
    history: History
    """n rows: what each did until now (an unknown user may have some: an anonymous session)."""
    seeds: UInt64
    """uint64[n]: each row's own entropy. The answer is a pure function of the batch and the model."""
    now: int
    """The moment of the requests, seconds since 1970 UTC."""
    candidates: Int32 | None = None
    """int32[n, c], padded with -1: if given, only these may be recommended."""
    excluded: csr_array | None = None
    """bool n x n_items: what must not be recommended to each row."""
    available: Bool | None = None
    """bool[n_items]: if given, only these may be recommended to anyone."""
    context: Float32 | None = None
    """float32[n, d]: what the caller says of the situation."""
    user_features: FeatureTable | None = None
    """n rows, the columns that the model declared."""
    item_features: FeatureTable | None = None
    """n_items rows, the columns that the model declared."""

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Batch:
        """Some of the requests, as a batch of their own."""
        index = np.arange(len(self))[rows]
        return replace(
            self,
            users=self.users[index],
            history=self.history[index],
            seeds=self.seeds[index],
            candidates=None if self.candidates is None else self.candidates[index],
            excluded=None if self.excluded is None else self.excluded[index],
            context=None if self.context is None else self.context[index],
            user_features=None if self.user_features is None else self.user_features[index],
        )


class Ranking(NamedTuple):
    """The answer to a batch: best first; a row with fewer than k answers is padded at its end."""

    items: Int32
    """int32[n, k], padded with -1."""
    scores: Float32
    """float32[n, k], descending and finite; padded with -inf."""
    propensities: Float32
    """float32[n, k]: the probability that the policy puts this item at this position; padded with 0."""
