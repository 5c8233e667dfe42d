"""From requests to answers, for one loaded version: ids to numbers, the ranking, and numbers to ids.

Whatever the model does, the caller gets k items, or all that are allowed if they are fewer: see `fallback`.
`batcher` decides when the model is called and how long it may take; `ranking.pipeline` has the order of
ranking.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tastemaker.api.schemas import Answer, Request
from tastemaker.event_log.records import Assignment, Item, Kind, Stage, seed_of
from tastemaker.plugins import Batch, Capabilities, Events, FeatureTable, History, Recommender
from tastemaker.plugins.arrays import UNKNOWN_USER, Float32, Int32
from tastemaker.serving.inference.fallback import AllowedItems, fill
from tastemaker.serving.inference.fallback_reasons import MODEL_ERROR, MODEL_INVALID, MODEL_SHORT, Source
from tastemaker.serving.inference.precomputed_lists import PrecomputedLists
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.serving.ranking.sound_rows import Row
from tastemaker.serving.ranking.stages import RankedBatch, RankedList

if TYPE_CHECKING:
    from tastemaker.registry.artifact import LoadedVersion

_NO_ROW = Row([], [], [], False)
_READS_NOTHING = Capabilities()
_UNKNOWN_ID = "unknown user"
MAX_WARM = 8
"""The most lengths of lists that a model is warmed up for."""


_random = random.Random()  # os.urandom releases the interpreter's lock, and waits for it under load
os.register_at_fork(after_in_child=_random.seed)


def new_request_id() -> str:
    """Return 32 hexadecimal digits: the milliseconds since 1970 UTC in 12, then 80 random bits.

    The time comes first, as in a UUID of version 7, so that an index over ids grows at its end: the log
    writes less than half as much to the disk as with random ids.
    """
    return f"{time.time_ns() // 1_000_000:012x}{_random.getrandbits(80):020x}"


def copied_request_id(request_id: str) -> str:
    """Return an id for the copy of a request: of its own, and with the same seed."""
    return new_request_id()[:16] + request_id[16:]


class InferenceRequest(NamedTuple):
    """One request, with all that its answer depends on except the version and the user's features."""

    request: Request
    request_id: str
    """32 hexadecimal digits; the last 16 seed the answer."""
    occurred_at: float
    """Seconds since 1970 UTC. The model receives it truncated to whole seconds."""
    kind: Kind = "recommend"
    session: Sequence[str] | None = None
    """The recent items of an anonymous session, oldest first: then the request's user is unknown."""
    assignment: Assignment | None = None
    """The variant of an experiment that the request was assigned to, for the log."""
    is_logged: bool = True
    shadow_of: str | None = None
    """The request whose answer a user sees, where this one is its copy."""

    @property
    def now(self) -> int:
        """The request's time for the model, in seconds since 1970 UTC."""
        return int(self.occurred_at)


class InferenceResult(NamedTuple):
    """An answer, with what only the log needs."""

    answer: Answer
    features: dict[str, float | None] | None
    """The user features that the model was given."""
    diversity: float | None = None
    """λ of the diversity stage; None where it kept the model's order."""
    sources: Sequence[tuple[Source, int]] = ()
    """How many of the items were chosen by what, but for those that the model chose."""


class StaticFallback(NamedTuple):
    """The list that needs no version: the same items for all users, but for what the caller excludes."""

    model: str
    item_ids: Sequence[str]

    def answer(
        self, ask: InferenceRequest, version: str, reason: str, but_not: Collection[str] = ()
    ) -> InferenceResult:
        """Return the allowed items, at most k.

        Args:
            ask: The request, with the id that seeds its answer.
            version: The id of the version that did not answer, or `none`.
            reason: Why, one of `fallback_reasons.FALLBACKS` or NO_SERVICE.
            but_not: Further items that may not be shown.
        """
        request = ask.request
        out = frozenset(request.exclude or ()).union(but_not)
        allowed = None if request.candidates is None else frozenset(request.candidates)
        ids = [each for each in self.item_ids if each not in out and (allowed is None or each in allowed)]
        items = [Item(each, 0.0, 1.0) for each in ids[: request.k]]
        answer = Answer(ask.request_id, self.model, version, items, reason, "static")
        return InferenceResult(answer, None, sources=[("static", len(items))])


class Predictor:
    """Answers for one loaded version. `recommend` runs the plugin's code, in one thread at a time."""

    def __init__(
        self,
        loaded: LoadedVersion,
        *,
        features: Callable[[Sequence[str]], Float32] | None = None,
        pipeline: Pipeline | None = None,
    ) -> None:
        """Prepare to answer.

        Args:
            loaded: The version.
            features: Returns users' rows, where the model declares user features: see `user_features`.
            pipeline: The order of ranking; None for one without callers' changes and recent feedback.
        """
        self.pipeline = pipeline or Pipeline(loaded)
        self.loaded = loaded
        self.learned: str | None = None
        """The name of the state of online learning; None for the model as it was trained."""
        self.model = loaded.manifest.model
        self.version = loaded.manifest.version
        self._recommender, self._snapshot = loaded.model, loaded.snapshot
        # Data that ended long before the training (a shop of years ago) is served as if no time had passed
        # since: to the model, all users' last visits would otherwise be equally long ago.
        self._lag = max(0, int(loaded.manifest.created_at.timestamp()) - loaded.snapshot.end)
        self._feature_names = loaded.model.capabilities.user_features
        self._read_features = features
        self._lists = None if loaded.serving is None else PrecomputedLists.load(loaded.serving)
        self._lengths: dict[int, None] = {}
        """Lengths of lists that were asked for, at most MAX_WARM; shared with later states of the model."""

    def with_model(self, model: Recommender[Any], name: str) -> Predictor:
        """Return a predictor of the same version, with its model after online learning.

        Args:
            model: The model in the state that was learned.
            name: The name of that state, which becomes `learned`.
        """
        other = copy(self)
        other._recommender, other.learned = model, name
        other.pipeline = self.pipeline.with_model(model)
        return other

    def popular_ids(self, at_most: int) -> list[str]:
        """Return the ids of the most popular items."""
        return self._snapshot.item_ids.decode(self._snapshot.popular[:at_most])

    @property
    def n_items(self) -> int:
        """The catalogue's size."""
        return len(self._snapshot.item_ids)

    def recommend(self, asks: Sequence[InferenceRequest]) -> list[InferenceResult]:
        """Return one answer per request, in order. It depends on request, features and version alone."""
        features = self._features(asks)
        groups = _alike(asks)
        if len(groups) == 1:
            return self._answer(asks, features)
        served: list[InferenceResult] = [None] * len(asks)  # type: ignore[list-item]  # filled by the groups
        for rows in groups:
            group = [asks[row] for row in rows]
            given = None if features is None else features[np.array(rows)]
            for row, answer in zip(rows, self._answer(group, given), strict=True):
                served[row] = answer
        return served

    @property
    def trouble(self) -> str | None:
        """That the model fails, in words; None while it works."""
        return self.pipeline.failures.trouble

    def batch(self, ask: InferenceRequest, features: Mapping[str, float | None] | None) -> Batch:
        """Return one request as a batch of one row, as the model receives it.

        Args:
            ask: The request, with the id that seeds its answer.
            features: The user's features by name, such as those in a log record. One that is missing or None
                is NaN in the batch, as all are if this is None.
        """
        names = self._feature_names
        values = [math.nan if (value := (features or {}).get(name)) is None else value for name in names]
        table = FeatureTable(names, np.array([values], np.float32)) if names else None
        return self._batch([ask], table)

    def fall_back(self, ask: InferenceRequest, reason: str) -> InferenceResult:
        """Return the answer without the model. Any thread may call it.

        Args:
            ask: The request, with the id that seeds its answer.
            reason: Why the model is not asked, one of `fallback_reasons.FALLBACKS`.
        """
        batch = self._batch([ask], None, reads=False)
        fill_gap = partial(self._filled, reason=reason)
        ranked = self.pipeline.rank_without_model(batch, [ask.request], fill_gap)
        return self._results([ask], ranked, None)[0]

    def warm_up(self, request_id: str, now: int) -> None:
        """Answer an unknown user, so that no caller waits for the first page faults.

        Lists of each length that was asked for are made: a bandit's state has sums to compute for each.
        Raises what the model raises.

        Args:
            request_id: 32 hexadecimal digits; the last 16 seed the lists.
            now: The time of the requests, seconds since 1970 UTC.
        """
        for k in tuple(self._lengths) or (Request(_UNKNOWN_ID).k,):
            ask = InferenceRequest(Request(_UNKNOWN_ID, k), request_id, float(now))
            self.pipeline.warm_up(self._batch([ask], self._features([ask])), [ask.request])

    def _answer(
        self, asks: Sequence[InferenceRequest], features: FeatureTable | None
    ) -> list[InferenceResult]:
        """Return the answers to requests that fit into one batch."""
        if len(self._lengths) < MAX_WARM:
            self._lengths[asks[0].request.k] = None
        batch = self._batch(asks, features)
        ranked = self.pipeline.rank(batch, [ask.request for ask in asks], self._filled)
        return self._results(asks, ranked, features)

    def _batch(
        self, asks: Sequence[InferenceRequest], features: FeatureTable | None, *, reads: bool = True
    ) -> Batch:
        """Return requests as a batch; `reads`: with the item features that the model declares."""
        snapshot, first = self._snapshot, asks[0]
        requests = [ask.request for ask in asks]
        context = [request.context for request in requests if isinstance(request.context, list)]
        excluded = None
        if any(request.exclude for request in requests):
            excluded = [snapshot.item_ids.lookup(request.exclude or ()) for request in requests]
        known = first.session is None
        return snapshot.batch(
            snapshot.user_ids.lookup([request.user_id for request in requests])
            if known
            else np.full(len(asks), UNKNOWN_USER, np.int32),
            seeds=np.array([seed_of(ask.request_id) for ask in asks], np.uint64),
            now=first.now - self._lag,
            history=None if known else self._sessions(asks),
            exclude=excluded,
            since=self.pipeline.since([request.user_id for request in requests]),
            candidates=None if first.request.candidates is None else self._candidates(requests),
            context=np.array(context, np.float32) if context else None,
            user_features=features,
            capabilities=self._recommender.capabilities if reads else _READS_NOTHING,
        )

    def _candidates(self, requests: Sequence[Request]) -> Int32:
        """Return int32[n, length of the longest list]: the requests' candidates, padded with -1."""
        lists = [self._snapshot.item_ids.lookup(request.candidates or ()) for request in requests]
        listed = np.full((len(lists), max(map(len, lists))), -1, np.int32)
        for row, items in enumerate(lists):
            listed[row, : len(items)] = items
        return listed

    def _sessions(self, asks: Sequence[InferenceRequest]) -> History:
        """Return the sessions' items as histories: an event of reward 1 each, a second apart until now."""
        lists = [self._snapshot.item_ids.lookup(ask.session or ()) for ask in asks]
        rows = np.repeat(np.arange(len(lists), dtype=np.int32), [len(items) for items in lists])
        items = np.concatenate(lists)
        ages = np.concatenate([np.arange(len(items))[::-1] for items in lists])
        known = items >= 0
        times = asks[0].now - self._lag - 1 - ages[known]
        events = Events(rows[known], items[known], np.ones(int(known.sum()), np.float32), times)
        return History.from_events(events, len(asks), self.n_items)

    def _features(self, asks: Sequence[InferenceRequest]) -> FeatureTable | None:
        """Return the users' features as of now; NaN for sessions."""
        names = self._feature_names
        if not names:
            return None
        known = [row for row, ask in enumerate(asks) if ask.session is None]
        users = [asks[row].request.user_id for row in known]
        if self._read_features is not None and len(known) == len(asks):
            return FeatureTable(names, self._read_features(users))
        values: Float32 = np.full((len(asks), len(names)), np.nan, np.float32)
        if self._read_features is not None and known:
            values[known] = self._read_features(users)
        return FeatureTable(names, values)

    def _results(
        self, asks: Sequence[InferenceRequest], ranked: RankedBatch, features: FeatureTable | None
    ) -> list[InferenceResult]:
        """Return the answers with ids in the place of numbers."""
        ids = self._snapshot.item_ids.decode([item for each in ranked.lists for item in each.items])
        mmr_lambda = ranked.mmr_lambda or None
        given = [None] * len(asks) if features is None else _by_name(features)
        results, start = [], 0
        for ask, each, values in zip(asks, ranked.lists, given, strict=True):
            stop = start + len(each.items)
            items = list(map(Item, ids[start:stop], each.scores, each.propensities))
            start = stop
            sources: Sequence[tuple[Source, int]] = each.filled
            if each.new is not None:
                items.append(each.new)
                sources = [*sources, ("new", 1)]
            answer = Answer(ask.request_id, self.model, self.version, items, each.reason, each.stage)
            results.append(InferenceResult(answer, values, mmr_lambda, sources))
        return results

    def _filled(
        self, row: Row | None, batch: Batch, number: int, k: int, *, reason: str | None = None
    ) -> RankedList:
        """Return the model's row, filled up if it is short. `row` is None where the model gave none.

        `reason`: why the model was not asked, if it was not.
        """
        if row is None:
            row, reason = _NO_ROW, reason or MODEL_ERROR
        elif not row.sound:
            reason = MODEL_INVALID
        if len(row.items) >= k:
            return RankedList(row.items, row.scores, row.propensities, "model", reason)
        allowed, stages = AllowedItems.of(batch, number), self._stages(int(batch.users[number]))
        more, filled = fill(row.items, k, allowed, stages)
        if more and reason is None:
            reason = MODEL_SHORT
        stage: Stage = "model"
        if not row.items and reason is not None:
            stage = filled[0][0] if filled else "static"
        n = len(more)
        return RankedList(
            row.items + more,
            row.scores + [0.0] * n,
            row.propensities + [1.0] * n,
            stage,
            reason,
            filled=filled,
        )

    def _stages(self, user: int) -> Iterator[tuple[Stage, Int32]]:
        """Yield what fills a gap, best first."""
        if self._lists is not None:
            yield "precomputed", self._lists.of(user)
        yield "popular", self._snapshot.popular


def _alike(asks: Sequence[InferenceRequest]) -> list[list[int]]:
    """Return the positions in `asks`, grouped by what a batch must have in common."""
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, ask in enumerate(asks):
        request = ask.request
        context = len(request.context) if isinstance(request.context, list) else None
        shape = (context, request.candidates is None, ask.session is None)
        groups[ask.now, request.k, request.diversity, *shape].append(position)
    return list(groups.values())


def _by_name(features: FeatureTable) -> list[dict[str, float | None]]:
    """Return each row's values by name; None for a missing value."""
    values = features.values.astype(object)
    values[np.isnan(features.values)] = None
    return [dict(zip(features.names, row, strict=True)) for row in values.tolist()]
