"""Loading of versions: verified, opened and warmed up."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.data.unknown_ids import unknown_ids
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.registry.deployment import Target
from tastemaker.serving.inference.predictor import Predictor, new_request_id
from tastemaker.serving.inference.user_features import UserFeatures
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.runtime import golden_requests

if TYPE_CHECKING:
    from tastemaker.serving.runtime.engine_metrics import EngineMetrics
    from tastemaker.settings import Settings

logger = logging.getLogger("tastemaker.serving")


class VersionLoader:
    """Opens the versions of one engine; they share the connection to the online store."""

    def __init__(
        self, settings: Settings, metrics: EngineMetrics, recent: RecentFeedback | None = None
    ) -> None:
        """Prepare to load.

        Args:
            settings: Say how to serve.
            metrics: The engine's.
            recent: What users did since the training; None if that is not known.
        """
        self._settings, self._metrics, self._recent = settings, metrics, recent
        self._features: dict[tuple[str, ...], UserFeatures] = {}
        """By columns: the served version still reads its own while another one is tested."""

    def open(self, folder: Path) -> Predictor:
        """Load a version. Raises TastemakerError if it is damaged or answers golden requests differently."""
        return self.ready(load_version(folder))

    def ready(self, loaded: LoadedVersion) -> Predictor:
        """Check and warm up a version that is loaded already; raises as `open`."""
        golden_requests.check(loaded)
        for warning in self._unknown_items(loaded):
            logger.warning(warning)
        names = loaded.model.capabilities.user_features
        self._metrics.reads(loaded.manifest.model, names)
        objectives = loaded.manifest.problem_spec.get("objectives", ())
        self._metrics.learns_from(name for objective in objectives for name in objective["events"])
        features = self._user_features(names)
        pipeline = Pipeline(loaded, self._settings.retrieval, self._settings.spool, self._recent)
        predictor = Predictor(
            loaded, features=None if features is None else features.users, pipeline=pipeline
        )
        predictor.warm_up(new_request_id(), int(time.time()))
        return predictor

    def _unknown_items(self, loaded: LoadedVersion) -> Iterator[str]:
        """Yield warnings of items that the problem or the settings name and the catalogue does not have."""
        rules = loaded.manifest.problem_spec.get("candidates", {})
        named = {
            "candidates.blocked_items": rules.get("blocked_items", ()),
            "serving.static_items": self._settings.serving.static_items,
        }
        where = f"the catalogue of version {loaded.manifest.version}"
        for key, ids in named.items():
            if (warning := unknown_ids(key, ids, loaded.snapshot.item_ids, where=where)) is not None:
                yield warning

    @property
    def trouble(self) -> str | None:
        """Why user features can't be read, in words; None while they can."""
        return next((each.trouble for each in self._features.values() if each.trouble is not None), None)

    def close(self) -> None:
        """Close the connections to the online store."""
        for features in self._features.values():
            features.close()

    def _user_features(self, names: tuple[str, ...]) -> UserFeatures | None:
        """Return the reader of these columns. The first one imports Feast, which takes a second."""
        if names and names not in self._features:
            from tastemaker.features.online import open_reader

            serving = self._settings.serving
            self._features[names] = UserFeatures(
                open_reader(self._settings),
                names,
                seconds=serving.features_timeout_seconds,
                fresh_seconds=serving.features_cache_seconds,
                size=serving.features_cache_users,
                count=self._metrics.featured,
                count_values=partial(self._metrics.read, names),
            )
        return self._features[names] if names else None


def first_sound(loader: VersionLoader, folders: Iterable[Path]) -> tuple[Predictor | Exception, list[Target]]:
    """Return the first version that can be opened, or the first one's error if none can; and the refused.

    Args:
        loader: Opens the versions.
        folders: The versions' folders, best first, at least one. Those after the first sound one are not
            opened.
    """
    faults, refused = list[Exception](), list[Target]()
    for folder in folders:
        try:
            return loader.open(folder), refused
        except Exception as fault:  # the plugin's own code may raise anything
            logger.error("version %s is refused: %s", folder.name, fault)
            faults.append(fault)
            refused.append(Target(folder.parent.name, folder.name))
    return faults[0], refused
