"""Stale models: a model fitted on an earlier split answers the requests of a later one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tastemaker.plugins import NO_ITEM, Batch, Ranking, Recommender, TrainingData
from tastemaker.plugins.arrays import Int32
from tastemaker.plugins.safe_calls import top_k

if TYPE_CHECKING:
    from tastemaker.snapshot.snapshot import Snapshot


class FrozenModel(Recommender[Any]):
    """Model that was not retrained, as a version from an earlier day would answer.

    The model, the users' histories, the users and the items are those of the earlier day. The time, the
    excluded items and the user features are those of the request. Batches use the numbers of the later split;
    they are translated to the earlier split's numbers, and the lists back.

    Args:
        model: The fitted model, which answers in its own name.
        then: The earlier split's snapshot, on which it was fitted.
        now: The later split's snapshot, whose numbers batches and lists have.
    """

    def __init__(self, model: Recommender[Any], then: Snapshot, now: Snapshot) -> None:
        self.name = model.name  # type: ignore[misc]  # it answers in the model's name
        self.capabilities = model.capabilities  # type: ignore[misc]
        self._model = model
        self._snapshot = then
        self._users = _places(now.user_ids.encoded, then.user_ids.encoded)
        self._items = _places(then.item_ids.encoded, now.item_ids.encoded)

    def fit(self, data: TrainingData) -> Self:
        """Raise TypeError: a stale model is not retrained."""
        raise TypeError("a stale model is not retrained")

    def recommend(self, batch: Batch, k: int) -> Ranking:
        users = np.where(batch.users >= 0, self._users[batch.users], -1).astype(np.int32)
        old = self._snapshot.batch(
            users,
            seeds=batch.seeds,
            now=batch.now,
            capabilities=self.capabilities,
            user_features=batch.user_features,
        )
        allowed = replace(
            old,
            available=None if batch.available is None else batch.available[self._items],
            excluded=None if batch.excluded is None else batch.excluded[:, self._items],
        )
        ranking = top_k(self._model, allowed, k)
        shown = ranking.items != NO_ITEM
        return ranking._replace(items=np.where(shown, self._items[ranking.items], NO_ITEM).astype(np.int32))


def _places(ids: NDArray[np.bytes_], among: NDArray[np.bytes_]) -> Int32:
    """Return int32[n], the place of each id among others, which ascend; -1 for an id that is not there."""
    places = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.where(among[places] == ids, places, -1).astype(np.int32)
