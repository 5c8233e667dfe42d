"""Each known user's list, worked out when a version is registered, for when its model does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import ArtifactError
from tastemaker.plugins import NO_ITEM, FeatureTable, Recommender
from tastemaker.plugins.arrays import Int32
from tastemaker.plugins.recommender import load_array
from tastemaker.plugins.safe_calls import recommend
from tastemaker.snapshot.snapshot import Snapshot

ITEMS_FILE, USERS_FILE = "lists.npy", "lists.users.npy"
_SCORES_AT_ONCE = 1 << 21
_ROWS_AT_ONCE = 256


class PrecomputedLists:
    """The lists of some users and of a stranger, memory-mapped."""

    def __init__(self, users: Int32, items: Int32) -> None:
        """`users`: int32[m], ascending. `items`: int32[m + 1, n], padded with -1, a stranger's last."""
        self._users, self._items = users, items

    @classmethod
    def load(cls, folder: Path) -> PrecomputedLists | None:
        """What `write` left in a version's folder; None if it left nothing. Raises ArtifactError."""
        if not (folder / ITEMS_FILE).exists():
            return None
        users, items = load_array(folder / USERS_FILE), load_array(folder / ITEMS_FILE)
        if items.ndim != 2 or len(items) != len(users) + 1:
            raise ArtifactError(
                f"{ITEMS_FILE} in {folder} has shape {items.shape}, must have {len(users) + 1} rows",
                fix="train the model again",
            )
        return cls(users, items)

    def of(self, user: int) -> Int32:
        """The items of a user's list, best first; a stranger's for a user without one."""
        place = int(np.searchsorted(self._users, user))
        known = place < len(self._users) and self._users[place] == user
        row: Int32 = self._items[place if known else -1]
        listed: Int32 = row[row != NO_ITEM]
        return listed


def write(
    folder: Path,
    model: Recommender[Any],
    snapshot: Snapshot,
    features: FeatureTable | None,
    *,
    most_users: int,
    length: int,
) -> None:
    """The lists of the users who came last, and of a stranger; the latter alone, if all lists are alike.

    `features` holds every user's, where the model reads them. Raises PluginError if the model fails.
    """
    users = _latest(snapshot, most_users if model.capabilities.personalizes else 0)
    asked = np.append(users, np.int32(-1))
    items = np.full((len(asked), min(length, len(snapshot.item_ids))), NO_ITEM, np.int32)
    step = max(1, min(_ROWS_AT_ONCE, _SCORES_AT_ONCE // max(len(snapshot.item_ids), 1)))
    for start in range(0, len(asked), step):
        part = asked[start : start + step]
        batch = snapshot.batch(
            part,
            seeds=np.arange(start, start + len(part), dtype=np.uint64),
            capabilities=model.capabilities,
            user_features=None if features is None else features[part],
        )
        items[start : start + step] = recommend(model, batch, items.shape[1]).items
    np.save(folder / USERS_FILE, users, allow_pickle=False)
    np.save(folder / ITEMS_FILE, items, allow_pickle=False)


def _latest(snapshot: Snapshot, most: int) -> Int32:
    """The numbers of the users who were here last, ascending."""
    history = snapshot.history
    latest = np.full(len(history), np.iinfo(np.int64).min)
    np.maximum.at(latest, history.rows, history.last_times)
    return np.sort(np.argsort(-latest, kind="stable")[:most]).astype(np.int32)
