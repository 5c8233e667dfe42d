"""A version made ready to answer: verified, opened, warmed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
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
    """Opens versions of one model for one process; they share the connection to the online store."""

    def __init__(
        self, settings: Settings, metrics: EngineMetrics, recent: RecentFeedback | None = None
    ) -> None:
        """`recent`: what users did lately, for all versions."""
        self._settings, self._metrics, self._recent = settings, metrics, recent
        self._features: dict[tuple[str, ...], UserFeatures] = {}
        """By columns: a version that serves still reads its own while another one is tried."""

    def open(self, folder: Path) -> Predictor:
        """Ready to answer. Raises TastemakerError if it is not sound, or answers otherwise than once."""
        return self.ready(load_version(folder))

    def ready(self, loaded: LoadedVersion) -> Predictor:
        """The same for a version that is loaded already."""
        golden_requests.check(loaded)
        for told in self._unknown_items(loaded):
            logger.warning(told)
        features = self._user_features(loaded.model.capabilities.user_features)
        pipeline = Pipeline(loaded, self._settings.retrieval, self._settings.spool, self._recent)
        predictor = Predictor(
            loaded, features=None if features is None else features.users, pipeline=pipeline
        )
        predictor.warm_up(new_request_id(), int(time.time()))
        return predictor

    def _unknown_items(self, loaded: LoadedVersion) -> Iterator[str]:
        """What the version's problem and the settings name and its catalogue does not have."""
        rules = loaded.manifest.problem_spec.get("candidates", {})
        named = {
            "candidates.blocked_items": rules.get("blocked_items", ()),
            "serving.static_items": self._settings.serving.static_items,
        }
        where = f"the catalogue of version {loaded.manifest.version}"
        for key, ids in named.items():
            if (told := unknown_ids(key, ids, loaded.snapshot.item_ids, where=where)) is not None:
                yield told

    @property
    def trouble(self) -> str | None:
        """In words, what keeps user features from being read; None while all is well."""
        return next((each.trouble for each in self._features.values() if each.trouble is not None), None)

    def close(self) -> None:
        """Let go of the online store."""
        for features in self._features.values():
            features.close()

    def _user_features(self, names: tuple[str, ...]) -> UserFeatures | None:
        """The reader of these columns. Opening one imports Feast, which takes seconds."""
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
            )
        return self._features[names] if names else None


def first_sound(loader: VersionLoader, folders: Iterable[Path]) -> tuple[Predictor | Exception, list[Target]]:
    """The first of the versions that can be opened, the first one's fault if none can; and the refused."""
    faults, refused = list[Exception](), list[Target]()
    for folder in folders:
        try:
            return loader.open(folder), refused
        except Exception as fault:  # the plugin's own code may raise anything
            logger.error("version %s is refused: %s", folder.name, fault)
            faults.append(fault)
            refused.append(Target(folder.parent.name, folder.name))
    return faults[0], refused
