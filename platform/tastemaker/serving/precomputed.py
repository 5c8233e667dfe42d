"""What is worked out once, when a version is registered, so that no request has to.

It lies in the version's folder `serving/`, is hashed with it, and is memory-mapped by each worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastemaker.data.snapshot import Snapshot
from tastemaker.plugins import FeatureSource, Recommender
from tastemaker.serving import golden, lists
from tastemaker.serving.candidates import nearest

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion, Precompute
    from tastemaker.settings import Settings


def precomputing(settings: Settings, features: FeatureSource | None = None) -> Precompute:
    """What `Registry.add` calls with the fitted model, its snapshot and an empty folder.

    `features`: those of the users at the snapshot's end, for the lists of models that read them.
    """

    def precompute(model: Recommender[Any], snapshot: Snapshot, folder: Path) -> None:
        if model.capabilities.embeds and len(snapshot.item_ids) > settings.retrieval.index_items:
            nearest.build(folder / nearest.FILE_NAME, model.item_vectors, snapshot.available)
        reads = model.capabilities.user_features
        lists.write(
            folder,
            model,
            snapshot,
            features.users(snapshot.end) if features is not None and reads else None,
            most_users=settings.serving.lists_users,
            length=settings.serving.lists_items,
        )
        golden.write(folder, model, snapshot)

    return precompute


def answerer(loaded: LoadedVersion) -> nearest.Answers:
    """What lists are asked of: the index over the model's vectors if it has one, else the model."""
    path = None if loaded.serving is None else loaded.serving / nearest.FILE_NAME
    return loaded.model if path is None or not path.exists() else nearest.Nearest(loaded.model, path)
