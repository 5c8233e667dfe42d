"""GET /explain/{request_id}: the reasons for an answer, from its record and the version that gave it.

The record has the items, the stage and the user features that the model was given. The version has the item
neighbours, the user's history at its training and, for some models, the parts of a score. A reason shows no
other user's data.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import numpy as np

from tastemaker.api.schemas import Explained, Explanation, HTTPError, Request
from tastemaker.errors import ArtifactError, PluginError, TastemakerError
from tastemaker.event_log.lookup import find
from tastemaker.event_log.records import Record
from tastemaker.plugins import FeatureTable, safe_calls
from tastemaker.plugins.arrays import Int32
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.serving.inference import fallback_reasons
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.settings import load_settings

LOG_RETRY_SECONDS = 10
"""When a caller may retry while the log can't be read."""
MAX_PARTS = 3
"""The most parts of a score that are named."""
MAX_GOES_WITH = 2
"""The most items of the history that are named."""
MAX_POPULAR = 100
"""How many items count as popular."""
GONE = "this model version has been deleted; only logged fields are shown"
UNEXPLAINED = "the model ranked it here and gives no reasons"
WHY = {
    fallback_reasons.MODEL_ERROR: "the model failed",
    fallback_reasons.MODEL_INVALID: "some of what the model returned may not be shown",
    fallback_reasons.MODEL_SHORT: "the model returned too few",
    fallback_reasons.MODEL_TIMEOUT: "the model did not answer in time",
    fallback_reasons.MODEL_OVERLOADED: "too many requests waited for the model",
    fallback_reasons.MODEL_RESTING: "the model had not answered several times",
    fallback_reasons.NO_MODEL: "no model was loaded",
    fallback_reasons.NO_SERVICE: "no service answered",
}
STAGES = {
    "model": "it fills the list",
    "precomputed": "it is on the model's list from when it was trained",
    "popular": "it is popular",
    "static": "it is on the list for when nothing else can answer",
}


class Explainer:
    """Finds records and versions.

    The version of the last explanation stays loaded, as its own copy: a plugin serves one thread at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: LoadedVersion | None = None

    def explain(self, request_id: str, served: Mapping[str, Path]) -> Explanation:
        """Return why an answer was what it was. Reads disks.

        Args:
            request_id: The answer's.
            served: The folders of the versions that are served now, by id: they need not lie with the others.

        Raises:
            HTTPError: 404 for an id that is not in the log, 503 while the log can't be read.
        """
        settings = load_settings()
        try:
            record = find(request_id, settings)
        except TastemakerError as error:
            raise HTTPError(
                HTTPStatus.SERVICE_UNAVAILABLE, error.problem, retry_after=LOG_RETRY_SECONDS
            ) from None
        except ImportError as error:  # a Bento holds what answers, not every reader of the log
            detail = (
                f"{request_id} is no longer in this service's own log, and reading further logs needs "
                f"{error.name}, which is not installed"
            )
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, detail) from None
        if record is None:
            detail = f"there is no answer with the request id {request_id!r} in the log"
            raise HTTPError(HTTPStatus.NOT_FOUND, detail, field="request_id", value=request_id)
        with self._lock:
            folder = settings.artifacts / record.model / record.version
            return explanation(record, self._version(record, (served.get(record.version), folder)))

    def _version(self, record: Record, folders: Iterable[Path | None]) -> LoadedVersion | None:
        if self._loaded is not None and self._loaded.manifest.version == record.version:
            return self._loaded
        for folder in folders:
            try:
                loaded = None if folder is None else load_version(folder)
            except (ArtifactError, PluginError):
                continue
            if loaded is not None and loaded.manifest.version == record.version:
                self._loaded = loaded
                return loaded
        return None


def explanation(record: Record, loaded: LoadedVersion | None) -> Explanation:
    """Return the reasons for every item of an answer, in the order of its items.

    Args:
        record: The answer as it was logged.
        loaded: The version that gave it; None if it was deleted: then only what the record holds is
            explained.
    """
    if loaded is None:
        items = [
            Explained(item.item_id, [*_filled(record, place), GONE])
            for place, item in enumerate(record.items)
        ]
    else:
        reasons = _Reasons(record, loaded)
        items = [Explained(item.item_id, reasons.of(place)) for place, item in enumerate(record.items)]
    return Explanation(record.request_id, record.model, record.version, record.stage, items, record.features)


def _filled(record: Record, place: int) -> list[str]:
    """Return why this item is not the model's, if it is not."""
    if record.fallback is None or any(item.score != 0 for item in record.items[place:]):
        return []
    return [f"{STAGES[record.stage]}, as {WHY.get(record.fallback, record.fallback)}"]


class _Reasons:
    """The reasons for the items of one record."""

    def __init__(self, record: Record, loaded: LoadedVersion) -> None:
        self._record, self._model, self._snapshot = record, loaded.model, loaded.snapshot
        self._numbers = loaded.snapshot.item_ids.lookup([item.item_id for item in record.items])
        request = Request(record.user_id, record.k, record.context, record.exclude, record.candidates)
        ask = InferenceRequest(request, record.request_id, record.occurred_at, record.kind, record.session)
        batch = Predictor(loaded).batch(ask, record.features)
        self._history = batch.history
        self._personal = record.session is not None or loaded.model.capabilities.personalizes
        known: Int32 = self._numbers[self._numbers >= 0]
        parts: FeatureTable | None = None
        if record.stage == "model" and len(known):
            parts = safe_calls.contributions(self._model, batch, known)
        self._parts = {} if parts is None else dict(zip(known.tolist(), parts.values, strict=True))
        self._names = () if parts is None else parts.names

    def of(self, place: int) -> list[str]:
        """Return the reasons for one item, the most important first."""
        number, item = int(self._numbers[place]), self._record.items[place]
        chance = f"drawn with probability {item.propensity:.2g}"
        if number < 0:
            return [f"it is new and unknown to the model; the last place is reserved for new items, {chance}"]
        reasons = [
            *_filled(self._record, place),
            *(self._had(number) if self._personal else ()),
            *(self._goes_with(number) if self._personal else ()),
            *self._made_of(number),
            *self._popular(number),
        ]
        if item.propensity < 1:
            new = not self._model.capabilities.stochastic
            reasons.insert(0, f"it is new: {chance}" if new else f"the model chooses randomly: {chance}")
        return reasons or [UNEXPLAINED]

    def _had(self, number: int) -> Iterator[str]:
        if self._record.session is not None:
            return
        for entry in np.flatnonzero(self._history.items == number):
            last = datetime.fromtimestamp(int(self._history.last_times[entry]), UTC)
            times = int(self._history.counts[entry])
            yield f"the user had it before: {times} time{'s' * (times > 1)}, last on {last:%Y-%m-%d}"

    def _goes_with(self, number: int) -> Iterator[str]:
        neighbours = self._snapshot.neighbours
        if neighbours is None:
            return
        mine = self._history.items[self._history.items != number]
        rows, columns = np.nonzero(neighbours.items[mine] == number)
        best = np.lexsort((mine[rows], -neighbours.scores[mine[rows], columns]))[:MAX_GOES_WITH]
        what = "was just looked at" if self._record.session is not None else "the user had"
        for other in mine[rows[best]].tolist():
            yield f"it goes with {self._name(other)}, which {what}"

    def _made_of(self, number: int) -> Iterator[str]:
        values = self._parts.get(number)
        if values is None or not np.isfinite(values).all():
            return
        for column in np.argsort(-np.abs(values), kind="stable")[:MAX_PARTS]:
            value = float(values[column])
            if value:
                verb = "raised" if value > 0 else "lowered"
                yield f"{verb} by {self._names[column].replace('_', ' ')} ({value:+.2g})"

    def _popular(self, number: int) -> Iterator[str]:
        places = np.flatnonzero(self._snapshot.popular[:MAX_POPULAR] == number)
        for place in places.tolist():
            yield f"number {place + 1} among the most popular items"

    def _name(self, number: int) -> str:
        (item_id,) = self._snapshot.item_ids.decode([number])
        title = None if self._snapshot.content is None else self._snapshot.content.title(number)
        return item_id if title is None else f"{title} ({item_id})"
