"""The data that serving needs beside the model: histories, availability and the numbering of ids.

Standing on numpy alone, so that a prediction service loads it without a database, DuckDB or pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from scipy.sparse import csr_array

from tastemaker.errors import ArtifactError
from tastemaker.plugins.arrays import Batch, Bool, Events, FeatureTable, Float32, History, Int32, UInt64
from tastemaker.plugins.read_only import ReadOnly
from tastemaker.plugins.recommender import Capabilities, load_array
from tastemaker.snapshot.ids import IdIndex
from tastemaker.snapshot.item_content import Content
from tastemaker.snapshot.item_neighbours import Neighbours

FORMAT = 1
_HISTORY = ("offsets", "items", "rewards", "counts", "last_times")
_NEEDS_NOTHING = Capabilities()


class _Header(msgspec.Struct, frozen=True):
    format: int
    end: int
    repeats: bool
    data_hash: str
    has_available: bool
    item_feature_names: tuple[str, ...] | None
    has_neighbours: bool = False
    has_content: bool = False


@dataclass(frozen=True, eq=False)
class Snapshot(ReadOnly):
    """The catalogue and all users' history as known strictly before `end`."""

    user_ids: IdIndex
    item_ids: IdIndex
    history: History
    """One row per user number."""
    end: int
    """Seconds since 1970 UTC, exclusive."""
    repeats: bool
    """May an item be shown to a user who already had it? One that the user disliked is not, either way."""
    available: Bool | None
    """bool[n_items]: what may be shown; None if everything may."""
    popular: Int32
    """int32[m]: the available items by summed reward, best first: the fallback list.

    Last come those that some users dislike and none likes.
    """
    item_features: FeatureTable | None
    """n_items rows as of `end`, if features were computed."""
    data_hash: str
    """The hash of the arrays and the problem that the snapshot was made from."""
    neighbours: Neighbours | None = None
    """Item to item, where it was worked out: only serving needs it."""
    content: Content | None = None
    """Titles and the like, where they were read: only serving needs them."""
    _selected: dict[tuple[str, ...], FeatureTable] = field(default_factory=dict, init=False, repr=False)

    def batch(
        self,
        users: Int32,
        *,
        seeds: UInt64,
        now: int | None = None,
        history: History | None = None,
        capabilities: Capabilities = _NEEDS_NOTHING,
        exclude: Sequence[Int32] | None = None,
        since: Events | None = None,
        candidates: Int32 | None = None,
        context: Float32 | None = None,
        user_features: FeatureTable | None = None,
    ) -> Batch:
        """Return the batch for some requests, the same in evaluation and in serving.

        Items that a row's history rules out (`plugins.arrays.ruled_out`) are excluded.

        Args:
            users: int32[n], -1 for an unknown user.
            seeds: uint64[n], the random seed of each row.
            now: The time of the requests, seconds since 1970 UTC; the snapshot's end if None.
            history: n rows, for requests that bring a history, such as an anonymous session; the known
                history of the users if None.
            capabilities: What the model reads.
            exclude: n arrays of numbers of items to exclude; -1 is ignored.
            since: Later events, whose users are row numbers. They count for what is excluded, not for the
                history that the model reads, and may repeat events of the snapshot.
            candidates: int32[n, c], padded with -1; all items if None.
            context: float32[n, d].
            user_features: n rows; declared user features are NaN if None.

        Raises:
            ArtifactError: The model reads item features and the snapshot has none.
        """
        has_own_history = history is not None
        if history is None:
            history = self.history[users]
        pasts = [history]
        if since is not None and has_own_history:  # a view does not make up for a dislike
            pasts.append(extended(History.empty(len(history), history.n_items), since))
        elif since is not None:
            pasts = [extended(history, since)]
        return Batch(
            users=users,
            history=history,
            seeds=seeds,
            now=self.end if now is None else now,
            candidates=candidates,
            excluded=self._excluded(pasts, exclude),
            available=self.available,
            context=context,
            user_features=_declared(user_features, capabilities.user_features, len(users)),
            item_features=self._item_features(capabilities.item_features),
        )

    def _excluded(self, pasts: Sequence[History], exclude: Sequence[Int32] | None) -> csr_array | None:
        """Return bool CSR[n, n_items]: what the histories rule out and `exclude` names; None if nothing."""
        out = [past.ruled_out(self.repeats) for past in pasts]
        if not exclude and len(out) == 1:
            return out[0]
        n, n_items = len(pasts[0]), pasts[0].n_items
        places = [
            row * n_items + items[items >= 0].astype(np.int64) for row, items in enumerate(exclude or ())
        ]
        for past in out:
            if past is not None:
                places.append(np.repeat(np.arange(n), np.diff(past.indptr)) * n_items + past.indices)
        if not places:
            return None
        # Place in the flattened n x n_items matrix: sorted and each once, as CSR wants them.
        joined = np.unique(np.concatenate(places))
        offsets = np.searchsorted(joined, np.arange(n + 1) * n_items)
        ones = np.ones(len(joined), np.bool_)
        return csr_array((ones, joined % max(n_items, 1), offsets), shape=(n, n_items))

    def _item_features(self, names: tuple[str, ...]) -> FeatureTable | None:
        if not names:
            return None
        if self.item_features is None:
            raise ArtifactError(
                f"the snapshot holds no item features, but the model reads {', '.join(names)}",
                fix="compute features before training: tastemaker run",
            )
        if names not in self._selected:  # n_items rows are too many to copy for each request
            self._selected[names] = self.item_features.select(names)
        return self._selected[names]

    def save(self, folder: Path) -> None:
        """Write .npy files and snapshot.json into an existing, empty folder."""
        self.user_ids.save(folder / "user_ids.npy")
        self.item_ids.save(folder / "item_ids.npy")
        arrays = {f"history.{part}": getattr(self.history, part) for part in _HISTORY}
        arrays["popular"] = self.popular
        if self.available is not None:
            arrays["available"] = self.available
        if self.item_features is not None:
            arrays["item_features"] = self.item_features.values
        for name, values in arrays.items():
            np.save(folder / f"{name}.npy", values, allow_pickle=False)
        for part in (self.neighbours, self.content):
            if part is not None:
                part.save(folder)
        header = _Header(
            format=FORMAT,
            end=self.end,
            repeats=self.repeats,
            data_hash=self.data_hash,
            has_available=self.available is not None,
            item_feature_names=None if self.item_features is None else self.item_features.names,
            has_neighbours=self.neighbours is not None,
            has_content=self.content is not None,
        )
        (folder / "snapshot.json").write_bytes(msgspec.json.encode(header))

    @classmethod
    def load(cls, folder: Path) -> Snapshot:
        """Memory-map what `save` wrote. Raises ArtifactError naming what is missing or does not fit."""
        header = _read_header(folder / "snapshot.json")
        users, items = IdIndex.load(folder / "user_ids.npy"), IdIndex.load(folder / "item_ids.npy")
        parts = {part: load_array(folder / f"history.{part}.npy") for part in _HISTORY}
        names = header.item_feature_names
        snapshot = cls(
            user_ids=users,
            item_ids=items,
            history=History(n_items=len(items), **parts),
            end=header.end,
            repeats=header.repeats,
            available=load_array(folder / "available.npy") if header.has_available else None,
            popular=load_array(folder / "popular.npy"),
            item_features=None
            if names is None
            else FeatureTable(names, load_array(folder / "item_features.npy")),
            data_hash=header.data_hash,
            neighbours=Neighbours.load(folder) if header.has_neighbours else None,
            content=Content.load(folder) if header.has_content else None,
        )
        _check_fit(snapshot, folder)
        return snapshot


def extended(history: History, since: Events) -> History:
    """Return a history with events that came later, as a new one.

    An event that is no later than the last one that the history has of its pair is in there already: what
    was known when a version was trained may be passed again.

    Args:
        history: n rows; not changed.
        since: The events in any order; their users are row numbers from 0 to n - 1, not user numbers.

    Returns:
        n rows, in which the rewards and counts of the new events are added to those of the history.
    """
    n = history.n_items
    had, pairs = history.rows * n + history.items, since.users.astype(np.int64) * n + since.items
    places = np.minimum(np.searchsorted(had, pairs), max(len(had) - 1, 0))
    if len(had):
        new = (had[places] != pairs) | (history.last_times[places] < since.times)
        since, pairs = since[new], pairs[new]
    keys, inverse = np.unique(np.concatenate([had, pairs]), return_inverse=True)
    ones = np.ones(len(since), np.int32)
    last_times = np.full(len(keys), np.iinfo(np.int64).min)
    np.maximum.at(last_times, inverse, np.concatenate([history.last_times, since.times]))
    return History(
        np.searchsorted(keys, np.arange(len(history) + 1, dtype=np.int64) * n),
        (keys % max(n, 1)).astype(np.int32),
        np.bincount(inverse, np.concatenate([history.rewards, since.rewards]), len(keys)).astype(np.float32),
        np.bincount(inverse, np.concatenate([history.counts, ones]), len(keys)).astype(np.int32),
        last_times,
        n,
    )


def _declared(given: FeatureTable | None, names: tuple[str, ...], n: int) -> FeatureTable | None:
    if not names:
        return None
    if given is None:
        return FeatureTable(names, np.full((n, len(names)), np.nan, np.float32))
    return given if given.names == names else given.select(names)


def _read_header(path: Path) -> _Header:
    try:
        header = msgspec.json.decode(path.read_bytes(), type=_Header)
    except (OSError, msgspec.DecodeError) as error:
        raise ArtifactError(
            f"{path} can't be read: {error}", fix="train the model again, or serve another version"
        ) from error
    if header.format != FORMAT:
        raise ArtifactError(
            f"{path} has format {header.format}, this Tastemaker reads {FORMAT}", fix="train the model again"
        )
    return header


def _check_fit(snapshot: Snapshot, folder: Path) -> None:
    """Raise ArtifactError unless the lengths of the arrays agree: a look-up would read a wrong row."""
    n_users, n_items = len(snapshot.user_ids), len(snapshot.item_ids)
    lengths = {
        "history.offsets": (len(snapshot.history.offsets), n_users + 1),
    }
    if snapshot.available is not None:
        lengths["available"] = (len(snapshot.available), n_items)
    if snapshot.item_features is not None:
        lengths["item_features"] = (len(snapshot.item_features.values), n_items)
    if snapshot.neighbours is not None:
        lengths["neighbours.items"] = (len(snapshot.neighbours), n_items)
    if snapshot.content is not None:
        lengths["content.prices"] = (len(snapshot.content), n_items)
    for name, (length, expected) in lengths.items():
        if length != expected:
            raise ArtifactError(
                f"{name}.npy in {folder} has {length} rows, must have {expected}", fix="train the model again"
            )
