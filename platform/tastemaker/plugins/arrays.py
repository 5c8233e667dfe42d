"""The data types that the platform and a model exchange: training data, batches, feedback and rankings.

Users and items are dense integers here: row and column numbers, never the ids of the shop. Times are int64
seconds since 1970-01-01 UTC. A model may keep views of these arrays but can't write to them: they are
read-only, and so are the matrices made of them. `array.copy()` and `matrix.copy()` can be written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tastemaker.errors import PluginError
from tastemaker.plugins.read_only import ReadOnly, read_only

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]
Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]

NO_ITEM = -1
"""The item number that pads a ranking or a candidate list with fewer items than columns."""

UNKNOWN_USER = -1
"""The user number of a user that training did not see."""

# The default that stands for an argument that was left out.
_UNTYPED: Int16 = read_only(np.empty(0, np.int16))


@dataclass(frozen=True, eq=False)
class Events(ReadOnly):
    """A log of m events, oldest first.

    >>> events = Events(
    ...     users=np.array([0, 1], np.int32),
    ...     items=np.array([2, 2], np.int32),
    ...     rewards=np.array([1, -1], np.float32),
    ...     times=np.array([1_700_000_000, 1_700_000_060]),
    ... )
    >>> len(events), events[events.rewards > 0].users.tolist()
    (2, [0])
    """

    users: Int32
    """int32[m]: the user number of each event."""
    items: Int32
    """int32[m]: the item number of each event."""
    rewards: Float32
    """float32[m]: the value of each event to the problem: the weight of its type, times its value if the
    problem says so."""
    times: Int64
    """int64[m]: when each event happened, seconds since 1970 UTC, ascending."""
    types: Int16 = field(default_factory=lambda: _UNTYPED)
    """int16[m]: the type of each event as an index into `type_names`; all 0 if left out."""
    type_names: tuple[str, ...] = ("event",)
    """The event types that the problem counts, such as purchase and view; others are left out."""

    def __post_init__(self) -> None:
        if self.types is _UNTYPED:
            object.__setattr__(self, "types", np.zeros(len(self.users), np.int16))
        super().__post_init__()

    def __getitem__(self, selection: slice | NDArray[Any]) -> Events:
        """Return the events at a slice, boolean mask or index array."""
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
        """The number of events."""
        return len(self.users)


def ruled_out(rewards: Float32, repeats: bool) -> Bool:
    """Return which (user, item) pairs of a history must not be recommended.

    Evaluation, serving and training all exclude by this function.

    Args:
        rewards: float32[m], the summed reward of each pair.
        repeats: Whether the problem allows an item to be recommended to a user who already had it.

    Returns:
        bool[m]: all pairs without repeats; with repeats those below 0, which the user disliked.

    >>> ruled_out(np.array([2, -1], np.float32), repeats=True).tolist()
    [False, True]
    """
    return rewards < 0 if repeats else np.ones(len(rewards), np.bool_)


@dataclass(frozen=True, eq=False)
class History(ReadOnly):
    """The history of n users in CSR form: m entries, one per (user, item) pair.

    Row i has the items ``items[offsets[i]:offsets[i + 1]]``, in ascending order and each once.

    >>> events = Events(
    ...     users=np.array([0, 0, 1], np.int32),
    ...     items=np.array([2, 2, 0], np.int32),
    ...     rewards=np.ones(3, np.float32),
    ...     times=np.array([10, 20, 30]),
    ... )
    >>> history = History.from_events(events, n_users=2, n_items=3)
    >>> history.counts.tolist(), history.last_times.tolist()
    ([2, 1], [20, 30])
    >>> history.matrix().toarray().tolist()
    [[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]]
    """

    offsets: Int64
    """int64[n + 1]: where each row begins, and the end of the last one."""
    items: Int32
    """int32[m]: item numbers, ascending within a row."""
    rewards: Float32
    """float32[m]: the pair's summed reward."""
    counts: Int32
    """int32[m]: the pair's number of events."""
    last_times: Int64
    """int64[m]: when the pair's latest event happened, seconds since 1970 UTC."""
    n_items: int
    """The number of items in the catalogue."""

    @classmethod
    def from_events(cls, events: Events, n_users: int, n_items: int) -> History:
        """Sum the events of each (user, item) pair. O(m log m) time, O(m) memory.

        Args:
            events: m events of users [0, n_users) with items [0, n_items).
            n_users: The number of rows.
            n_items: The number of items in the catalogue.

        Returns:
            n_users rows.
        """
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
        """Return rows without an entry.

        Args:
            n: The number of rows.
            n_items: The number of items in the catalogue.
        """
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
        """Return some rows, by a slice or index array; -1 (an unknown user) gives an empty row."""
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
        """int64[n]: the number of items of each row."""
        return read_only(np.diff(self.offsets))

    @cached_property
    def rows(self) -> Int64:
        """int64[m]: the row of each entry."""
        return read_only(np.repeat(np.arange(len(self)), self.lengths))

    def latest(self, n: int) -> History:
        """Return the history with at most n items per row: those of the latest events.

        Of items with events at the same time, those with the lower numbers are kept. O(m) time, and
        O(l log l) for the l entries of longer rows.
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
        """Return which items each row must not be recommended because of its history.

        Args:
            repeats: As in the function `ruled_out`.

        Returns:
            bool CSR[n, n_items]; None if nothing is excluded.
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
        """Return the entries as a matrix.

        Args:
            values: The value of each entry, [m]; the rewards if None.

        Returns:
            CSR[n, n_items], read-only; `copy()` of it can be written to.
        """
        data = self.rewards if values is None else read_only(values)
        matrix = csr_array((data, self.items, self.offsets), shape=(len(self), self.n_items))
        matrix.indptr = read_only(matrix.indptr)  # scipy may have copied it into a narrower type
        matrix.indices = read_only(matrix.indices)
        matrix.has_canonical_format = True
        return matrix


@dataclass(frozen=True, eq=False)
class FeatureTable(ReadOnly):
    """A table of n rows of named numeric columns.

    >>> table = FeatureTable(("age", "price"), np.array([[3, 4.5], [8, np.nan]], np.float32))
    >>> table.select(["price"])[np.array([0, -1])].values.tolist()
    [[4.5], [nan]]
    """

    names: tuple[str, ...]
    """The names of the columns."""
    values: Float32
    """float32[n, len(names)], NaN where a value is missing."""

    def select(self, names: Sequence[str]) -> FeatureTable:
        """Return some columns, in the order of `names`.

        Raises:
            PluginError: A column does not exist; the message names it and lists those that do.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise PluginError(
                f"no feature named {', '.join(missing)}", fix=f"the features are: {', '.join(self.names)}"
            )
        return FeatureTable(tuple(names), self.values[:, [self.names.index(name) for name in names]])

    def __getitem__(self, rows: Any) -> FeatureTable:
        """Return some rows, by a slice, mask or index array; index -1 (unknown) gives a row of NaN."""
        if not isinstance(rows, np.ndarray) or rows.dtype == np.bool_:
            return FeatureTable(self.names, self.values[rows])
        values = np.full((len(rows), len(self.names)), np.nan, np.float32)
        values[rows >= 0] = self.values[rows[rows >= 0]]
        return FeatureTable(self.names, values)


class FeatureSource(Protocol):
    """A source of point-in-time features: the values known strictly before a given time."""

    def users(self, before: int) -> FeatureTable:
        """Return one row per user number, from events with time < `before` (seconds since 1970 UTC)."""

    def items(self, before: int) -> FeatureTable:
        """Return one row per item number, from events with time < `before` (seconds since 1970 UTC)."""


@dataclass(frozen=True, eq=False)
class Batch(ReadOnly):
    """n requests for recommendations. Evaluation and serving build the same batches."""

    users: Int32
    """int32[n]: user numbers, -1 for a user that training did not see."""
    history: History
    """n rows: what each user did until `now`; an unknown user may have an anonymous session."""
    seeds: UInt64
    """uint64[n]: the random seed of each row. The ranking is a pure function of batch and model."""
    now: int
    """The time of the requests, seconds since 1970 UTC."""
    candidates: Int32 | None = None
    """int32[n, c], padded with -1: the items that may be recommended to each row; None for all."""
    excluded: csr_array | None = None
    """bool CSR[n, n_items]: the items that must not be recommended to each row; None for none."""
    available: Bool | None = None
    """bool[n_items]: the items that may be recommended at all; None for all."""
    context: Float32 | None = None
    """float32[n, d]: the context of each request, from the caller; None without contexts."""
    user_features: FeatureTable | None = None
    """n rows of the columns that the model's capabilities declare."""
    item_features: FeatureTable | None = None
    """n_items rows of the columns that the model's capabilities declare."""

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Batch:
        """Return some of the requests, by a slice, mask or index array, as a batch."""
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
    """The k best items of each of n rows, best first; a row with fewer items is padded at its end."""

    items: Int32
    """int32[n, k]: item numbers, padded with -1."""
    scores: Float32
    """float32[n, k]: scores, finite and descending, padded with -inf."""
    propensities: Float32
    """float32[n, k]: the probability that the policy puts this item at this position, padded with 0."""
