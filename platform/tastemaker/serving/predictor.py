"""From a request to an answer: ids to numbers, the model's list, and popular items where the model has none.

Whatever the model does, the caller gets k items (or all that are allowed, if they are fewer).
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tastemaker.logs.records import Item, Stage
from tastemaker.plugins import Batch, FeatureTable, Ranking
from tastemaker.serving.messages import Answer, Request

if TYPE_CHECKING:
    from tastemaker.features.online import OnlineReader
    from tastemaker.registry.artifact import LoadedVersion

MODEL_ERROR = "model_error"
"""The model raised: the whole list is popular items."""
MODEL_INVALID = "model_invalid"
"""The model returned items that do not exist, are forbidden or repeated, or have no score: dropped."""
MODEL_SHORT = "model_short"
"""The model returned fewer items than it might have."""
FALLBACKS = (MODEL_ERROR, MODEL_INVALID, MODEL_SHORT)

logger = logging.getLogger("tastemaker.serving")


class Served(NamedTuple):
    """An answer, and what only the log needs."""

    answer: Answer
    features: dict[str, float | None] | None
    """The user features that the model was given."""


class _Choice(NamedTuple):
    """The items of one list, by number."""

    items: list[int]
    scores: list[float]
    propensities: list[float]


class Predictor:
    """Answers for one loaded version. Not thread-safe: a worker's event loop calls it."""

    def __init__(self, loaded: LoadedVersion, *, online: OnlineReader | None = None) -> None:
        """`online` is needed where the model declares user features; it may fail at any time."""
        self.model = loaded.manifest.model
        self.version = loaded.manifest.version
        self._recommender, self._snapshot = loaded.model, loaded.snapshot
        # Data that ended long before the training (a shop of years ago) is served as if no time had passed
        # since: to the model, everybody's last visit would otherwise be equally far away.
        self._lag = max(0, int(loaded.manifest.created_at.timestamp()) - loaded.snapshot.end)
        self._feature_names = loaded.model.capabilities.user_features
        self._online = online
        self._model_health, self._feature_health = _Health("the model"), _Health("the online feature store")

    def recommend(self, request: Request, request_id: str, now: int) -> Served:
        """The answer is a function of the request, its id, the features, `now` (seconds) and the version."""
        features = self._features(request.user_id)
        batch = self._batch(request, request_id, now, features)
        allowed = _Allowed(batch, len(self._snapshot.item_ids))
        choice, fallback = self._ask(batch, request.k, allowed)
        stage: Stage = "model" if choice.items else "popular"
        missing = request.k - len(choice.items)
        if missing > 0:
            filler = allowed.among(self._snapshot.popular, but_not=choice.items)[:missing].tolist()
            if filler and fallback is None:
                fallback = MODEL_SHORT
            choice = _Choice(
                choice.items + filler,
                choice.scores + [0.0] * len(filler),
                choice.propensities + [1.0] * len(filler),
            )
        ids = self._snapshot.item_ids.decode(choice.items)
        items = [Item(*each) for each in zip(ids, choice.scores, choice.propensities, strict=True)]
        answer = Answer(request_id, self.model, self.version, items, fallback, stage)
        return Served(answer, None if features is None else _by_name(features))

    def warm_up(self, request_id: str, now: int) -> None:
        """Answer a stranger, so that no user waits for the first page faults. Raises what the model does."""
        request = Request(user_id="nobody")
        features = self._features(request.user_id)
        self._recommender.recommend(self._batch(request, request_id, now, features), request.k)

    def _batch(self, request: Request, request_id: str, now: int, features: FeatureTable | None) -> Batch:
        snapshot = self._snapshot
        listed = request.candidates
        context = request.context
        return snapshot.batch(
            snapshot.user_ids.lookup([request.user_id]),
            seeds=np.array([int(request_id[:16], 16)], np.uint64),
            now=now - self._lag,
            capabilities=self._recommender.capabilities,
            exclude=[snapshot.item_ids.lookup(request.exclude)] if request.exclude else None,
            candidates=None if listed is None else snapshot.item_ids.lookup(listed)[np.newaxis],
            context=np.array([context], np.float32) if isinstance(context, list) else None,
            user_features=features,
        )

    def _features(self, user_id: str) -> FeatureTable | None:
        """The user's features as of now; NaN, as for a stranger, while the store can't be read."""
        names = self._feature_names
        if not names:
            return None
        values = np.full((1, len(names)), np.nan, np.float32)
        if self._online is not None:
            try:
                values = self._online.users([user_id], names)
                self._feature_health.good()
            except Exception:  # whatever driver the store uses
                self._feature_health.bad()
        return FeatureTable(names, values)

    def _ask(self, batch: Batch, k: int, allowed: _Allowed) -> tuple[_Choice, str | None]:
        """What the model gives and the reason, if any, for which not all of it can be used."""
        try:
            ranking = self._recommender.recommend(batch, k)
            choice, sound = _sound_part(ranking, k, allowed)
        except Exception:  # a plugin may raise anything; the caller gets a list all the same
            self._model_health.bad()
            return _Choice([], [], []), MODEL_ERROR
        self._model_health.good()
        return choice, None if sound else MODEL_INVALID


class _Allowed:
    """Which items the one row of a batch may be shown."""

    def __init__(self, batch: Batch, n_items: int) -> None:
        self.n_items = n_items
        self.available = batch.available
        self.excluded = frozenset() if batch.excluded is None else frozenset(batch.excluded.indices.tolist())
        self.candidates = None if batch.candidates is None else frozenset(batch.candidates[0].tolist())

    def __contains__(self, item: int) -> bool:
        return (
            item < self.n_items
            and item not in self.excluded
            and (self.candidates is None or item in self.candidates)
            and (self.available is None or bool(self.available[item]))
        )

    def among(self, items: np.ndarray, *, but_not: list[int]) -> np.ndarray:
        """Those of `items` that are allowed and not taken, in their order."""
        keep = ~np.isin(items, list(self.excluded.union(but_not)))
        if self.candidates is not None:
            keep &= np.isin(items, list(self.candidates))
        return items[keep]


def _sound_part(ranking: Ranking, k: int, allowed: _Allowed) -> tuple[_Choice, bool]:
    """The entries of a one-row ranking that may be shown, and whether all but the padding were such."""
    choice, seen, sound = _Choice([], [], []), set(), True
    rows = (part[0, :k].tolist() for part in ranking)
    for item, score, propensity in zip(*rows, strict=True):
        if item < 0:
            continue
        good = item in allowed and item not in seen and math.isfinite(score) and 0 < propensity <= 1
        sound &= good
        if good:
            seen.add(item)
            choice.items.append(item)
            choice.scores.append(score)
            choice.propensities.append(propensity)
    return choice, sound


def _by_name(features: FeatureTable) -> dict[str, float | None]:
    values = features.values[0].tolist()
    return {
        name: None if value != value else value for name, value in zip(features.names, values, strict=True)
    }


class _Health:
    """Says once that something fails and once that it works again, not once a request."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.works = True

    def good(self) -> None:
        if not self.works:
            self.works = True
            logger.info("%s works again", self.name)

    def bad(self) -> None:
        """Call in an except clause."""
        if self.works:
            self.works = False
            logger.warning("%s fails; answering without it", self.name, exc_info=True)
