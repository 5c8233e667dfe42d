"""Replay of one logged request with a version: what that version would have answered.

The version receives what it would have received then: the same user, context, session, candidates and seed;
the features that were logged, else those of the newest snapshot of then; and the feedback of the user and
the changes of items that had arrived by then, which are put into a log of their own for it. What can't be
repeated is refused or named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tastemaker.api.schemas import Answer, Request
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import utc
from tastemaker.event_log.spool import Spool
from tastemaker.log_search.description import find_record
from tastemaker.log_search.surroundings import changes_before, feedback_of
from tastemaker.plugins.arrays import Float32
from tastemaker.serving.inference.fallback_reasons import (
    MODEL_OVERLOADED,
    MODEL_RESTING,
    MODEL_TIMEOUT,
    NO_MODEL,
)
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.writes import catalog_overrides

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion
    from tastemaker.settings import Settings

OF_THE_SERVICE_THEN = (MODEL_TIMEOUT, MODEL_OVERLOADED, MODEL_RESTING, NO_MODEL)
"""Reasons of a fallback that lie in the service's state at that time."""


class ItemChange(NamedTuple):
    """An item of either list, and its positions in them from 0; None where it is not in the list."""

    item_id: str
    before: int | None
    after: int | None


class ReplayedRequest(NamedTuple):
    """A logged answer and that of a version to the same request."""

    record: Record
    answer: Answer
    features: dict[str, float | None] | None
    """The user features that the version was given."""
    features_from: str
    """Where they come from, in words."""
    limits: list[str]
    """What could not be repeated, in words."""

    @property
    def changes(self) -> list[ItemChange]:
        """The items of both lists: those of the replayed list in its order, then those that it lost."""
        before = {item.item_id: place for place, item in enumerate(self.record.items)}
        after = {item.item_id: place for place, item in enumerate(self.answer.items)}
        return [ItemChange(one, before.get(one), after.get(one)) for one in {**after, **before}]

    @property
    def is_same(self) -> bool:
        """Whether both lists have the same items in the same order."""
        return all(one.before == one.after for one in self.changes)


def replay(
    request_id: str, loaded: LoadedVersion, settings: Settings, *, as_trained: bool = False
) -> ReplayedRequest:
    """Return what a version would have answered to a logged request.

    Args:
        request_id: The id of the logged request.
        loaded: The version that answers now.
        settings: Name the log and say how to rank.
        as_trained: Whether a version that learns online may answer as it was trained.

    Raises:
        TastemakerError: The log does not have the request, or the version's state of then is not kept.
    """
    record = find_record(request_id, settings)
    _require_repeatable(record, loaded, settings, as_trained=as_trained)
    features, origin = _features(record, loaded, settings)
    names = loaded.model.capabilities.user_features
    values = np.array([[np.nan if features[name] is None else features[name] for name in names]], np.float32)
    request = Request(
        record.user_id, record.k, record.context, record.exclude, record.candidates, record.diversity
    )
    ask = InferenceRequest(request, record.request_id, record.occurred_at, record.kind, record.session)
    with _log_as_of_then(record, settings) as folder:
        recent = RecentFeedback(folder)
        pipeline = Pipeline(loaded, settings.retrieval, folder, recent)
        try:
            predictor = Predictor(loaded, features=_reader(values) if names else None, pipeline=pipeline)
            (result,) = predictor.recommend([ask])
        finally:
            pipeline.close()
            recent.close()
    limits = list(_limits(record, loaded, settings, as_trained=as_trained))
    return ReplayedRequest(record, result.answer, result.features, origin, limits)


def _reader(values: Float32) -> Callable[[Sequence[str]], Float32]:
    return lambda user_ids: values


def _require_repeatable(
    record: Record, loaded: LoadedVersion, settings: Settings, *, as_trained: bool
) -> None:
    """Refuse a version whose state of then is not kept."""
    from tastemaker.online_learning.checkpoints import Checkpoints

    manifest = loaded.manifest
    if not loaded.model.capabilities.learns_online or as_trained:
        return
    if Checkpoints(settings.learning_root, loaded).names():
        raise TastemakerError(
            f"{manifest.model} {manifest.version} learns online, and its state at {utc(record.occurred_at)} "
            "is not kept",
            fix="add --as-trained to see what it would have answered before it learned from the log",
        )


def _features(
    record: Record, loaded: LoadedVersion, settings: Settings
) -> tuple[dict[str, float | None], str]:
    """Return the user features that the version declares, and where they come from."""
    names = loaded.model.capabilities.user_features
    if not names:
        return {}, "the version reads no user features"
    logged = record.features or {}
    if all(name in logged for name in names):
        return {name: logged[name] for name in names}, "as logged"
    before, found = _newest_snapshot(record, names, settings)
    if before is None:
        return dict.fromkeys(names), "missing: not logged, and no feature snapshot of then is kept"
    return found, f"of the feature snapshot before {utc(before)}"


def _newest_snapshot(
    record: Record, names: Sequence[str], settings: Settings
) -> tuple[int | None, dict[str, float | None]]:
    """Return the cutoff of the newest snapshot of then, and the user's features in it."""
    import pyarrow.parquet as pq

    from tastemaker.features.snapshots import snapshots

    kept = [one for one in snapshots(settings.features, "users") if one[0] <= record.occurred_at]
    if not kept:
        return None, {}
    before, path = kept[-1]
    rows = pq.read_table(
        path, columns=list(names), filters=[("user_id", "=", record.user_id)], partitioning=None
    )
    row = rows.to_pylist()[0] if len(rows) else {}
    return before, {name: row.get(name) for name in names}


@contextmanager
def _log_as_of_then(record: Record, settings: Settings) -> Iterator[Path]:
    """Make a log with the user's feedback, and the changes of items, that had arrived by then."""
    with tempfile.TemporaryDirectory(prefix="tastemaker-replay-") as name:
        folder = Path(name)
        spool = Spool(folder)
        try:
            arrived = feedback_of(settings, record.user_id, (), until=record.occurred_at)
            if arrived:
                spool.append(*arrived).result()
        finally:
            spool.close()
        catalog_overrides.put(folder, changes_before(settings, record.user_id, record.occurred_at))
        yield folder


def _limits(record: Record, loaded: LoadedVersion, settings: Settings, *, as_trained: bool) -> Iterator[str]:
    if as_trained and loaded.model.capabilities.learns_online:
        yield "the version answers as it was trained, not as it had learned by then"
    if record.occurred_at < loaded.manifest.created_at.timestamp():
        yield "the version was trained after the request, and may have learned from what followed it"
    if record.fallback in OF_THE_SERVICE_THEN:
        yield f"{record.fallback}: the logged list was answered without the model, which the replay asks"
    if record.diversity is None and settings.retrieval.diversity:
        yield "the diversity that was asked for is not logged; that of the settings counts"
    if record.assignment is not None and record.version != loaded.manifest.version:
        yield f"the request was assigned to variant {record.assignment.variant}"
