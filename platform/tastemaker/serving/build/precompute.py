"""What is worked out once, when a version is registered, so that no request has to.

It lies in the version's folder `serving/`, is hashed with it, and is memory-mapped by each worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastemaker.plugins import FeatureSource, Recommender, safe_calls
from tastemaker.plugins.arrays import Float32
from tastemaker.serving.inference import precomputed_lists
from tastemaker.serving.ranking import ann_index
from tastemaker.serving.runtime import golden_requests
from tastemaker.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from tastemaker.registry.artifact import Precompute
    from tastemaker.settings import Settings

SOME_USERS = 2_000
"""Whose vectors say where queries point."""


def precomputing(settings: Settings, features: FeatureSource | None = None) -> Precompute:
    """Return the function that `Registry.add` calls with the fitted model, its snapshot and an empty folder.

    Args:
        settings: The size from which a catalogue gets an index, and the number and length of the lists.
        features: The features of the users at the snapshot's end, for the lists of models that read them.
    """

    def precompute(model: Recommender[Any], snapshot: Snapshot, folder: Path) -> None:
        if model.capabilities.embeds and len(snapshot.item_ids) > settings.retrieval.index_items:
            ann_index.build(folder, model.item_vectors, _some_users(model, snapshot), snapshot.available)
        reads = model.capabilities.user_features
        precomputed_lists.write(
            folder,
            model,
            snapshot,
            features.users(snapshot.end) if features is not None and reads else None,
            most_users=settings.serving.precomputed_users,
            length=settings.serving.precomputed_items,
        )
        golden_requests.write(folder, model, snapshot)

    return precompute


def _some_users(model: Recommender[Any], snapshot: Snapshot) -> Float32:
    """Return the vectors, float32[m, d], of users spread over all of them; of those who have a vector."""
    n_users = len(snapshot.user_ids)
    users = np.unique(np.linspace(0, max(n_users - 1, 0), SOME_USERS, dtype=np.int32))[:n_users]
    seeds = np.zeros(len(users), np.uint64)
    vectors = safe_calls.embed(model, snapshot.batch(users, seeds=seeds, capabilities=model.capabilities))
    return vectors[np.isfinite(vectors).all(axis=1)]
