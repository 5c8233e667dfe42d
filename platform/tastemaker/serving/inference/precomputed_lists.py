"""Lists of known users, computed when a version is registered, for when its model does not answer."""

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
    """The lists of some users and of an unknown user, memory-mapped."""

    def __init__(self, users: Int32, items: Int32) -> None:
        """Hold lists.

        Args:
            users: int32[m], ascending.
            items: int32[m + 1, n], padded with -1; the last row is an unknown user's.
        """
        self._users, self._items = users, items

    @classmethod
    def load(cls, folder: Path) -> PrecomputedLists | None:
        """Read what `write` wrote into a version's folder; None if there is nothing. Raises ArtifactError."""
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
        """Return the items of a user's list, best first; an unknown user's list for a user without one."""
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
    """Write the lists of the users who were active last, and of an unknown user.

    Only the latter is written for a model that does not personalize.

    Args:
        folder: The folder of the version's precomputed files.
        model: Computes the lists.
        snapshot: The version's.
        features: All users' features, where the model reads them.
        most_users: The most users who get a list.
        length: The most items per list.

    Raises:
        PluginError: If the model fails.
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
    """Return the numbers of the users who were active last, ascending."""
    history = snapshot.history
    latest = np.full(len(history), np.iinfo(np.int64).min)
    np.maximum.at(latest, history.rows, history.last_times)
    return np.sort(np.argsort(-latest, kind="stable")[:most]).astype(np.int32)
