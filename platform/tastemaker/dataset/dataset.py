"""The lake's interactions as arrays: the events that the problem counts, with their rewards.

DuckDB turns ids into numbers, so that ten million events are never Python objects. At a cutoff, only users
and items from before it have numbers: a model can't refer to later ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.dataset.as_of import AsOf
from tastemaker.dataset.attributes import Described
from tastemaker.dataset.slices import Labels, read_labels
from tastemaker.dataset.split import Split, make_split
from tastemaker.errors import SourceError
from tastemaker.plugins.arrays import Events, Int32, Int64
from tastemaker.plugins.training_data import TrainingData
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.event_reward import event_worth
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.snapshot import Snapshot
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tastemaker.data.lake import Lake

__all__ = ["Dataset", "Split"]

_EVENTS = """
    SELECT u.number AS user_number, i.number AS item_number,
           CAST(r.flat + r.by_value * e.value AS FLOAT) AS reward,
           epoch_us(e.occurred_at) // 1000000 AS time, r.code AS type
    FROM events AS e JOIN event_rewards AS r USING (event_type)
    JOIN user_numbers AS u ON u.id = e.user_id JOIN item_numbers AS i ON i.id = e.item_id
    ORDER BY time, user_number, item_number, reward, type
"""
_COUNTED = "FROM events JOIN event_rewards USING (event_type)"
_USERS = f"SELECT DISTINCT user_id AS id {_COUNTED}"
_ITEMS = f"SELECT DISTINCT item_id AS id {_COUNTED} UNION SELECT item_id FROM items"  # noqa: S608 - constants
_CATALOGUE = """
    SELECT n.number, min(i.category), epoch_us(min(i.first_seen_at)) // 1000000
    FROM item_numbers AS n JOIN items AS i ON i.item_id = n.id GROUP BY n.number
"""
# Features are computed from more than the counted events. A sum does not depend on the order of rows.
_FEATURE_INPUTS = """
    SELECT sum(hash(user_id, item_id, event_type, value, occurred_at)) FROM events
    WHERE epoch_us(occurred_at) < $end
    UNION ALL SELECT sum(hash(item_id, category, price, first_seen_at)) FROM items
    WHERE epoch_us(first_seen_at) < $end IS NOT FALSE
    UNION ALL SELECT sum(hash(user_id, country, first_seen_at)) FROM users
    WHERE epoch_us(first_seen_at) < $end IS NOT FALSE
"""
_FOUND_TYPES = "SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY n DESC, event_type"
_SHOWN_TYPES = 20
_NEVER = np.iinfo(np.int64).max
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class Dataset:
    """All events of the lake that the problem counts, and the catalogue."""

    problem: ProblemSpec
    user_ids: IdIndex
    item_ids: IdIndex
    events: Events
    """Rewards are the problem's: Σ over objectives of share · weight (· value where by_value)."""
    category_names: tuple[str, ...]
    categories: Int32
    """int32[n_items]: index into `category_names`; -1 where the item has none."""
    first_seen: Int64
    """int64[n_items]: when the catalogue first listed the item; the largest int64 if it never did."""
    labels: dict[str, Labels]
    """Column of the table users -> its values, for slices of the evaluated users."""
    items: Described
    """Attributes of each item, for models that read content."""
    users: Described
    """Attributes of each user."""
    data_hash: str
    """Hash of everything that a model may learn from: the arrays, the attributes and the problem."""
    lake: Lake
    feature_root: Path | None = None
    seed: int = 0
    until: int | None = None
    """Explicit end of the data, seconds since 1970; None: the end is after the last event."""

    @classmethod
    def load(
        cls, lake: Lake, problem: ProblemSpec, *, feature_root: Path | None = None, seed: int = 0
    ) -> Dataset:
        """Read the events that the problem counts, and the catalogue.

        Args:
            lake: Where the tables are.
            problem: Gives each event type its reward.
            feature_root: Folder of feature snapshots; None for models without features.
            seed: Of random generators.

        Returns:
            The events, oldest first, and all items of events and catalogue, numbered in the ids' order.

        Raises:
            SourceError: There are no such events.
        """
        with lake.connect() as connection:
            rewards = _event_rewards(problem)
            connection.register("event_rewards", rewards)
            _require_events(connection, problem, rewards["event_type"].to_pylist())
            user_ids = _number(connection, "user_numbers", _USERS)
            item_ids = _number(connection, "item_numbers", _ITEMS)
            events = _read_events(connection, tuple(rewards["event_type"].to_pylist()))
            names, categories, first_seen = _read_catalogue(connection, len(item_ids))
            labels = {
                column: read_labels(connection, column, len(user_ids))
                for column in problem.slices.user_columns
            }
            items, users = (Described.read(connection, lake, table) for table in ("items", "users"))
            inputs = [] if feature_root is None else _feature_inputs(connection)
        dataset = cls(
            problem=problem,
            user_ids=user_ids,
            item_ids=item_ids,
            events=events,
            category_names=names,
            categories=categories,
            first_seen=first_seen,
            labels=labels,
            items=items,
            users=users,
            data_hash=_hash(
                (_facts(problem), names, inputs, items.digest, users.digest),
                (
                    user_ids.encoded,
                    item_ids.encoded,
                    events.users,
                    events.items,
                    events.rewards,
                    events.times,
                    events.types,
                ),
                (categories, first_seen),
            ),
            lake=lake,
            feature_root=feature_root,
            seed=seed,
        )
        return dataset.with_problem(problem)

    @property
    def end(self) -> int:
        """Exclusive end, seconds since 1970: `until`, or the midnight (UTC) after the last event."""
        if self.until is not None:
            return self.until
        return (int(self.events.times[-1]) // DAY_SECONDS + 1) * DAY_SECONDS

    def cut(self, end: int | None = None) -> AsOf:
        """Return the data from before `end` (by default, all). Raise SourceError if there is none."""
        return AsOf.at(self, self.end if end is None else end)

    def training(self, end: int | None = None) -> TrainingData:
        """Return what a model may learn from at `end`."""
        return self.cut(end).training(self.seed)

    def snapshot(self, end: int | None = None) -> Snapshot:
        """Return what serving needs at `end`."""
        return self.cut(end).snapshot()

    def split(
        self,
        seed: int | None = None,
        *,
        at: int | None = None,
        end: int | None = None,
    ) -> Split:
        """Split the data at a cutoff.

        Args:
            seed: Of the training data's random generator; None: the data set's.
            at: The cutoff, seconds since 1970 UTC; None: as the problem says.
            end: The end of the test period, exclusive, seconds since 1970 UTC; None: the data's end.

        Returns:
            The training data before the cutoff, and the users of the test period with their relevant items.

        Raises:
            SourceError: The data is too short.
        """
        return make_split(self, self.seed if seed is None else seed, at, end)

    def with_problem(self, problem: ProblemSpec) -> Dataset:
        """Return the same events with another problem's split; `split.until` ends the data after that day."""
        changed, until = replace(self, problem=problem), problem.split.until
        if until is None:
            return changed
        midnight = (until - _EPOCH + timedelta(days=1)).days * DAY_SECONDS
        return changed.before(min(midnight, changed.end))

    def windowed(self, train_days: int | None) -> Dataset:
        """Return the same data with another length of the training window; None: as the problem says."""
        if train_days is None:
            return self
        split = self.problem.split.model_copy(update={"train_days": train_days})
        return replace(self, problem=self.problem.model_copy(update={"split": split}))

    def before(self, end: int) -> Dataset:
        """Return the data set as of `end`: later data neither remains in it nor changes its hash.

        Raises:
            SourceError: There is no event before `end`.
        """
        cut = AsOf.at(self, end)
        known_users, known_items = cut.user_numbers >= 0, cut.item_numbers >= 0
        first_seen = np.where(self.first_seen[known_items] < end, self.first_seen[known_items], _NEVER)
        labels = {column: Labels(one.names, one.codes[known_users]) for column, one in self.labels.items()}
        known_by_name = np.array([*self.category_names, ""])[self.categories[known_items]].tolist()
        said = (cut.described_items.digest, cut.described_users.digest)
        inputs: list[Any] = []
        if self.feature_root is not None:
            with self.lake.connect() as connection:
                inputs = _feature_inputs(connection, end)
        return replace(
            self,
            user_ids=cut.user_ids,
            item_ids=cut.item_ids,
            events=cut.events,
            categories=self.categories[known_items],
            first_seen=first_seen,
            labels=labels,
            items=cut.described_items,
            users=cut.described_users,
            data_hash=_hash(
                (_facts(self.problem), end, known_by_name, inputs, said),
                (*_id_bytes(cut.user_ids), *_id_bytes(cut.item_ids)),
                (cut.events.users, cut.events.items, cut.events.rewards, cut.events.times, cut.events.types),
                (first_seen,),
            ),
            until=end,
        )


def _id_bytes(ids: IdIndex) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the ids' bytes, concatenated, and their ends: equal for any width of the array."""
    encoded = ids.encoded.tolist()
    lengths = np.cumsum([len(each) for each in encoded])
    return np.frombuffer(b"".join(encoded), np.uint8), lengths


def _facts(problem: ProblemSpec) -> str:
    """Return the parts of the problem that the arrays depend on: all but the slices and `split.until`."""
    return problem.model_dump_json(exclude={"slices": True, "split": {"until"}})


def _event_rewards(problem: ProblemSpec) -> pa.Table:
    """Return the reward of each event type, flat + by_value · value: Σ over objectives of share · weight.

    A type of weight 0 is left out, so that naming it has no effect.
    """
    worth = event_worth(problem.model_dump())
    return pa.table(
        {
            "event_type": pa.array(worth, pa.string()),
            "flat": pa.array([one.flat for one in worth.values()], pa.float64()),
            "by_value": pa.array([one.by_value for one in worth.values()], pa.float64()),
            "code": pa.array(range(len(worth)), pa.int16()),
        }
    )


def _require_events(connection: DuckDBPyConnection, problem: ProblemSpec, counted: list[str]) -> None:
    found = connection.execute(_FOUND_TYPES).fetchall()
    if not found:
        raise SourceError(
            "the table events is empty, a model needs at least one event",
            fix="read a source: tastemaker run; to see what validation refuses: tastemaker data check PATH",
        )
    if not {name for name, _count in found}.intersection(counted):
        listed = ", ".join(f"{name} ({count:,})" for name, count in found[:_SHOWN_TYPES])
        raise SourceError(
            f"the problem {problem.name!r} counts events of type {', '.join(sorted(counted))}, "
            f"but the events are: {listed}",
            fix="name one of these types under objectives in the problem file, or read another source",
        )


def _number(connection: DuckDBPyConnection, table: str, ids: str) -> IdIndex:
    """Assign numbers to distinct ids in UTF-8 order, in a temporary table (id, number) and as an index."""
    connection.execute(
        f"CREATE TEMP TABLE {table} AS "  # noqa: S608 - constants of this module
        f"SELECT id, CAST(row_number() OVER (ORDER BY id) - 1 AS INTEGER) AS number FROM ({ids})"
    )
    rows = connection.execute(f"SELECT id FROM {table} ORDER BY number").fetchall()  # noqa: S608 - as above
    return IdIndex.build(row[0] for row in rows)


def _feature_inputs(connection: DuckDBPyConnection, end: int | None = None) -> list[Any]:
    """Return hashes of the data that features are computed from, of all or from before `end`."""
    microseconds = _NEVER if end is None else end * 1_000_000
    return connection.execute(_FEATURE_INPUTS, {"end": microseconds}).fetchall()


def _read_events(connection: DuckDBPyConnection, type_names: tuple[str, ...]) -> Events:
    columns: dict[str, Any] = connection.execute(_EVENTS).fetchnumpy()
    return Events(
        columns["user_number"].astype(np.int32, copy=False),
        columns["item_number"].astype(np.int32, copy=False),
        columns["reward"].astype(np.float32, copy=False),
        columns["time"].astype(np.int64, copy=False),
        columns["type"].astype(np.int16, copy=False),
        type_names,
    )


def _read_catalogue(connection: DuckDBPyConnection, n_items: int) -> tuple[tuple[str, ...], Int32, Int64]:
    """Return category names, each item's index into them, and the time of its first listing."""
    rows = connection.execute(_CATALOGUE).fetchall()
    names = sorted({category for _number, category, _time in rows if category is not None})
    places = {name: place for place, name in enumerate(names)}
    categories = np.full(n_items, -1, np.int32)
    first_seen = np.full(n_items, _NEVER, np.int64)
    for number, category, time in rows:
        categories[number] = places.get(category, -1)
        first_seen[number] = _NEVER if time is None else time
    return tuple(names), categories, first_seen


def _hash(facts: object, *groups: tuple[NDArray[Any], ...]) -> str:
    digest = hashlib.blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=32)
    for array in (array for group in groups for array in group):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
