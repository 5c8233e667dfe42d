"""Data as of a cutoff: users, items and events from before it, with numbers of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tastemaker.dataset.attributes import ArrowAttributes, Described
from tastemaker.errors import SourceError
from tastemaker.plugins.arrays import Bool, Events, FeatureSource, History, Int32
from tastemaker.plugins.attributes import Attributes, ItemAttributes
from tastemaker.plugins.preferences import disliked_only
from tastemaker.plugins.training_data import Feedback, TrainingData
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.item_content import Content, Listed
from tastemaker.snapshot.item_neighbours import Neighbours
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from tastemaker.data.lake import Lake
    from tastemaker.dataset.dataset import Dataset


@dataclass(frozen=True, eq=False)
class AsOf:
    """Data from strictly before `end`."""

    problem: ProblemSpec
    end: int
    user_ids: IdIndex
    """The users with an event before `end`."""
    item_ids: IdIndex
    """The items with an event before `end`, or listed in the catalogue before it."""
    user_numbers: Int32
    """int32[all users]: the data set's number -> the number here; -1 for a user without an earlier event."""
    item_numbers: Int32
    """int32[all items]: the same for items."""
    events: Events
    """All events since the beginning of the data, with the numbers here."""
    described_items: Described
    """Attributes of the items, as known at `end`."""
    described_users: Described
    """Attributes of the users, as known at `end`."""
    available: Bool | None
    features: FeatureSource | None
    data_hash: str
    lake: Lake

    @classmethod
    def at(cls, dataset: Dataset, end: int) -> AsOf:
        """Take the data from before a cutoff.

        Args:
            dataset: All data.
            end: The cutoff, exclusive, seconds since 1970 UTC.

        Returns:
            The data with numbers of its own (`user_numbers`, `item_numbers`), in the order of the data set's.

        Raises:
            SourceError: There is no event before the cutoff.
        """
        before = dataset.events[: int(np.searchsorted(dataset.events.times, end))]
        if not before.count:
            first = int(dataset.events.times[0])
            raise SourceError(
                f"no event happened before {utc_text(end)}; the first was at {utc_text(first)}",
                fix="choose a later end, or a smaller split.test_days in the problem file",
            )
        known_users = _flags(before.users, len(dataset.user_ids))
        known_items = _flags(before.items, len(dataset.item_ids)) | (dataset.first_seen < end)
        user_numbers, item_numbers = _renumber(known_users), _renumber(known_items)
        user_ids, item_ids = dataset.user_ids.take(known_users), dataset.item_ids.take(known_items)
        return cls(
            problem=dataset.problem,
            end=end,
            user_ids=user_ids,
            item_ids=item_ids,
            user_numbers=user_numbers,
            item_numbers=item_numbers,
            events=replace(before, users=user_numbers[before.users], items=item_numbers[before.items]),
            described_items=dataset.items.at(end, known_items),
            described_users=dataset.users.at(end, known_users),
            available=_available(dataset, before, end, known_items),
            features=_features(dataset, user_ids, item_ids),
            data_hash=dataset.data_hash,
            lake=dataset.lake,
        )

    @property
    def start(self) -> int:
        """Start of the training window: train_days before `end`, or the first event."""
        days = self.problem.split.train_days
        first = int(self.events.times[0])
        return first if days is None else max(first, self.end - days * DAY_SECONDS)

    def training(self, seed: int) -> TrainingData:
        """Return the training data of the window; users and items from before the window are included."""
        window = self.events[int(np.searchsorted(self.events.times, self.start)) :]
        if not window.count:
            raise SourceError(
                f"no event happened from {utc_text(self.start)} to {utc_text(self.end)}, the training window",
                fix="lengthen split.train_days in the problem file",
            )
        data = TrainingData(
            events=window,
            n_users=len(self.user_ids),
            n_items=len(self.item_ids),
            end=self.end,
            repeats=self.problem.candidates.repeats,
            k=self.problem.placement.k,
            features=self.features,
            available=self.available,
            feedback=self.feedback,
            rng=np.random.default_rng(seed),
            items=self.items,
            users=self.users,
        )
        return data.with_history(self.history) if window.count == self.events.count else data

    @cached_property
    def items(self) -> ItemAttributes:
        """Attributes of the items, as models get them."""
        return ItemAttributes(ArrowAttributes(self.item_ids, self.described_items.rows))

    @cached_property
    def users(self) -> Attributes:
        """Attributes of the users, as models get them."""
        return Attributes(ArrowAttributes(self.user_ids, self.described_users.rows))

    @cached_property
    def feedback(self) -> Feedback | None:
        """Logged impressions with their rewards, as known before `end`; None if there are none."""
        if not self.lake.files("requests"):
            return None
        from tastemaker.event_log.attribution import as_feedback, attribute

        shown = attribute(self.lake, self.problem, until=self.end).impressions
        return as_feedback(shown, self.user_ids, self.item_ids) if len(shown) else None

    @cached_property
    def history(self) -> History:
        """Histories of all users, not only in the training window."""
        return History.from_events(self.events, len(self.user_ids), len(self.item_ids))

    def snapshot(self) -> Snapshot:
        """Return the snapshot with all users' whole histories, not only in the training window."""
        return Snapshot(
            user_ids=self.user_ids,
            item_ids=self.item_ids,
            history=self.history,
            end=self.end,
            repeats=self.problem.candidates.repeats,
            available=self.available,
            popular=self._popular(),
            item_features=None if self.features is None else self.features.items(self.end),
            data_hash=self.data_hash,
        )

    @cached_property
    def serving_snapshot(self) -> Snapshot:
        """Snapshot with what only serving needs: item neighbours and item content."""
        neighbours, content = Neighbours.of(self.history), Content.build(_listed(self.lake, self.item_ids))
        return replace(self.snapshot(), neighbours=neighbours, content=content)

    def _popular(self) -> Int32:
        n, history = len(self.item_ids), self.history
        rewards = np.bincount(self.events.items, self.events.rewards, minlength=n)
        last = disliked_only(history.items, history.rewards, n)
        best_first = np.lexsort((-rewards, last)).astype(np.int32)
        return best_first if self.available is None else best_first[self.available[best_first]]


def utc_text(time: int) -> str:
    """Format seconds since 1970 as a date and time in UTC."""
    return datetime.fromtimestamp(time, UTC).isoformat(sep=" ")


def _flags(numbers: Int32, n: int) -> Bool:
    flags = np.zeros(n, np.bool_)
    flags[numbers] = True
    return flags


def _renumber(known: Bool) -> Int32:
    return np.where(known, np.cumsum(known) - 1, -1).astype(np.int32)


def _available(dataset: Dataset, before: Events, end: int, known: Bool) -> Bool | None:
    """Return bool[known items]: not blocked, with an event in the last available_days; None without rules."""
    rules = dataset.problem.candidates
    if not (rules.available_days or rules.blocked_categories or rules.blocked_items):
        return None
    available = np.ones(len(known), np.bool_)
    if rules.available_days is not None:
        recent = before.items[int(np.searchsorted(before.times, end - rules.available_days * DAY_SECONDS)) :]
        available = _flags(recent, len(known))
    blocked = [n for n, name in enumerate(dataset.category_names) if name in rules.blocked_categories]
    available &= ~np.isin(dataset.categories, blocked)
    numbers = dataset.item_ids.lookup(rules.blocked_items)
    available[numbers[numbers >= 0]] = False
    return available[known]


def _features(dataset: Dataset, user_ids: IdIndex, item_ids: IdIndex) -> FeatureSource | None:
    if dataset.feature_root is None:
        return None
    from tastemaker.features.snapshots import SnapshotFeatures

    return SnapshotFeatures(dataset.lake, dataset.feature_root, user_ids, item_ids)


def _listed(lake: Lake, item_ids: IdIndex) -> list[Listed]:
    """Return the row of each item in the table items, by number."""
    listed = [Listed()] * len(item_ids)
    with lake.connect() as connection:
        rows = connection.execute("SELECT item_id, title, category, price FROM items").fetchall()
    numbers = item_ids.lookup([row[0] for row in rows]).tolist()
    for number, (_, *known) in zip(numbers, rows, strict=True):
        if number >= 0:
            listed[number] = Listed(*known)
    return listed
